package nexthop

import (
	"context"
	"net/netip"

	"github.com/sluice-lb/sluice/lb"
)

// Kernel is what the Watcher needs of the kernel's routing and neighbour tables.
type Kernel interface {
	// Routes looks up the routes to destinations. One without a unicast route is missing from the result.
	Routes(destinations []netip.Addr) (map[netip.Addr]Route, error)
	// Neighbours lists both families' neighbour tables.
	Neighbours() ([]Neighbour, error)
	// Probe makes the kernel resolve or confirm a neighbour. It does not wait for the answer.
	Probe(Key) error
	// Watch sends every change until ctx ends or changes may have been lost; then it returns the reason.
	Watch(ctx context.Context, events chan<- Event) error
}

// Route is how packets to one destination leave the node.
type Route struct {
	// Interface is the egress interface, Index its number, InterfaceMAC its link-layer address.
	Interface    string
	Index        int
	InterfaceMAC lb.MAC
	// Source is the address that the node's own packets would have, or the Watcher's for outer headers; SourceBits is how many
	// of its lowest bits vary with the flow then.
	Source     netip.Addr
	SourceBits uint8
	// Gateway is the router's address; invalid where the destination is on the link.
	Gateway netip.Addr
	// MTU is the smaller of the interface's and the route's, in bytes.
	MTU uint32
}

// neighbour is the key of the neighbour that packets to destination are sent to.
func (r Route) neighbour(destination netip.Addr) Key {
	if r.Gateway.IsValid() {
		destination = r.Gateway
	}
	return Key{Index: r.Index, Address: destination}
}

// Key identifies a neighbour: an address behind an interface.
type Key struct {
	Index   int
	Address netip.Addr
}

// Neighbour is one entry of the kernel's neighbour table.
type Neighbour struct {
	Key
	// MAC is its link-layer address; zero where the kernel knows none.
	MAC       lb.MAC
	Condition Condition
}

// Condition condenses the kernel's neighbour states (NUD_*).
type Condition uint8

const (
	// Unknown: there is no entry.
	Unknown Condition = iota
	// Incomplete: the kernel is asking for the first time.
	Incomplete
	// Confirmed: the address was confirmed lately.
	Confirmed
	// Unconfirmed: the address is known and will be, or is being, confirmed (STALE, DELAY, PROBE).
	Unconfirmed
	// Unanswered: nobody answered (FAILED).
	Unanswered
	// Fixed: set by an administrator or needing no resolution (PERMANENT, NOARP). Such an entry is never probed:
	// the kernel would take that as permission to age it.
	Fixed
)

// Event is one change in the kernel.
type Event struct {
	// Neighbour is the neighbour that changed; nil where a route, a link or an address did.
	Neighbour *Neighbour
}
