package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/control/nexthop"
	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

// dataplane records what it is told, and keeps it in a file as pinned maps would: what is there after a crash is what
// was there before the flip, or after it.
type dataplane struct {
	path string
	step func(string) // nil: nothing

	mu       sync.Mutex
	maps     pinned
	adopted  bool
	setMACs  int
	fail     error // of the next Publish
	failMAC  error
	counters lb.Counters
	flows    []lb.FlowEntry
	now      time.Time
}

// pinned is what survives.
type pinned struct {
	State *lb.State
	MACs  map[uint32]lb.MAC
}

func openDataplane(path string) (*dataplane, error) {
	d := &dataplane{path: path, maps: pinned{MACs: map[uint32]lb.MAC{}}}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	return d, json.Unmarshal(data, &d.maps)
}

func (d *dataplane) Published() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.maps.State == nil {
		return 0
	}
	return d.maps.State.Publication
}

// Adopt refuses a state that is not the one in the maps: a mix.
func (d *dataplane) Adopt(st *lb.State) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.adopted || d.maps.State == nil {
		return errors.New("adopt: not the first call, or nothing to adopt")
	}
	if diff := mixed(d.maps.State, st); diff != "" {
		return fmt.Errorf("adopt: %s differs from what the maps hold", diff)
	}
	d.adopted = true
	return nil
}

// mixed names the first part in which two states differ, next hops' link-layer addresses aside.
func mixed(a, b *lb.State) string {
	switch {
	case a.Publication != b.Publication:
		return "publication"
	case a.Revision != b.Revision:
		return "revision"
	case !sameConfig(a.Config, b.Config):
		return "configuration"
	case canonical(a.Layout) != canonical(b.Layout):
		return "layout"
	case canonical(a.Tables) != canonical(b.Tables):
		return "tables"
	case !maps.EqualFunc(a.Hops, b.Hops, func(a, b lb.NextHop) bool { a.MAC = b.MAC; return a == b }):
		return "hops"
	}
	return ""
}

func canonical(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (d *dataplane) Publish(st *lb.State) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.maps.State != nil && st.Publication != d.maps.State.Publication+1 {
		return fmt.Errorf("publish %d after %d", st.Publication, d.maps.State.Publication)
	}
	d.at("building")
	if err := d.fail; err != nil {
		d.fail = nil
		return err
	}
	next := pinned{State: st, MACs: map[uint32]lb.MAC{}}
	for _, place := range st.Layout.Backends {
		next.MACs[place.Index] = st.Hops[place.Address].MAC
	}
	if err := d.flip(next); err != nil {
		return err
	}
	d.at("flipped")
	return nil
}

func (d *dataplane) flip(next pinned) error {
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.path+".idle", data, 0o600); err != nil {
		return err
	}
	d.at("built")
	if err := os.Rename(d.path+".idle", d.path); err != nil {
		return err
	}
	d.maps = pinned{}
	return json.Unmarshal(data, &d.maps)
}

func (d *dataplane) at(step string) {
	if d.step != nil {
		d.step(step)
	}
}

func (d *dataplane) SetMAC(indexes []uint32, mac lb.MAC) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failMAC != nil {
		return d.failMAC
	}
	d.setMACs++
	next := pinned{State: d.maps.State, MACs: maps.Clone(d.maps.MACs)}
	for _, i := range indexes {
		if _, ok := next.MACs[i]; !ok {
			return fmt.Errorf("set MAC of descriptor %d: not published", i)
		}
		next.MACs[i] = mac
	}
	return d.flip(next)
}

func (d *dataplane) Activity() (*lb.Activity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &lb.Activity{Now: d.now, Flows: slices.Clone(d.flows)}, nil
}

// pass lets time pass on the clock that packets are timed by, which is not the time of day.
func (d *dataplane) pass(t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(t)
}

// track sets the entries of the flow tables.
func (d *dataplane) track(flows ...lb.FlowEntry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flows = flows
}

func (d *dataplane) DropFlows([]lb.Flow) error { return nil }

func (d *dataplane) Repair() error { return nil }

// Check is what xdp does word by word: the maps hold what the state says.
func (d *dataplane) Check(st *lb.State) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if diff := mixed(d.maps.State, st); diff != "" {
		return fmt.Errorf("%s differs", diff)
	}
	return nil
}

func (d *dataplane) Counters() (lb.Counters, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counters, nil
}

// count sets the counters, with 77 packets for the VIP of a line.
func (d *dataplane) count(c lb.Counters, line uint32) {
	c.VIPs[line].Packets = 77
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counters = c
}

func (d *dataplane) Info() (lb.DataplaneInfo, error) {
	return lb.DataplaneInfo{
		Interfaces: []lb.InterfaceInfo{{Name: "eth0", Mode: "native", Index: 2, ProgramID: 7, ProgramTag: "0011223344556677", MTU: 1500}},
		MapMemory:  1 << 20, Unmatched: "pass", Limits: lb.DefaultLimits,
	}, nil
}

// breakPublish makes the next Publish fail, breakMAC every SetMAC until it is nil again.
func (d *dataplane) breakPublish(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

func (d *dataplane) breakMAC(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failMAC = err
}

// contents is a copy of what the maps hold.
func (d *dataplane) contents() pinned {
	d.mu.Lock()
	defer d.mu.Unlock()
	return pinned{State: d.maps.State, MACs: maps.Clone(d.maps.MACs)}
}

// nextHops answers what it is told to; everything is routed by default.
type nextHops struct {
	mu       sync.Mutex
	changes  chan struct{}
	override map[netip.Addr]lb.NextHop
	tracked  []netip.Addr
	resolved [][]netip.Addr
}

func newNextHops() *nextHops {
	return &nextHops{changes: make(chan struct{}, 1), override: map[netip.Addr]lb.NextHop{}}
}

func defaultHop(a netip.Addr) lb.NextHop {
	source := netip.MustParseAddr("10.9.0.1")
	if a.Is6() {
		source = netip.MustParseAddr("fd00:9::1")
	}
	b := a.AsSlice()
	return lb.NextHop{Interface: "eth0", InterfaceMAC: lb.MAC{2, 0, 0, 0, 0, 1}, Source: source, Direct: true, MTU: 1500,
		MAC: lb.MAC{2, 0, 0, 0, 1, b[len(b)-1]}}
}

func (n *nextHops) Inherit(lb.Hops) {}

func (n *nextHops) Track(a []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tracked = slices.Clone(a)
}

func (n *nextHops) Resolve(_ context.Context, a []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.resolved = append(n.resolved, slices.Clone(a))
}

func (n *nextHops) Hops(addresses []netip.Addr) lb.Hops {
	n.mu.Lock()
	defer n.mu.Unlock()
	hops := lb.Hops{}
	for _, a := range addresses {
		h, ok := n.override[a]
		if !ok {
			h = defaultHop(a)
		}
		if h.Routed() {
			hops[a] = h
		}
	}
	return hops
}

func (n *nextHops) Status(a netip.Addr) (nexthop.Status, bool) {
	h, ok := n.Hops([]netip.Addr{a})[a]
	if !ok {
		return nexthop.Status{State: nexthop.NoRoute}, true
	}
	r := nexthop.Route{Interface: h.Interface, InterfaceMAC: h.InterfaceMAC, Source: h.Source, SourceBits: h.SourceBits, MTU: h.MTU}
	if !h.Direct {
		r.Gateway = netip.MustParseAddr("10.9.0.254")
	}
	return nexthop.Status{State: nexthop.Reachable, MAC: h.MAC, Route: r}, true
}

func (n *nextHops) Changes() <-chan struct{} { return n.changes }

func (n *nextHops) set(a netip.Addr, h lb.NextHop) {
	n.mu.Lock()
	n.override[a] = h
	n.mu.Unlock()
	select {
	case n.changes <- struct{}{}:
	default:
	}
}

// flakyStore fails the calls that it is told to.
type flakyStore struct {
	*store.Store

	mu   sync.Mutex
	fail map[string]error
}

// breakCall makes calls of a kind fail: "pending", "drop" or "commit".
func (f *flakyStore) breakCall(kind string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[kind] = err
}

// repair makes everything work again.
func (f *flakyStore) repair() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.fail)
}

// or does a call unless its kind is broken.
func (f *flakyStore) or(kind string, call func() error) error {
	f.mu.Lock()
	err := f.fail[kind]
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return call()
}

func (f *flakyStore) SetPending(st *lb.State, r *store.Revision) error {
	return f.or("pending", func() error { return f.Store.SetPending(st, r) })
}

func (f *flakyStore) DropPending(committed uint64) error {
	return f.or("drop", func() error { return f.Store.DropPending(committed) })
}

func (f *flakyStore) Commit(st *lb.State) error {
	return f.or("commit", func() error { return f.Store.Commit(st) })
}

// sameConfig takes no list and an empty one for the same.
func sameConfig(a, b lb.Config) bool {
	text := func(c lb.Config) string { return strings.ReplaceAll(canonical(c.Normalize()), "null", "[]") }
	return text(a) == text(b)
}
