// Package control decides: it validates configurations, keeps them, resolves next hops, and tells the data plane.
package control

import "github.com/sluice-lb/sluice/lb"

// Dataplane is what control needs of the data plane. Package xdp implements it; tests use one that records.
type Dataplane interface {
	// Published is the number of the publication that packets see now; 0 when the maps are new.
	Published() uint64
	// Adopt tells the data plane, once, before anything else, which state the pinned maps hold: the one whose
	// Publication Published returned.
	Adopt(*lb.State) error
	// Publish makes a state the one that packets see, at once, whole or not at all: where it returns an error packets
	// still see the old one. Every descriptor has the link-layer address of the state's Hops then. It returns after a
	// grace period: no packet sees the old state any more.
	Publish(*lb.State) error
	// SetMAC replaces the next hop's link-layer address in the descriptors of these indexes, without a publication.
	SetMAC(indexes []uint32, mac lb.MAC) error
	// Activity reads the flow tables, and what changing slots did lately.
	Activity() (*lb.Activity, error)
	// DropFlows deletes the entries of flows; those that are not there any more are no error.
	DropFlows([]lb.Flow) error
	// Repair attaches to interfaces that went away and are back. The error names those that still are away.
	Repair() error
	// Explain says what would become of an Ethernet frame of 14 to 3512 bytes that came in by a managed interface now. It
	// changes nothing.
	Explain(frame []byte, iface string) (lb.Explanation, error)
	// Counters reads all counters.
	Counters() (lb.Counters, error)
	// Check compares what the maps hold with a state, which must be the one that is live.
	Check(*lb.State) error
	// Info describes the interfaces and the maps.
	Info() (lb.DataplaneInfo, error)
}
