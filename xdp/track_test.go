package xdp_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
	"github.com/sluice-lb/sluice/xdp/xdptest"
)

// tracked is a data plane whose configuration changes while flows are alive.
type tracked struct {
	t      *testing.T
	d      *xdp.Dataplane
	config lb.Config
	state  *lb.State
	now    time.Time
	mtus   map[netip.Addr]uint32 // of routes that are not as usual
}

// hops are those of all backends, leaving ones included.
func (x *tracked) hops() lb.Hops {
	hops := xdptest.Hops(x.config, xdptest.Interface)
	if x.state != nil {
		for _, a := range x.state.Addresses() {
			hops[a] = xdptest.Hop(a, xdptest.Interface)
		}
	}
	for a, mtu := range x.mtus {
		if hop, ok := hops[a]; ok {
			hop.MTU = mtu
			hops[a] = hop
		}
	}
	return hops
}

func newTracked(t *testing.T, limits lb.Limits, backends int) *tracked {
	t.Helper()
	x := &tracked{t: t, d: xdptest.MustOpen(t, xdp.Options{Limits: limits}), now: time.Unix(1_000_000, 0).UTC()}
	x.config = lb.Config{
		Pools: []lb.Pool{xdptest.Pool("web", backends, false), xdptest.Pool("web6", backends, true)},
		VIPs: []lb.VIP{
			tableVIP("web", "198.51.100.10", lb.TCP, "web", 80), tableVIP("web6", "2001:db8::10", lb.TCP, "web6", 80),
			tableVIP("udp", "198.51.100.10", lb.UDP, "web", 53), tableVIP("udp6", "2001:db8::10", lb.UDP, "web6", 53),
		},
	}.Normalize()
	for i := range x.config.Pools {
		x.config.Pools[i].Slots = 2048 // of the pool's own: another size would move flows
	}
	x.publish(lb.Limits{})
	return x
}

// publish makes x.config the one that packets see, with what the data plane reports of its flows.
func (x *tracked) publish(limits lb.Limits) {
	x.t.Helper()
	if limits == (lb.Limits{}) {
		limits = xdptest.Limits
	}
	activity, err := x.d.Activity()
	if err != nil {
		x.t.Fatal(err)
	}
	if x.state != nil { // as the engine does
		if err := x.d.DropFlows(x.state.UselessFlows(xdptest.Seed, activity.Flows)); err != nil {
			x.t.Fatal(err)
		}
	}
	next, err := lb.Plan(x.state, lb.PlanInput{
		Config: x.config, Hops: x.hops(), Seed: xdptest.Seed, Limits: limits,
		Revision: 1, Activity: activity, Now: x.now,
	})
	if err != nil {
		x.t.Fatal(err)
	}
	xdptest.MustPublish(x.t, x.d, next)
	x.state = next
}

// set edits one backend of both pools.
func (x *tracked) set(i int, edit func(*lb.Backend)) {
	x.config = x.config.Normalize()
	for p := range x.config.Pools {
		edit(&x.config.Pools[p].Backends[i])
	}
}

// send sends one packet of flow i and returns the address of the backend that got it; invalid if none did.
func (x *tracked) send(i int, ipv6 bool, p xdptest.Packet) netip.Addr {
	x.t.Helper()
	p.Source, p.Destination = client(i), netip.MustParseAddrPort("198.51.100.10:80")
	if ipv6 {
		p.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, 15: byte(i >> 14)}), p.Source.Port())
		p.Destination = netip.MustParseAddrPort("[2001:db8::10]:80")
	}
	action, out := xdptest.MustRun(x.t, x.d.Program(xdptest.Interface), p.Frame())
	if action != lb.ActionTX {
		return netip.Addr{}
	}
	if ipv6 {
		return netip.AddrFrom16([16]byte(out[38:54]))
	}
	return netip.AddrFrom4([4]byte(out[30:34]))
}

var (
	syn = xdptest.Packet{SYN: true}
	ack = xdptest.Packet{}
	fin = xdptest.Packet{FIN: true, ACK: true}
	rst = xdptest.Packet{RST: true}
)

func TestDrainKeepsFlows(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("ipv6-%v", ipv6), func(t *testing.T) {
			x := newTracked(t, xdptest.Limits, 3)
			before := map[int]netip.Addr{}
			for i := range 300 {
				before[i] = x.send(i, ipv6, syn)
			}
			if n := len(x.flows()); n != 0 {
				t.Errorf("%d entries in the steady state, expected none", n)
			}
			x.set(0, func(b *lb.Backend) { b.Admin = lb.AdminDrained })
			x.publish(lb.Limits{})
			drained := x.config.Pools[0].Backends[0].Address
			if ipv6 {
				drained = x.config.Pools[1].Backends[0].Address
			}
			for i := range 300 {
				if got := x.send(i, ipv6, ack); got != before[i] {
					t.Fatalf("flow %d moved from %s to %s", i, before[i], got)
				}
			}
			fresh := map[int]netip.Addr{}
			for i := 1000; i < 1300; i++ {
				fresh[i] = x.send(i, ipv6, syn)
				if fresh[i] == drained {
					t.Fatalf("new flow %d went to the drained backend", i)
				}
				if got := x.send(i, ipv6, ack); got != fresh[i] {
					t.Fatalf("new flow %d moved from %s to %s", i, fresh[i], got)
				}
			}
			if n := len(x.flows()); n < 60 || n > 140 {
				t.Errorf("%d entries for 300 new flows, expected those of the drained backend's slots, a third", n)
			}
			x.settle()
			for i, want := range fresh {
				if got := x.send(i, ipv6, ack); got != want {
					t.Fatalf("after the drain flow %d moved from %s to %s", i, want, got)
				}
			}
			if n, m := len(x.flows()), len(x.state.Changing); n != 0 || m != 0 {
				t.Errorf("after the drain there are %d entries and %d pools with changing slots", n, m)
			}
		})
	}
}

func (x *tracked) flows() []lb.FlowEntry {
	x.t.Helper()
	activity, err := x.d.Activity()
	if err != nil {
		x.t.Fatal(err)
	}
	return activity.Flows
}

// settle lets drain_idle pass, and the two publications that follow.
func (x *tracked) settle() {
	for range 3 {
		x.now = x.now.Add(time.Hour)
		x.publish(lb.Limits{})
	}
}

// TestMovedVIPKeepsFlows gives a VIP another pool, and another still, and the first one back.
func TestMovedVIPKeepsFlows(t *testing.T) {
	x := newTracked(t, xdptest.Limits, 3)
	for i, name := range []string{"b", "c"} {
		pool := xdptest.Pool(name, 4, false)
		for n := range pool.Backends {
			pool.Backends[n].Address = netip.AddrFrom4([4]byte{10, byte(50 + i), 0, byte(n + 1)})
		}
		x.config.Pools = append(x.config.Pools, pool)
	}
	owner := map[int]netip.Addr{}
	move := func(pool string) {
		t.Helper()
		x.config = x.config.Normalize()
		for i := range x.config.VIPs {
			if x.config.VIPs[i].Name == "web" {
				x.config.VIPs[i].Pool = pool
			}
		}
		x.now = x.now.Add(time.Second)
		x.publish(lb.Limits{})
		for i, want := range owner {
			if got := x.send(i, false, ack); got != want {
				t.Fatalf("moved to %s: flow %d went from %s to %s", pool, i, want, got)
			}
		}
		p, _ := x.config.Pool(pool)
		for range 100 {
			i := len(owner)
			owner[i] = x.send(i, false, syn)
			if !slices.ContainsFunc(p.Backends, func(b lb.Backend) bool { return b.Address == owner[i] }) {
				t.Fatalf("new flow %d went to %s, which is not in pool %s", i, owner[i], pool)
			}
		}
	}
	for _, pool := range []string{"web", "b", "c", "web", "b"} {
		move(pool)
	}
	x.settle()
	if n, m := len(x.flows()), len(x.state.Moved); n != 0 || m != 0 {
		t.Errorf("in the end there are %d entries and %d VIPs that moved", n, m)
	}
}

// TestFullTableHolds: with a table of a few entries a new flow that gets none stays with the drained backend, and none
// moves.
func TestFullTableHolds(t *testing.T) {
	limits := xdptest.Limits
	limits.FlowsV4, limits.FlowsV6 = 8, 8
	x := newTracked(t, limits, 2)
	x.set(0, func(b *lb.Backend) { b.Admin = lb.AdminDrained })
	x.publish(limits)
	went := map[int]netip.Addr{}
	for i := range 400 {
		went[i] = x.send(i, false, syn)
	}
	held := 0
	for i, want := range went {
		if want == x.config.Pools[0].Backends[0].Address {
			held++
		}
		if got := x.send(i, false, ack); got != want {
			t.Fatalf("flow %d moved from %s to %s", i, want, got)
		}
	}
	counters := readCounters(t, x.d)
	if held < 100 || uint64(held) != counters.Tracking.Held || counters.VIPs[x.state.Layout.VIPs["web"]].Held != uint64(held) {
		t.Errorf("%d flows were held; counted %d, by the VIP %d", held, counters.Tracking.Held, counters.VIPs[x.state.Layout.VIPs["web"]].Held)
	}
}

// TestSoftFailureBypasses: a previous owner that may be dying gets no new flow, not even for want of an entry.
func TestSoftFailureBypasses(t *testing.T) {
	limits := xdptest.Limits
	limits.FlowsV4 = 1
	x := newTracked(t, limits, 2)
	failing := lb.BackendKey("web", "web-1")
	activity, err := x.d.Activity()
	if err != nil {
		t.Fatal(err)
	}
	next, err := lb.Plan(x.state, lb.PlanInput{
		Config: x.config, Hops: xdptest.Hops(x.config, xdptest.Interface), Seed: xdptest.Seed, Limits: limits, Revision: 1,
		Activity: activity, Now: x.now, Conditions: lb.Conditions{failing: lb.ConditionSoft},
	})
	if err != nil {
		t.Fatal(err)
	}
	xdptest.MustPublish(t, x.d, next)
	for i := range 200 {
		if got := x.send(i, false, syn); got == x.config.Pools[0].Backends[0].Address {
			t.Fatalf("new flow %d went to the failing backend", i)
		}
	}
	if got := readCounters(t, x.d).Tracking.Bypassed; got < 50 {
		t.Errorf("%d bypassed, expected half of 200 or so", got)
	}
}

// TestForgedPacketsMoveNothing: SYN, FIN and RST with the addresses of a tracked flow leave it where it is.
func TestForgedPacketsMoveNothing(t *testing.T) {
	x := newTracked(t, xdptest.Limits, 2)
	x.set(0, func(b *lb.Backend) { b.Admin = lb.AdminDrained })
	x.publish(lb.Limits{})
	for i := range 50 {
		want := x.send(i, false, syn)
		x.send(i, false, ack)
		for _, forged := range []xdptest.Packet{syn, rst, fin, syn, ack} {
			if got := x.send(i, false, forged); got != want {
				t.Fatalf("flow %d moved from %s to %s by %+v", i, want, got, forged)
			}
		}
	}
}

// TestHardFailureMoves: a backend whose flows are lost gets no packet, neither by default nor by an entry.
func TestHardFailureMoves(t *testing.T) {
	x := newTracked(t, xdptest.Limits, 3)
	x.set(0, func(b *lb.Backend) { b.Admin = lb.AdminDrained })
	x.publish(lb.Limits{})
	for i := range 200 {
		x.send(i, false, syn)
	}
	for _, b := range []int{0, 1} {
		x.set(b, func(b *lb.Backend) { b.Admin = lb.AdminDisabled })
	}
	x.publish(lb.Limits{})
	for i := range 200 {
		if got, want := x.send(i, false, ack), x.config.Pools[0].Backends[2].Address; got != want {
			t.Fatalf("flow %d went to %s; only %s is left", i, got, want)
		}
	}
}

// TestReopenedFlow opens a flow again whose entry is closing: all of its packets go where its first one goes, whatever the
// state of its slot.
func TestReopenedFlow(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("ipv6-%v", ipv6), func(t *testing.T) {
			x := newTracked(t, xdptest.Limits, 3)
			x.set(0, func(b *lb.Backend) { b.Admin = lb.AdminDrained })
			x.publish(lb.Limits{})
			for i := range 300 {
				x.send(i, ipv6, syn)
				x.send(i, ipv6, fin)
			}
			x.set(0, func(b *lb.Backend) { b.Admin = lb.AdminEnabled })
			x.publish(lb.Limits{}) // back to the previous owner: pinned at once
			returned := 0
			for i := range 300 {
				first := x.send(i, ipv6, syn)
				if next := x.send(i, ipv6, ack); next != first {
					t.Fatalf("flow %d was opened again at %s, its next packet went to %s", i, first, next)
				}
				if first == x.config.Pools[map[bool]int{true: 1}[ipv6]].Backends[0].Address {
					returned++
				}
			}
			if returned < 50 {
				t.Errorf("%d flows came back to the backend that returned: too few for a test", returned)
			}
		})
	}
}

// TestRandomChanges opens flows and changes the pool at random: drains, returns, weights, removals, additions, and routes,
// in any order and overlapping. No flow ever gets to another backend than its first packet did.
func TestRandomChanges(t *testing.T) {
	random := testSeed(t)
	x := newTracked(t, xdptest.Limits, 6)
	x.mtus = map[netip.Addr]uint32{}
	all := x.config
	owner := map[int]netip.Addr{}
	check := func(why string) {
		t.Helper()
		for i, want := range owner {
			if got := x.send(i, i%2 == 1, ack); got != want {
				t.Fatalf("after %s flow %d moved from %s to %s", why, i, want, got)
			}
		}
	}
	open := func(n int) {
		for range n {
			i := len(owner)
			if got := x.send(i, i%2 == 1, syn); got.IsValid() {
				owner[i] = got
			}
		}
	}
	open(200)
	for step := range 60 {
		why := randomChange(random, x, all)
		for range 3 { // a route that differs takes another descriptor
			p := all.Pools[random.IntN(2)]
			x.mtus[p.Backends[random.IntN(len(p.Backends))].Address] = 1500 + uint32(random.IntN(2))
		}
		x.now = x.now.Add(time.Duration(random.IntN(30)) * time.Second)
		x.publish(lb.Limits{})
		check(fmt.Sprintf("step %d, %s,", step, why))
		for range 20 { // the client closes, and takes the same port again
			i := random.IntN(len(owner))
			x.send(i, i%2 == 1, fin)
			if got := x.send(i, i%2 == 1, syn); got.IsValid() {
				owner[i] = got
			}
		}
		check(fmt.Sprintf("flows that were opened again in step %d", step))
		open(20)
		check(fmt.Sprintf("new flows of step %d", step))
	}
	if len(x.state.Changing) == 0 {
		t.Error("no slot was changing in the end: the test has not tested much")
	}
}

func randomChange(random *rand.Rand, x *tracked, all lb.Config) string {
	pools := x.config.Pools
	i := random.IntN(len(pools[0].Backends))
	switch random.IntN(5) {
	case 0:
		x.set(i, func(b *lb.Backend) { b.Admin = lb.AdminDrained })
		return fmt.Sprintf("drain %d", i)
	case 1:
		x.set(i, func(b *lb.Backend) { b.Admin = lb.AdminEnabled })
		return fmt.Sprintf("undrain %d", i)
	case 2:
		x.set(i, func(b *lb.Backend) { b.Scale = lb.Scale(random.IntN(1500)) })
		return fmt.Sprintf("scale %d", i)
	case 3:
		if len(pools[0].Backends) > 2 {
			x.config = x.config.Normalize()
			for p := range x.config.Pools {
				b := x.config.Pools[p].Backends
				x.config.Pools[p].Backends = append(b[:i:i], b[i+1:]...)
			}
			return fmt.Sprintf("remove %d", i)
		}
	}
	x.config = all.Normalize()
	return "back to all"
}
