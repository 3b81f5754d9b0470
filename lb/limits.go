package lb

import (
	"fmt"
	"net/netip"
)

// Pools is the number of pool descriptors that the limits imply: as many as there is room for slot tables of MinSlots.
func (l Limits) Pools() uint32 { return min(l.Slots/MinSlots, maxPools) }

// DefaultFlows is the number of entries of a flow table whose limit is 0: 6 to 8 MiB each.
const DefaultFlows = 1 << 16

// Flows is the number of entries of the flow tables.
func (l Limits) Flows() (v4, v6 uint32) {
	v4, v6 = l.FlowsV4, l.FlowsV6
	if v4 == 0 {
		v4 = DefaultFlows
	}
	if v6 == 0 {
		v6 = DefaultFlows
	}
	return v4, v6
}

// VIPEntries is how many entries the VIP table of each family has room for: two for each VIP, so that every VIP can have
// an address of its own. An entry is taken by every port of a VIP and by every distinct address.
func (l Limits) VIPEntries() int { return 2 * int(l.VIPs) }

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
	case l.FlowsV4 > maxFlows:
		return fmt.Errorf("limits.flows_v4: %d is out of range (choose 1 to %d)", l.FlowsV4, maxFlows)
	case l.FlowsV6 > maxFlows:
		return fmt.Errorf("limits.flows_v6: %d is out of range (choose 1 to %d)", l.FlowsV6, maxFlows)
	}
	return nil
}

const (
	// maxVIPs keeps a VIP table, in two copies of 32-byte entries, under 100 MiB.
	maxVIPs = 1 << 20
	// maxPools is what the 16 bits of a VIP's entry can name, with one number left for "none".
	maxPools = 1<<16 - 2
	// maxFlows keeps a flow table under 2 GiB.
	maxFlows = 1 << 24
	// maxSlotWords keeps the slot array under 1 GiB.
	maxSlotWords = 1 << 28
)
