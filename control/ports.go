package control

import (
	"context"
	"net/netip"

	"github.com/sluice-lb/sluice/control/nexthop"
	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

// Store is what the Engine needs of a store. *store.Store implements it.
type Store interface {
	Load() (store.Contents, error)
	SetPending(*lb.State) error
	DropPending() error
	Commit(*lb.State) error
}

// NextHops is what the Engine needs of the neighbour watcher. *nexthop.Watcher implements it.
type NextHops interface {
	Inherit(lb.Hops)
	Track(addresses []netip.Addr)
	Resolve(ctx context.Context, addresses []netip.Addr)
	Hops(addresses []netip.Addr) lb.Hops
	Status(address netip.Addr) (nexthop.Status, bool)
	Changes() <-chan struct{}
}
