package lb

import (
	"fmt"
	"net/netip"
)

// Pools is the number of pool descriptors that the limits imply: as many as there is room for slot tables of MinSlots.
func (l Limits) Pools() uint32 { return l.Slots / MinSlots }

// VIPEntries4 is how many entries the IPv4 VIP table takes: nine tenths of VIPs. Each VIP counts once for every port and
// each distinct address once more. Insertion into a bucketed table with two choices becomes long, then impossible, as
// the table fills; with four entries a bucket that is far above nine tenths.
func (l Limits) VIPEntries4() uint32 { return uint32(uint64(l.VIPs) * 9 / 10) }

// VIPEntries6 is how many entries the IPv6 VIP table takes: eight tenths of VIPs, because its buckets hold two entries.
func (l Limits) VIPEntries6() uint32 { return uint32(uint64(l.VIPs) * 8 / 10) }

// vipEntries counts the entries of the VIP tables that VIPs need, by family.
func vipEntries(vips []VIP) (v4, v6 int) {
	seen := map[netip.Addr]bool{}
	for _, v := range vips {
		n := len(v.Ports)
		if !seen[v.Address] {
			seen[v.Address] = true
			n++
		}
		if v.Address.Is4() {
			v4 += n
		} else {
			v6 += n
		}
	}
	return v4, v6
}

// Validate refuses sizes that the layouts cannot express.
func (l Limits) Validate() error {
	switch {
	case l.VIPs == 0 || l.VIPs > maxVIPs:
		return fmt.Errorf("limits.vips: %d is out of range (choose 1 to %d)", l.VIPs, maxVIPs)
	case l.Backends == 0 || l.Backends > MaxBackendIndex:
		return fmt.Errorf("limits.backends: %d is out of range (choose 1 to %d)", l.Backends, MaxBackendIndex)
	case l.Slots < MinSlots || l.Slots > maxSlotWords || l.Slots%MinSlots != 0:
		return fmt.Errorf("limits.slots: %d must be a multiple of %d up to %d", l.Slots, MinSlots, maxSlotWords)
	}
	return nil
}

const (
	// maxVIPs keeps a VIP table, in two copies of 32-byte entries, under 100 MiB.
	maxVIPs = 1 << 20
	// maxSlotWords keeps the slot array under 1 GiB.
	maxSlotWords = 1 << 28
)
