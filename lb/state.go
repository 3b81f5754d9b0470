package lb

import (
	"fmt"
	"net/netip"
)

// MAC is an Ethernet address. The zero value means "not resolved".
type MAC [6]byte

// String prints the usual six pairs of hex digits.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// IsZero tells whether the address is not resolved.
func (m MAC) IsZero() bool { return m == MAC{} }

// NextHop is how the outer packet to one backend address leaves this node.
type NextHop struct {
	// Interface is the name of the egress interface; empty where there is no route.
	Interface string
	// InterfaceMAC is its link-layer address, the source of the outer Ethernet header.
	InterfaceMAC MAC
	// Source is the source address of the outer IP header, of the backend's family.
	Source netip.Addr
	// MTU is the largest IP packet in bytes that the egress interface and the route take.
	MTU uint32
	// MAC is the next hop's link-layer address; zero until it is resolved.
	MAC MAC
}

// Routed tells whether there is a route. Without one the backend's packets end as VerdictNoNeighbour.
func (h NextHop) Routed() bool { return h.Interface != "" && h.Source.IsValid() }

// Hops maps a backend's address to its next hop. An address that is missing is not routed.
type Hops map[netip.Addr]NextHop

// State is all that the data plane is told at once: published whole or not at all. Plan makes it; Tables is a pure
// function of Config, Conditions and the seed and therefore never stored.
type State struct {
	// Publication counts publications, from 1. It grows with every change of what packets see, also where no operator
	// changed anything (a route moved); its low 63 bits stand in the data plane's root.
	Publication uint64
	// Revision is the number of the committed configuration, from 1; 0 is the empty configuration of a new node.
	Revision uint64
	// Config is normalized and valid.
	Config Config
	// Conditions has the backends that are not up.
	Conditions Conditions
	// Hops has the next hop of every backend address that is routed, as it was when the state was planned.
	Hops Hops
	// Layout says where everything lies in the maps.
	Layout Layout
	// Changing holds the slots that are not stable, by pool name. Pools without any are missing.
	Changing map[string]SlotStates
	// Moved holds the VIPs that got another pool, by name.
	Moved map[string]MovedVIP
	// Drained says of drained backends why their last transition ended, by BackendKey.
	Drained map[string]DrainEnd
	// Tables holds the slot table of every pool, by pool name.
	Tables map[string]*Table
}

// Layout says where everything of a State lies in the data plane's maps. It is stored with the state, so that a
// restarted daemon knows what the pinned maps hold.
type Layout struct {
	// Copy is the half of the root, of the VIP tables and of the pool descriptors that is in use: 0 or 1.
	Copy uint32
	// VIPs maps a VIP's name to its counter line, from 1.
	VIPs map[string]uint32
	// Pools maps a pool's name to the place of its descriptor and slots.
	Pools map[string]PoolPlace
	// Backends maps a BackendKey, or the LeavingKey of a backend that is, to the place of its descriptor.
	Backends map[string]BackendPlace
}

// PoolPlace is where one pool lies.
type PoolPlace struct {
	// Index is the descriptor's place within the copy, from 0.
	Index uint32
	// Base is the first slot in the flat slot array, a multiple of SlotsPerLine.
	Base uint32
	// Slots is the size of the table.
	Slots uint32
}

// BackendPlace is where one backend lies and what its descriptor was made from. Anything but a new MAC takes a new index.
type BackendPlace struct {
	// Index is the descriptor's and counter line's place, from 1; slot words name it. 0 means EMPTY.
	Index uint32
	// Address is the backend's.
	Address netip.Addr
	// Encap is the pool's.
	Encap Encap
	// Hop is the next hop without its MAC.
	Hop NextHop
}

// BackendKey is the key of Layout.Backends: "pool/name".
func BackendKey(pool, backend string) string { return pool + "/" + backend }

// MaxBackendIndex is the largest backend index: slot words have 20 bits for it.
const MaxBackendIndex = 1<<20 - 1

// SlotsPerLine is the number of slot words in one 64-byte element of the slot array.
const SlotsPerLine = 16

// Limits are the sizes of the data plane's maps: node settings. The zero value is not useful; see DefaultLimits.
type Limits struct {
	// VIPs is the number of VIPs; see VIPEntries for their ports and addresses.
	VIPs uint32
	// Backends is the number of backends over all pools.
	Backends uint32
	// Slots is the number of slots over all pools, counting a changed pool twice while it changes.
	Slots uint32
	// FlowsV4 and FlowsV6 are the numbers of entries of the flow tables; 0 means DefaultFlows.
	FlowsV4, FlowsV6 uint32
}

// DefaultLimits suit an edge node of moderate size: about 65 MiB of kernel memory, and 1.3 MiB more for each possible
// CPU.
var DefaultLimits = Limits{VIPs: 4096, Backends: 16384, Slots: 1 << 22}
