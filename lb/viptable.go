package lb

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// VIPEntry is one entry of a VIP table: an address, port and protocol, or, with Marker, the address alone. The twin and
// the program look up the same entries.
type VIPEntry struct {
	Address  netip.Addr
	Port     uint16
	Protocol Protocol
	// Marker says that the entry stands for the address: port and protocol are 0.
	Marker bool
	// VIP is the counter line, Pool the pool's index; both 0 in a marker.
	VIP, Pool uint32
	// PreviousPool is the index, plus one, of the pool that the VIP had before, while that pool's flows are kept; else 0.
	PreviousPool uint32
}

// VIPEntries lists the entries of a state's VIPs, IPv4 and IPv6 apart, one marker for each address.
func (s *State) VIPEntries() (v4, v6 []VIPEntry) {
	marked := map[netip.Addr]bool{}
	add := func(e VIPEntry) {
		if e.Address.Is4() {
			v4 = append(v4, e)
		} else {
			v6 = append(v6, e)
		}
	}
	for _, vip := range s.Config.VIPs {
		if !marked[vip.Address] {
			marked[vip.Address] = true
			add(VIPEntry{Address: vip.Address, Marker: true})
		}
		for _, port := range vip.Ports {
			add(VIPEntry{
				Address: vip.Address, Port: port, Protocol: vip.Protocol,
				VIP: s.Layout.VIPs[vip.Name], Pool: s.Layout.Pools[vip.Pool].Index, PreviousPool: s.previousPool(vip.Name),
			})
		}
	}
	return v4, v6
}

// PortWord is the second word of the entry's key: port in network order, protocol, marker.
func (e VIPEntry) PortWord() uint32 {
	word := uint32(e.Port>>8|e.Port<<8) | uint32(e.Protocol)<<16
	if e.Marker {
		word |= 1 << 24
	}
	return word
}

// hash is the bucket hash: its low and its high half choose one bucket each.
func (e VIPEntry) hash(key uint64) uint64 {
	if e.Address.Is4() {
		a := e.Address.As4()
		return finishVIPHash(hashRound(key, uint64(e.PortWord())<<32|uint64(binary.LittleEndian.Uint32(a[:]))))
	}
	a := e.Address.As16()
	state := hashRound(key, binary.LittleEndian.Uint64(a[:8]))
	state = hashRound(state, binary.LittleEndian.Uint64(a[8:]))
	return finishVIPHash(hashRound(state, uint64(e.PortWord())))
}

// finishVIPHash makes the two halves differ: after one round they are alike for addresses that differ in their last
// byte only.
func finishVIPHash(state uint64) uint64 {
	state *= multiplierFirst
	return state ^ state>>32
}

// maxKicks bounds how many entries one insertion may displace before another size or key is tried. Chains are short
// below the loads that VIPBuckets allows; this is far beyond the longest seen.
const maxKicks = 512

// VIPBuckets is the number of buckets that n entries need at ways entries a bucket: the smallest power of two that is at
// most 80 % full. Two choices of two-entry buckets fill to 89 %, of four-entry buckets to 97 % (Dietzfelbinger and
// Weidling, 2007).
func VIPBuckets(n, ways int) int {
	buckets := 1
	for n*5 > buckets*ways*4 {
		buckets *= 2
	}
	return buckets
}

// PlaceVIPs puts every entry into one of its two buckets under key. It fails where the entries do not fit, and the
// caller tries the next key.
func PlaceVIPs(entries []VIPEntry, key uint64, buckets, ways int) ([][]VIPEntry, error) {
	table := make([][]VIPEntry, buckets)
	mask := uint64(buckets - 1)
	for _, e := range entries {
		if !placeVIP(table, e, key, mask, ways) {
			return nil, fmt.Errorf("placing %d VIP entries in %d buckets of %d: no room under this key", len(entries), buckets, ways)
		}
	}
	return table, nil
}

// placeVIP inserts e, moving others to their second bucket where both of e's are full (cuckoo hashing; Pagh and Rodler,
// 2001). Which entry moves is random, for a fixed choice would run in circles, but a function of the input.
func placeVIP(table [][]VIPEntry, e VIPEntry, key, mask uint64, ways int) bool {
	bucket := e.hash(key) & mask
	random := e.hash(key)
	for range maxKicks {
		h := e.hash(key)
		for _, b := range []uint64{h & mask, h >> 32 & mask} {
			if len(table[b]) < ways {
				table[b] = append(table[b], e)
				return true
			}
		}
		random = hashRound(random, 1)
		victim := random % uint64(ways)
		e, table[bucket][victim] = table[bucket][victim], e
		h = e.hash(key)
		if first, second := h&mask, h>>32&mask; bucket == first {
			bucket = second
		} else {
			bucket = first
		}
	}
	return false
}
