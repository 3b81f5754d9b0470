package control

import (
	"context"
	"net/netip"
	"time"

	"github.com/sluice-lb/sluice/control/nexthop"
	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

// Store is what the Engine needs of a store. *store.Store implements it.
type Store interface {
	Load() (store.Contents, error)
	SetPending(*lb.State, *store.Revision) error
	DropPending(committed uint64) error
	Commit(*lb.State) error
	History(upTo uint64, limit int) ([]store.Revision, error)
	Revision(uint64) (store.Revision, lb.Config, error)
	KeepHead(*lb.State, store.Revision) error
	Confirm(revision uint64, author string, at time.Time) error
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
