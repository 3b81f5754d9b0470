package bench

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"unsafe"

	"github.com/sluice-lb/sluice/lb"
)

const (
	// MinFrame is the least length of a replayed frame in bytes: Ethernet's, without the frame check sequence.
	MinFrame = 60
	// MaxFrame is the greatest: BPF_PROG_RUN gives a program one page less headroom and tailroom.
	MaxFrame = 3500

	frameBytes     = len(replayFrame{}.Words) * 8
	outlineV4Bytes = 64
	outlineV6Bytes = 80

	ethernetBytes = 14
	ipv4Bytes     = 20
	ipv6Bytes     = 40
)

// Family is a version of IP: 4 or 6; 0 stands for both in one stream.
type Family uint8

// The families.
const (
	Mixed Family = 0
	IPv4  Family = 4
	IPv6  Family = 6
)

// FamilyOf is the family of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// String is "4", "6" or "mixed".
func (f Family) String() string {
	if f == Mixed {
		return "mixed"
	}
	return fmt.Sprint(uint8(f))
}

// Kind is what a VIP must have to take a packet.
type Kind struct {
	Family   Family
	Protocol lb.Protocol
}

// Stream is traffic to replay: recorded frames, or packets that the replayer makes from their records.
type Stream struct {
	// Name says where the traffic is from: a file, or the options it was generated with.
	Name string
	// Family is that of every frame, or Mixed.
	Family Family
	// Flows is the number of different five-tuples.
	Flows int
	// LeftOut counts the frames of a capture that are not in the stream, by reason.
	LeftOut map[string]int

	frames   []replayFrame
	whole    [][]byte // the recorded frames
	packets  []replayPacket
	outlines []replayOutline
	protocol lb.Protocol // of packets
}

// Len is the number of frames; a replay starts again after the last.
func (s *Stream) Len() int { return len(s.frames) + len(s.packets) }

// Frame is the i-th frame, whole. It must not be changed.
func (s *Stream) Frame(i int) []byte {
	if s.whole != nil {
		return s.whole[i]
	}
	p := s.packets[i]
	o := s.outlines[p.Outline]
	out := make([]byte, p.Length)
	words := unsafe.Slice((*byte)(unsafe.Pointer(&o.Words[0])), len(o.Words)*8)
	if s.Family == IPv4 {
		copy(out, words[:outlineV4Bytes])
		fillV4(out, p)
	} else {
		copy(out, words[:outlineV6Bytes])
		fillV6(out, p)
	}
	transport := out[ethernetBytes+ipv4Bytes:]
	if s.Family == IPv6 {
		transport = out[ethernetBytes+ipv6Bytes:]
	}
	binary.NativeEndian.PutUint16(transport, p.Port)
	if s.protocol == lb.UDP {
		binary.BigEndian.PutUint16(transport[4:], uint16(len(transport)))
	} else {
		transport[13] = p.Flags
	}
	return out
}

func fillV4(frame []byte, p replayPacket) {
	ip := frame[ethernetBytes:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.NativeEndian.PutUint32(ip[12:], p.Source)
	binary.BigEndian.PutUint16(ip[10:], ^onesSum(0, ip[:ipv4Bytes]))
}

func fillV6(frame []byte, p replayPacket) {
	ip := frame[ethernetBytes:]
	binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-ipv6Bytes))
	binary.NativeEndian.PutUint32(ip[20:], p.Source)
}

// onesSum adds b, of even length, to a ones' complement sum.
func onesSum(sum uint16, b []byte) uint16 {
	total := uint32(sum)
	for i := 0; i < len(b); i += 2 {
		total += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	total = total&0xffff + total>>16
	return uint16(total + total>>16)
}

// record makes the replayer's record of a whole frame.
func record(frame []byte) replayFrame {
	var r replayFrame
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&r.Words[0])), frameBytes), frame)
	r.Length = uint32(len(frame))
	return r
}

// networkOrder16 is v as a field that the kernel calls __be16.
func networkOrder16(v uint16) uint16 { return bits.ReverseBytes16(v) }
