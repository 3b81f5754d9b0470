package nexthop

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

const (
	// ProbeInterval is how often a resolved neighbour is confirmed, and how often everything is read again in case a
	// change went unnoticed (a policy rule, a nexthop object).
	ProbeInterval = 30 * time.Second
	// RetryInterval is how often an unresolved neighbour is asked for.
	RetryInterval = time.Second
	// settle is how long route, link and address changes are collected before routes are read again.
	settle = 20 * time.Millisecond
)

// Watcher keeps the next hops of a set of addresses up to date.
type Watcher struct {
	kernel  Kernel
	managed []string
	log     *slog.Logger

	sources lb.OuterSources

	changes chan struct{} // capacity 1
	wake    chan struct{} // capacity 1: the set of addresses changed, timers must be set again

	mu        sync.Mutex
	entries   map[netip.Addr]*entry
	numbers   map[string]int            // of managed interfaces, as last seen under their names
	inherited map[netip.Addr]lb.NextHop // last good next hops of an earlier run
	moved     chan struct{}             // closed and replaced with every change of an entry
}

// New returns a Watcher of no addresses. managed are the names of the interfaces that the data plane transmits on.
func New(kernel Kernel, managed []string, log *slog.Logger) *Watcher {
	return &Watcher{
		kernel:  kernel,
		managed: managed,
		log:     log.With("component", "nexthop"),
		changes: make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
		entries: map[netip.Addr]*entry{},
		numbers: map[string]int{},
		moved:   make(chan struct{}),
	}
}

// UseSources makes outer sources come from prefixes instead of the egress interface. Call it before Track.
func (w *Watcher) UseSources(sources lb.OuterSources) { w.sources = sources }

// withSource is the route with the outer source that the node's settings say.
func (w *Watcher) withSource(r Route) Route {
	hop := w.sources.Apply(lb.NextHop{Interface: r.Interface, Source: r.Source})
	r.Source, r.SourceBits = hop.Source, hop.SourceBits
	return r
}

// withName is the route with the name that the data plane knows its interface by. One that is renamed while nothing else
// has its name still carries the program, and packets still leave by it.
func (w *Watcher) withName(r Route) Route {
	if slices.Contains(w.managed, r.Interface) {
		w.numbers[r.Interface] = r.Index
		return r
	}
	for name, number := range w.numbers {
		if number == r.Index {
			r.Interface = name
		}
	}
	return r
}

// Changes receives after one or more next hops changed.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Inherit gives the Watcher the next hops of an earlier run: their link-layer addresses stay in use until better ones
// are known. Call it before Track.
func (w *Watcher) Inherit(hops lb.Hops) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inherited = hops
}

// Track makes addresses the set that is watched. New ones have been looked up, and are being resolved, when it returns.
func (w *Watcher) Track(addresses []netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	keep := make(map[netip.Addr]bool, len(addresses))
	for _, a := range addresses {
		keep[a] = true
	}
	for a := range w.entries {
		if !keep[a] {
			delete(w.entries, a)
		}
	}
	w.addLocked(addresses)
}

// Resolve adds addresses to the set and waits until each has a link-layer address or cannot get one for now, or until
// ctx ends.
func (w *Watcher) Resolve(ctx context.Context, addresses []netip.Addr) {
	w.mu.Lock()
	w.addLocked(addresses)
	for slices.ContainsFunc(addresses, w.waitingLocked) {
		moved := w.moved
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-moved:
		}
		w.mu.Lock()
	}
	w.mu.Unlock()
}

func (w *Watcher) waitingLocked(a netip.Addr) bool {
	e, ok := w.entries[a]
	return ok && e.State == Resolving // an entry whose lookup failed is not worth waiting for
}

// Status tells what is known of an address; false where it is not watched.
func (w *Watcher) Status(address netip.Addr) (Status, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.entries[address]
	if !ok {
		return Status{}, false
	}
	return e.Status, true
}

// Hops returns the next hops of those of the addresses that are routed.
func (w *Watcher) Hops(addresses []netip.Addr) lb.Hops {
	w.mu.Lock()
	defer w.mu.Unlock()
	hops := lb.Hops{}
	for _, a := range addresses {
		e, ok := w.entries[a]
		if !ok {
			continue
		}
		hop := e.Hop()
		if e.State == 0 {
			hop = w.inherited[a] // the kernel could not be asked: no reason to stop what works
		}
		if hop.Routed() {
			hops[a] = hop
		}
	}
	return hops
}

// addLocked adds what is new, looks it up and probes it.
func (w *Watcher) addLocked(addresses []netip.Addr) {
	var fresh []netip.Addr
	for _, a := range addresses {
		if w.entries[a] == nil {
			w.entries[a] = &entry{address: a, Status: Status{MAC: w.inherited[a].MAC}}
			fresh = append(fresh, a)
		}
	}
	if len(fresh) == 0 {
		return
	}
	w.lookLocked(fresh)
	w.probeLocked(time.Now())
	notify(w.wake)
}

// lookLocked reads routes and neighbours of addresses from the kernel. Where that fails everything stays as it was,
// and the answer is false.
func (w *Watcher) lookLocked(addresses []netip.Addr) bool {
	routes, err := w.kernel.Routes(addresses)
	var table []Neighbour
	if err == nil {
		table, err = w.kernel.Neighbours()
	}
	if err != nil {
		w.log.Warn("reading routes and neighbours failed, next hops may be out of date", "err", err)
		return false
	}
	neighbours := make(map[Key]Neighbour, len(table))
	for _, n := range table {
		neighbours[n.Key] = n
	}
	for _, a := range addresses {
		e := w.entries[a]
		before := e.Status
		r, ok := routes[a]
		if ok {
			r = w.withName(r)
		}
		e.setRoute(w.withSource(r), ok)
		e.setNeighbour(neighbours[e.Route.neighbour(a)])
		w.enterLocked(e, before)
	}
	return true
}

// enterLocked sets the state that follows from what an entry knows, and tells whoever waits.
func (w *Watcher) enterLocked(e *entry, before Status) {
	if next := e.next(slices.Contains(w.managed, e.Route.Interface)); next != e.State {
		e.State, e.Since = next, time.Now()
		e.probeAt = time.Time{} // other states have other intervals
		w.logTransition(e, before.State)
	}
	if e.Status != before {
		close(w.moved)
		w.moved = make(chan struct{})
		notify(w.changes)
	}
}

// usable tells whether the kernel has an address for the next hop, confirmed or not.
func usable(s State) bool { return s == Reachable || s == Stale }

func (w *Watcher) logTransition(e *entry, old State) {
	level := slog.LevelInfo
	if usable(e.State) && usable(old) {
		level = slog.LevelDebug // the kernel confirming an address, every minute or so for each backend
	}
	if e.State == Failed || e.State == NoRoute || e.State == EgressUnmanaged {
		level = slog.LevelWarn
	}
	mac := "none"
	if !e.MAC.IsZero() {
		mac = e.MAC.String()
	}
	w.log.Log(context.Background(), level, "next hop changed", "backend_address", e.address.String(),
		"old", old.String(), "new", e.State.String(), "iface", e.Route.Interface, "mac", mac)
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
