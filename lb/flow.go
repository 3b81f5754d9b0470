package lb

import (
	"encoding/binary"
	"net/netip"
)

// Flow is a five-tuple, client to VIP. Both addresses are of one family.
type Flow struct {
	Source, Destination netip.AddrPort
	Protocol            Protocol
}

// FlowHasher hashes flows under one seed. It is the Go side of xdp/bpf/hash.h.
type FlowHasher struct {
	key0, key1 uint64
}

// FlowHasher derives the keys of the flow hash.
func (s Seed) FlowHasher() FlowHasher {
	return FlowHasher{key0: s.key("flow hash 0"), key1: s.key("flow hash 1")}
}

// Keys are the two keys, as the program wants them.
func (h FlowHasher) Keys() (key0, key1 uint64) { return h.key0, h.key1 }

// FlowHash is the flow's hash under the seed; use a FlowHasher for many.
func (s Seed) FlowHash(f Flow) uint64 { return s.FlowHasher().Hash(f) }

// Odd multipliers: 2^64 / golden ratio, and the two of MurmurHash3's 64-bit finalizer.
const (
	multiplierGolden = 0x9e3779b97f4a7c15
	multiplierFirst  = 0xff51afd7ed558ccd
	multiplierSecond = 0xc4ceb9fe1a85ec53
)

// hashRound is a bijection of state for each word, and of word for each state.
func hashRound(state, word uint64) uint64 {
	state = (state ^ word) * multiplierGolden
	return state ^ state>>32
}

// Hash mixes the packet's bytes as a little-endian machine reads them. The low bits choose the slot; bits 40 and up are
// the entropy of the outer header.
func (h FlowHasher) Hash(f Flow) uint64 {
	state := h.key0
	if f.Source.Addr().Is4() {
		source, destination := f.Source.Addr().As4(), f.Destination.Addr().As4()
		state = hashRound(state, uint64(binary.LittleEndian.Uint32(destination[:]))<<32|
			uint64(binary.LittleEndian.Uint32(source[:])))
	} else {
		source, destination := f.Source.Addr().As16(), f.Destination.Addr().As16()
		for _, half := range [][]byte{source[:8], source[8:], destination[:8], destination[8:]} {
			state = hashRound(state, binary.LittleEndian.Uint64(half))
		}
	}
	ports := binary.BigEndian.AppendUint16(nil, f.Source.Port())
	ports = binary.BigEndian.AppendUint16(ports, f.Destination.Port())
	state ^= h.key1 ^ uint64(f.Protocol)<<32 ^ uint64(binary.LittleEndian.Uint32(ports))
	state *= multiplierFirst
	state ^= state >> 33
	state *= multiplierSecond
	return state ^ state>>33
}
