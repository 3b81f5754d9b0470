package nexthop

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// receiveBuffer is the size in bytes of each subscription's socket buffer: room for some ten thousand changes at once.
const receiveBuffer = 4 << 20

// Watch subscribes to routes, neighbours, links and addresses.
func (k *Netlink) Watch(ctx context.Context, events chan<- Event) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	lost := func(what string) func(error) {
		return func(err error) { cancel(fmt.Errorf("watch %s: %w", what, err)) }
	}

	neighbours := make(chan netlink.NeighUpdate)
	errNeigh := netlink.NeighSubscribeWithOptions(neighbours, ctx.Done(), netlink.NeighSubscribeOptions{
		Namespace: k.namespace, ErrorCallback: lost("neighbours"), ReceiveBufferSize: receiveBuffer})
	routes := make(chan netlink.RouteUpdate)
	errRoute := netlink.RouteSubscribeWithOptions(routes, ctx.Done(), netlink.RouteSubscribeOptions{
		Namespace: k.namespace, ErrorCallback: lost("routes"), ReceiveBufferSize: receiveBuffer})
	links := make(chan netlink.LinkUpdate)
	errLink := netlink.LinkSubscribeWithOptions(links, ctx.Done(), netlink.LinkSubscribeOptions{
		Namespace: k.namespace, ErrorCallback: lost("links"), ReceiveBufferSize: receiveBuffer})
	addresses := make(chan netlink.AddrUpdate)
	errAddr := netlink.AddrSubscribeWithOptions(addresses, ctx.Done(), netlink.AddrSubscribeOptions{
		Namespace: k.namespace, ErrorCallback: lost("addresses"), ReceiveBufferSize: receiveBuffer})

	forward(ctx, &running, errNeigh, neighbours, events, neighbourEvent)
	forward(ctx, &running, errRoute, routes, events, func(netlink.RouteUpdate) (Event, bool) { return Event{}, true })
	forward(ctx, &running, errLink, links, events, func(netlink.LinkUpdate) (Event, bool) { return Event{}, true })
	forward(ctx, &running, errAddr, addresses, events, func(netlink.AddrUpdate) (Event, bool) { return Event{}, true })
	if err := errors.Join(errNeigh, errRoute, errLink, errAddr); err != nil {
		return fmt.Errorf("subscribe to rtnetlink: %w", err)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// forward passes updates on until their channel is closed, which the subscription does when it ends; after ctx it
// throws them away, so that the subscription never hangs in a send.
func forward[U any](ctx context.Context, running *sync.WaitGroup, subscribed error, updates <-chan U, events chan<- Event, translate func(U) (Event, bool)) {
	if subscribed != nil {
		return // nobody sends, nobody closes
	}
	running.Go(func() {
		for u := range updates {
			e, ok := translate(u)
			if !ok {
				continue
			}
			select {
			case events <- e:
			case <-ctx.Done():
			}
		}
	})
}

func neighbourEvent(u netlink.NeighUpdate) (Event, bool) {
	n, ok := neighbour(u.Neigh)
	if u.Type == unix.RTM_DELNEIGH {
		n.Condition = Unknown
	}
	return Event{Neighbour: &n}, ok
}
