package lb

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// TestPlaceVIPs fills tables as far as VIPBuckets lets them, with addresses in sequence, which is what operators have.
func TestPlaceVIPs(t *testing.T) {
	for _, ways := range []int{2, 4} {
		for _, n := range []int{0, 1, 2, 7, 102, 204, 819, 3276, 52428} {
			var v4, v6 []VIPEntry
			for i := range n {
				a := [4]byte{198, 18}
				binary.BigEndian.PutUint16(a[2:], uint16(i))
				v4 = append(v4, VIPEntry{Address: netip.AddrFrom4(a), Port: 80, Protocol: TCP})
				v6 = append(v6, VIPEntry{Address: netip.AddrFrom16([16]byte{0: 0x20, 14: a[2], 15: a[3]}), Port: 80, Protocol: TCP})
			}
			for _, entries := range [][]VIPEntry{v4, v6} {
				buckets := VIPBuckets(n, ways)
				table, key := placeAny(t, entries, buckets, ways)
				found := 0
				for b, bucket := range table {
					for _, e := range bucket {
						h := e.hash(key)
						if uint64(b) != h&uint64(buckets-1) && uint64(b) != h>>32&uint64(buckets-1) {
							t.Fatalf("%d entries, %d ways: entry %v lies in bucket %d, which is not one of its two", n, ways, e, b)
						}
						found++
					}
				}
				if found != n {
					t.Errorf("%d entries, %d ways: %d placed", n, ways, found)
				}
			}
		}
	}
}

func placeAny(t *testing.T, entries []VIPEntry, buckets, ways int) ([][]VIPEntry, uint64) {
	t.Helper()
	for key := range uint64(8) {
		if table, err := PlaceVIPs(entries, key*multiplierGolden, buckets, ways); err == nil {
			return table, key * multiplierGolden
		}
	}
	t.Fatalf("%d entries in %d buckets of %d: no key of eight fits", len(entries), buckets, ways)
	return nil, 0
}
