package nexthop

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

// kernel answers from tables that the test writes.
type kernel struct {
	mu         sync.Mutex
	routes     map[netip.Addr]Route
	neighbours map[Key]Neighbour
	fail       error
	probes     []probe
	start      time.Time
	events     chan<- Event
	watches    int
	lose       chan struct{}
}

type probe struct {
	key Key
	at  time.Duration
}

func newKernel() *kernel {
	return &kernel{routes: map[netip.Addr]Route{}, neighbours: map[Key]Neighbour{}, start: time.Now(), lose: make(chan struct{})}
}

func (k *kernel) Routes(destinations []netip.Addr) (map[netip.Addr]Route, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return nil, k.fail
	}
	out := map[netip.Addr]Route{}
	for _, d := range destinations {
		if r, ok := k.routes[d]; ok {
			out[d] = r
		}
	}
	return out, nil
}

func (k *kernel) Neighbours() ([]Neighbour, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []Neighbour
	for _, n := range k.neighbours {
		out = append(out, n)
	}
	return out, k.fail
}

func (k *kernel) Probe(key Key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.probes = append(k.probes, probe{key, time.Since(k.start)})
	return nil
}

func (k *kernel) Watch(ctx context.Context, events chan<- Event) error {
	k.mu.Lock()
	k.events = events
	k.watches++
	lose := k.lose
	k.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-lose:
		return errors.New("no buffer space available")
	}
}

// neighbour changes an entry and says so.
func (k *kernel) neighbour(n Neighbour) {
	k.mu.Lock()
	k.neighbours[n.Key] = n
	events := k.events
	k.mu.Unlock()
	events <- Event{Neighbour: &n}
}

// route changes a route and says so; the zero Route removes it.
func (k *kernel) route(d netip.Addr, r Route) {
	k.mu.Lock()
	k.routes[d] = r
	if (r == Route{}) {
		delete(k.routes, d)
	}
	events := k.events
	k.mu.Unlock()
	if events != nil {
		events <- Event{}
	}
}

func (k *kernel) setFail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = err
}

// takeProbes returns the probes since the last call.
func (k *kernel) takeProbes() []probe {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.probes
	k.probes = nil
	return p
}

var (
	backend = netip.MustParseAddr("10.9.3.2")
	gateway = netip.MustParseAddr("10.9.0.254")
	macA    = lb.MAC{2, 0, 0, 0, 0, 0xa}
	macB    = lb.MAC{2, 0, 0, 0, 0, 0xb}
)

func viaGateway() Route {
	return Route{Interface: "eth0", Index: 2, InterfaceMAC: lb.MAC{2, 0, 0, 0, 0, 1}, Source: netip.MustParseAddr("10.9.0.1"), Gateway: gateway, MTU: 1500}
}
