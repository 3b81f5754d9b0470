package xdp_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
	"github.com/sluice-lb/sluice/xdp/xdptest"
)

// smallLimits keep the comparison of all maps cheap.
var smallLimits = lb.Limits{VIPs: 64, Backends: 256, Slots: 1 << 16, FlowsV4: 4096, FlowsV6: 4096}

// explain explains a frame and fails where any word of any map is another one afterwards.
func explain(t *testing.T, d *xdp.Dataplane, frame []byte, iface string) lb.Explanation {
	t.Helper()
	before := d.Contents(t)
	e, err := d.Explain(frame, iface)
	if err != nil {
		t.Fatal(err)
	}
	after := d.Contents(t)
	if len(before) < 15 || len(before["slots"]) != 1<<18 {
		t.Fatalf("maps %q, slots of %d bytes: the comparison does not see all", slices.Sorted(maps.Keys(before)), len(before["slots"]))
	}
	for name := range before {
		if before[name] != after[name] {
			t.Fatalf("map %s has changed", name)
		}
	}
	return e
}

// TestExplainPacketTable explains every packet of the table, then sends it: verdict, backend and frame are those of the
// program that forwards, and of the twin.
func TestExplainPacketTable(t *testing.T) {
	d := openTable(t, xdp.Options{Limits: smallLimits, SourceEntropy: true})
	hops := tableHops()
	for address, hop := range hops {
		hops[address] = tableSources.Apply(hop)
	}
	state := xdptest.MustPlan(t, nil, tableConfig, hops)
	xdptest.MustPublish(t, d, state)
	twin := tableTwin(state)
	for _, r := range slices.Concat(rows, wayRows) {
		for _, family := range []int{4, 6} {
			if r.only != 0 && r.only != family {
				continue
			}
			t.Run(fmt.Sprintf("%s-ipv%d", r.name, family), func(t *testing.T) {
				frame := r.frame(family == 6)
				e := explain(t, d, frame, xdptest.Interface)
				before := readCounters(t, d)
				action, out := xdptest.MustRun(t, d.Program(xdptest.Interface), frame)
				after := readCounters(t, d)
				if e.Verdict != r.verdict || e.Action != action || !bytes.Equal(e.Frame, out) {
					t.Errorf("explained as %s, %s; the row says %s, the program %s\n%s", e.Verdict, e.Action, r.verdict, action,
						describeDifference(out, e.Frame))
				}
				if n := after.Interfaces[0].Verdicts[e.Verdict] - before.Interfaces[0].Verdicts[e.Verdict]; n != 1 {
					t.Errorf("the program counted %d packets as %s", n, e.Verdict)
				}
				checkBackendMoved(t, state, e.Backend, before.Backends, after.Backends)
				checkAgainstTwin(t, e, twin.Explain(frame))
			})
		}
	}
}

// checkBackendMoved expects that the counters of the backend moved, and of no other.
func checkBackendMoved(t *testing.T, state *lb.State, key string, before, after []lb.Counter) {
	t.Helper()
	index := state.Layout.Backends[key].Index
	for i := range after {
		if moved := before[i] != after[i]; moved != (uint32(i) == index && index != 0) {
			t.Errorf("explained as backend %q, index %d; the counters of index %d moved: %v", key, index, i, moved)
		}
	}
}

// checkAgainstTwin compares all that the twin can know.
func checkAgainstTwin(t *testing.T, e, twin lb.Explanation) {
	t.Helper()
	e.ProgramTag, e.LiveTag = "", ""
	if got, want := fmt.Sprintf("%+v", e), fmt.Sprintf("%+v", twin); got != want {
		t.Errorf("explanation\n%s\ntwin\n%s", got, want)
	}
}

// TestExplainIngress: the interface of the record decides, not the instance's; and it must be managed.
func TestExplainIngress(t *testing.T) {
	names := []string{"test0", "test1"}
	d := xdptest.MustOpen(t, xdp.Options{Interfaces: names, Limits: smallLimits})
	for _, frame := range [][]byte{row{}.frame(false)} {
		if _, err := d.Explain(frame, names[0]); err == nil {
			t.Error("a data plane without a state explained a packet")
		}
	}
	state := xdptest.MustPlan(t, nil, tableConfig, xdptest.Hops(tableConfig, names[1]))
	xdptest.MustPublish(t, d, state)
	for _, name := range names {
		frame := row{}.frame(false)
		e := explain(t, d, frame, name)
		action, out := xdptest.MustRun(t, d.Program(name), frame)
		if e.Action != action || !bytes.Equal(e.Frame, out) || e.Interface != name {
			t.Errorf("%s: explained as %s, %s; the program of %s says %s", e.Interface, e.Verdict, e.Action, name, action)
		}
		info, err := d.Program(name).Info()
		if err != nil {
			t.Fatal(err)
		}
		if e.ProgramTag != info.Tag || e.LiveTag != "" {
			t.Errorf("explained by tag %q, live %q; the instance for %s has %q and is attached nowhere", e.ProgramTag, e.LiveTag, name, info.Tag)
		}
	}
	if _, err := d.Explain(row{}.frame(false), "other0"); !errors.Is(err, xdp.ErrInterface) {
		t.Errorf("interface that is not managed: %v", err)
	}
	for _, n := range []int{0, xdp.MinFrame - 1, xdp.MaxFrame + 1} {
		if _, err := d.Explain(make([]byte, n), names[0]); !errors.Is(err, xdp.ErrFrame) {
			t.Errorf("frame of %d bytes: %v", n, err)
		}
	}
	for _, n := range []int{xdp.MinFrame, xdp.MaxFrame} {
		if e := explain(t, d, make([]byte, n), names[0]); e.Verdict != lb.VerdictPassNotIP {
			t.Errorf("frame of %d bytes: %s", n, e.Verdict)
		}
	}
}

// frameOf is packet p of flow i of tracked.
func frameOf(i int, ipv6 bool, p xdptest.Packet) []byte {
	p.Source, p.Destination = client(i), netip.MustParseAddrPort("198.51.100.10:80")
	if ipv6 {
		p.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, 15: byte(i >> 14)}), p.Source.Port())
		p.Destination = netip.MustParseAddrPort("[2001:db8::10]:80")
	}
	return p.Frame()
}

// predict explains packet p of flow i, sends it, and fails where another backend gets it or an entry is made otherwise.
func (x *tracked) predict(i int, ipv6 bool, p xdptest.Packet) lb.Explanation {
	x.t.Helper()
	e := explain(x.t, x.d, frameOf(i, ipv6, p), xdptest.Interface)
	before, entries := readCounters(x.t, x.d).Tracking, len(x.flows())
	if got := x.send(i, ipv6, p); got != e.Address {
		x.t.Fatalf("flow %d, %+v: explained as to %s, but %s got it\n%s", i, p, e.Address, got, e)
	}
	after := readCounters(x.t, x.d).Tracking
	if made := len(x.flows()) != entries; made != (e.Inserted() && !e.Path.Has(lb.StepEntry)) {
		x.t.Fatalf("flow %d, %+v: an entry was made: %v\n%s", i, p, made, e)
	}
	for step, grew := range map[lb.Step]bool{
		lb.StepLookup: after.Lookups > before.Lookups, lb.StepEntryFollow: after.Hits > before.Hits,
		lb.StepInsert: after.Inserts > before.Inserts, lb.StepHeld: after.Held > before.Held,
		lb.StepBypass: after.Bypassed > before.Bypassed,
	} {
		if e.Path.Has(step) != grew {
			x.t.Fatalf("flow %d, %+v: counted as %s: %v\n%s", i, p, step, grew, e)
		}
	}
	return e
}

// TestExplainChangingSlots predicts packets of slots in every state.
func TestExplainChangingSlots(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("ipv6-%v", ipv6), func(t *testing.T) {
			x := newTracked(t, smallLimits, 3)
			seen := map[lb.SlotKind]int{}
			told := map[lb.Step]int{}
			round := func(n int, packets ...xdptest.Packet) {
				for i := range n {
					for _, p := range packets {
						e := x.predict(i, ipv6, p)
						seen[e.State]++
						for _, s := range e.Path.Steps() {
							told[s]++
						}
						twin := lb.NewTwin(x.state, xdptest.Seed, xdptest.Interface).Explain(frameOf(i, ipv6, p))
						if e.Hash != twin.Hash || e.Slot != twin.Slot || e.Word != twin.Word || e.Owner != twin.Owner || e.State != twin.State ||
							!e.Path.Has(lb.StepEntry) && (e.Backend != twin.Backend || e.Path != twin.Path || e.Previous != twin.Previous) {
							t.Fatalf("flow %d, %+v: explanation\n%s\ntwin\n%s", i, p, e, twin)
						}
					}
				}
			}
			round(20, syn, ack)
			x.set(0, func(b *lb.Backend) { b.Admin = lb.AdminDrained })
			x.publish(smallLimits)
			round(20, ack)                          // to the previous owner
			round(40, syn, syn, ack, rst, syn, ack) // new ones get an entry, forged ones follow it, closed ones begin anew
			x.set(0, func(b *lb.Backend) { b.Admin = lb.AdminEnabled })
			x.publish(smallLimits) // back: pinned
			round(40, ack, syn)
			x.set(1, func(b *lb.Backend) { b.Admin = lb.AdminDisabled })
			x.set(2, func(b *lb.Backend) { b.Admin = lb.AdminDisabled })
			x.publishWithoutSweep(smallLimits)
			round(40, ack)
			for _, kind := range []lb.SlotKind{lb.SlotStable, lb.SlotTransition, lb.SlotPinned} {
				if seen[kind] == 0 {
					t.Errorf("no slot was %s", kind)
				}
			}
			for s := range lb.StepCount {
				if told[s] == 0 && s != lb.StepHeld && s != lb.StepBypass && s != lb.StepMoved { // those have tests of their own
					t.Errorf("no packet took step %s", s)
				}
			}
		})
	}
}

// publishWithoutSweep publishes and leaves all entries, also those that are of no use any more.
func (x *tracked) publishWithoutSweep(limits lb.Limits) {
	x.t.Helper()
	next, err := lb.Plan(x.state, lb.PlanInput{
		Config: x.config, Hops: xdptest.Hops(x.config, xdptest.Interface), Seed: xdptest.Seed, Limits: limits, Revision: 1,
		Activity: &lb.Activity{Flows: x.flows()}, Now: x.now,
	})
	if err != nil {
		x.t.Fatal(err)
	}
	xdptest.MustPublish(x.t, x.d, next)
	x.state = next
}

// TestExplainFullTable predicts that new flows are held when the table is full, and bypass a previous owner that fails.
func TestExplainFullTable(t *testing.T) {
	limits := smallLimits
	limits.FlowsV4, limits.FlowsV6 = 8, 8
	for _, condition := range []lb.Condition{lb.ConditionUp, lb.ConditionSoft} {
		t.Run(condition.String(), func(t *testing.T) {
			x := newTracked(t, limits, 2)
			if condition == lb.ConditionUp {
				x.set(0, func(b *lb.Backend) { b.Admin = lb.AdminDrained })
				x.publish(limits)
			} else {
				x.soften(limits, lb.Conditions{"web/web-1": condition, "web6/web6-1": condition})
			}
			steps := map[lb.Step]int{}
			for i := range 60 {
				for _, ipv6 := range []bool{false, true} {
					for _, s := range x.predict(i, ipv6, syn).Path.Steps() {
						steps[s]++
					}
				}
			}
			want, other := lb.StepHeld, lb.StepBypass
			if condition == lb.ConditionSoft {
				want, other = other, want
			}
			if steps[lb.StepInsert] < 8 || steps[want] < 8 || steps[other] != 0 {
				t.Errorf("steps %v, expected inserts until the tables were full and %s then", steps, want)
			}
		})
	}
}

// soften publishes conditions.
func (x *tracked) soften(limits lb.Limits, conditions lb.Conditions) {
	x.t.Helper()
	next, err := lb.Plan(x.state, lb.PlanInput{
		Config: x.config, Hops: xdptest.Hops(x.config, xdptest.Interface), Seed: xdptest.Seed, Limits: limits, Revision: 1,
		Activity: &lb.Activity{}, Now: x.now, Conditions: conditions,
	})
	if err != nil {
		x.t.Fatal(err)
	}
	xdptest.MustPublish(x.t, x.d, next)
	x.state = next
}

// TestExplainMovedVIP predicts packets of a VIP that has got another pool.
func TestExplainMovedVIP(t *testing.T) {
	x := newTracked(t, smallLimits, 3)
	pool := xdptest.Pool("b", 4, false)
	for n := range pool.Backends {
		pool.Backends[n].Address = netip.AddrFrom4([4]byte{10, 50, 0, byte(n + 1)})
	}
	x.config.Pools = append(x.config.Pools, pool)
	move := func(to string) {
		x.config = x.config.Normalize()
		for i := range x.config.VIPs {
			if x.config.VIPs[i].Pool == "web" {
				x.config.VIPs[i].Pool = to
			}
		}
		x.publish(smallLimits)
	}
	x.set(0, func(b *lb.Backend) { b.Admin = lb.AdminDrained })
	move("web") // slots of the first pool are in transition, too
	move("b")
	twin := lb.NewTwin(x.state, xdptest.Seed, xdptest.Interface)
	for i := range 40 {
		for _, p := range []xdptest.Packet{ack, syn, ack} {
			frame := frameOf(i, false, p)
			e := x.predict(i, false, p)
			if !e.Path.Has(lb.StepMoved) || e.PreviousPool != "web" || e.Pool != "b" {
				t.Fatalf("flow %d: pool %q, before %q\n%s", i, e.Pool, e.PreviousPool, e)
			}
			if !e.Path.Has(lb.StepEntry) {
				checkAgainstTwin(t, e, twin.Explain(frame))
			}
		}
	}
	udp := row{packet: xdptest.Packet{UDP: true}}.frame(false)
	checkAgainstTwin(t, explain(t, x.d, udp, xdptest.Interface), twin.Explain(udp))
}
