package lb

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestPlanLeavingSequences publishes random configurations under random flows, and time passes: what a slot or a flow names
// keeps its descriptor, and nobody else gets that.
func TestPlanLeavingSequences(t *testing.T) {
	limits := Limits{VIPs: 64, Backends: 256, Slots: 1 << 16}
	left, moved := 0, 0
	for n := range 12 {
		rng := rand.New(rand.NewPCG(11, uint64(n)))
		var prev *State
		now := time.Unix(1_000_000, 0).UTC()
		for step := range 25 {
			c, hops := randomConfig(rng)
			for i := range c.Pools {
				c.Pools[i].Slots = 1024
			}
			if prev != nil {
				for _, a := range prev.Addresses() {
					if _, known := hops[a]; !known && rng.IntN(2) == 0 {
						hops[a] = testHop(byte(rng.IntN(3)), 1500-uint32(rng.IntN(4)/3))
					}
				}
			}
			in := PlanInput{Config: c, Hops: hops, Limits: limits, Now: now, Activity: randomActivity(rng, prev, now)}
			next := mustPlanInput(t, prev, in)
			if again := mustPlanInput(t, prev, in); !reflect.DeepEqual(next, again) {
				t.Fatalf("sequence %d step %d: two plans of the same differ", n, step)
			}
			if err := checkNamed(prev, next, in); err != nil {
				t.Fatalf("sequence %d step %d: %v", n, step, err)
			}
			for key, place := range next.Layout.Backends {
				if !IsLeaving(key) {
					continue
				}
				left++
				if prev.Layout.Backends[key].Address == place.Address && prev.Layout.Backends[key].Index != place.Index {
					moved++
				}
			}
			prev = next
			now = now.Add(time.Duration(rng.IntN(120)) * time.Second)
		}
	}
	if left < 100 || moved == 0 {
		t.Errorf("%d backends were leaving and %d of them changed their descriptor: too few for a test", left, moved)
	}
}

func mustPlanInput(t *testing.T, prev *State, in PlanInput) *State {
	t.Helper()
	next, err := Plan(prev, in)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// randomActivity has a flow for some of the backends of a state.
func randomActivity(rng *rand.Rand, s *State, now time.Time) *Activity {
	out := &Activity{LastDefault: map[string]map[uint32]time.Time{}}
	if s == nil || len(s.Config.VIPs) == 0 {
		return out
	}
	var indexes []uint32
	for _, place := range s.Layout.Backends {
		indexes = append(indexes, place.Index)
	}
	slices.Sort(indexes)
	for _, index := range indexes {
		if rng.IntN(2) == 0 {
			continue
		}
		vip := s.Config.VIPs[rng.IntN(len(s.Config.VIPs))]
		out.Flows = append(out.Flows, FlowEntry{
			Flow: Flow{
				Source:      netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(1024+rng.IntN(60000))),
				Destination: netip.AddrPortFrom(vip.Address, vip.Ports[0]), Protocol: TCP,
			},
			VIP: s.Layout.VIPs[vip.Name], Backend: index, State: FlowEstablished,
		})
	}
	for _, p := range s.Config.Pools {
		out.LastDefault[p.Name] = map[uint32]time.Time{}
		for range 100 {
			out.LastDefault[p.Name][uint32(rng.IntN(1024))] = now.Add(-time.Duration(rng.IntN(600)) * time.Second)
		}
	}
	return out
}

// checkNamed tells what is wrong with the descriptors of next.
func checkNamed(prev, next *State, in PlanInput) error {
	for pool, states := range next.Changing {
		for slot, s := range states {
			if _, ok := next.Layout.Backends[s.Previous]; s.Kind == SlotTransition && !ok {
				return fmt.Errorf("slot %d of pool %s keeps flows of %q, which has no descriptor", slot, pool, s.Previous)
			}
		}
	}
	if prev == nil {
		return nil
	}
	if err := checkBackends(prev, next, in.Limits); err != nil {
		return err
	}
	for _, f := range in.Activity.Flows {
		var key string
		for k, place := range prev.Layout.Backends {
			if place.Index == f.Backend {
				key = k
			}
		}
		place := prev.Layout.Backends[key]
		pool, _ := SplitKey(key)
		if _, stays := next.Config.Pool(pool); !stays {
			continue
		}
		if _, kept := next.Layout.Same(key, place.Address); !kept {
			return fmt.Errorf("a flow names %q at %s, which has no descriptor any more", key, place.Address)
		}
	}
	return nil
}

// TestLeavingGoes: without a slot or a flow that names it, a backend that was removed is gone with its drain.
func TestLeavingGoes(t *testing.T) {
	c := Config{Pools: []Pool{{Name: "web", Slots: 1024, Backends: []Backend{backend("a", "10.0.0.1"), backend("b", "10.0.0.2")}}}, VIPs: []VIP{vip("v", "198.51.100.1")}}
	now := time.Unix(1_000_000, 0).UTC()
	in := PlanInput{Config: c, Hops: hopsOf(c), Limits: DefaultLimits, Now: now, Activity: &Activity{}}
	first := mustPlanInput(t, nil, in)
	index := first.Layout.Backends["web/a"].Index
	in.Config.Pools = []Pool{{Name: "web", Slots: 1024, Backends: c.Pools[0].Backends[1:]}}
	const key = "web/a@10.0.0.1"
	removed := mustPlanInput(t, first, in)
	if place, ok := removed.Layout.Backends[key]; !ok || place.Index != index || !removed.Moving() {
		t.Fatalf("after its removal it lies at %+v", place)
	}
	in.Now = now.Add(DefaultDrainIdle)
	flow := FlowEntry{Flow: Flow{Source: netip.MustParseAddrPort("192.0.2.1:1"), Destination: netip.MustParseAddrPort("198.51.100.1:80"), Protocol: TCP},
		VIP: removed.Layout.VIPs["v"], Backend: index, State: FlowEstablished}
	in.Activity = &Activity{Flows: []FlowEntry{flow}}
	pinned := mustPlanInput(t, removed, in)
	if _, ok := pinned.Layout.Backends[key]; !ok {
		t.Error("it went while a flow names it")
	}
	in.Activity = &Activity{}
	gone := mustPlanInput(t, pinned, in)
	if _, ok := gone.Layout.Backends[key]; ok || gone.Moving() {
		t.Errorf("it stays without slots and flows: %v", gone.Layout.Backends)
	}
	in.Config = c
	if back := mustPlanInput(t, gone, in); back.Layout.Backends["web/a"].Index == 0 {
		t.Error("it does not come back")
	}
}

// TestLeavesAfterItsLastEntry removes a backend that owned slots in transition and keeps none: entries for it may have been
// made after the flows were read, so it stays until they are read again.
func TestLeavesAfterItsLastEntry(t *testing.T) {
	a, b := backend("a", "10.0.0.1"), backend("b", "10.0.0.2")
	site := func(backends ...Backend) Config {
		return Config{Pools: []Pool{{Name: "web", Slots: 1024, Backends: backends}}, VIPs: []VIP{vip("v", "198.51.100.1")}}
	}
	in := PlanInput{Config: site(a), Hops: hopsOf(site(a, b)), Limits: DefaultLimits, Now: time.Unix(1_000_000, 0).UTC(), Activity: &Activity{}}
	first := mustPlanInput(t, nil, in)
	in.Config = site(a, b)
	added := mustPlanInput(t, first, in)
	in.Config = site(a)
	removed := mustPlanInput(t, added, in)
	const key = "web/b@10.0.0.2"
	if place := removed.Layout.Backends[key]; place.Index != added.Layout.Backends["web/b"].Index {
		t.Errorf("right after its removal it lies at %+v", place)
	}
	if gone := mustPlanInput(t, removed, in); gone.Layout.Backends[key].Index != 0 {
		t.Error("it stays without slots and flows")
	}
}
