package lb

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// testHop routes an address out of eth0; router chooses the link-layer address, mtu what forces a new descriptor.
func testHop(router byte, mtu uint32) NextHop {
	return NextHop{
		Interface: "eth0", InterfaceMAC: MAC{2, 0, 0, 0, 0, 1}, Source: netip.MustParseAddr("10.9.0.1"),
		MTU: mtu, MAC: MAC{2, 0, 0, 0, 1, router},
	}
}

// hopsOf routes every backend of c.
func hopsOf(c Config) Hops {
	hops := Hops{}
	for _, p := range c.Pools {
		for _, b := range p.Backends {
			hops[b.Address] = testHop(1, 1500)
		}
	}
	return hops
}

func mustPlan(t testing.TB, prev *State, c Config, hops Hops, limits Limits) *State {
	t.Helper()
	revision := uint64(1)
	if prev != nil {
		revision = prev.Revision + 1
	}
	next, err := Plan(prev, PlanInput{Config: c, Hops: hops, Limits: limits, Revision: revision})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestPlanFirst(t *testing.T) {
	c := validConfig()
	hops := hopsOf(c)
	delete(hops, netip.MustParseAddr("10.9.4.2"))
	hops[netip.MustParseAddr("10.1.1.1")] = testHop(1, 1500) // nobody's
	s := mustPlan(t, nil, c, hops, DefaultLimits)
	if s.Publication != 1 || s.Revision != 1 || s.Layout.Copy != 0 {
		t.Errorf("publication %d, revision %d, copy %d; want 1, 1, 0", s.Publication, s.Revision, s.Layout.Copy)
	}
	if want := map[string]uint32{"dns": 1, "web": 2, "web6": 3}; !reflect.DeepEqual(s.Layout.VIPs, want) {
		t.Errorf("VIPs at %v, want %v", s.Layout.VIPs, want)
	}
	if want := map[string]PoolPlace{"web": {Index: 0, Base: 0, Slots: 1024}, "web6": {Index: 1, Base: 1024, Slots: 1024}}; !reflect.DeepEqual(s.Layout.Pools, want) {
		t.Errorf("pools at %v, want %v", s.Layout.Pools, want)
	}
	if len(s.Hops) != 2 {
		t.Errorf("hops %v, want those of the two backends that are routed", s.Hops)
	}
	if place := s.Layout.Backends["web/web-2"]; place.Index != 2 || place.Hop != (NextHop{}) {
		t.Errorf("a backend without a route lies at %+v", place)
	}
	if place := s.Layout.Backends["web/web-1"]; !place.Hop.MAC.IsZero() || place.Hop.MTU != 1500 {
		t.Errorf("the place holds the hop %+v, want it without its MAC", place.Hop)
	}
}

// TestPlanKeeps looks at what stays and what moves after single changes of the valid configuration.
func TestPlanKeeps(t *testing.T) {
	for _, row := range []struct {
		name         string
		config       func(*Config)
		hops         func(Hops)
		moved, bases []string // backends with another index, pools with another base
	}{
		{"nothing", nil, nil, nil, nil},
		{"neighbour", nil, func(h Hops) { h[netip.MustParseAddr("10.9.3.2")] = testHop(2, 1500) }, nil, nil},
		{"route", nil, func(h Hops) { h[netip.MustParseAddr("10.9.3.2")] = testHop(1, 1400) }, []string{"web/web-1"}, []string{"web"}},
		{"route-gone", nil, func(h Hops) { delete(h, netip.MustParseAddr("10.9.3.2")) }, []string{"web/web-1"}, []string{"web"}},
		{"not-routed-hop", nil, func(h Hops) { h[netip.MustParseAddr("10.9.3.2")] = NextHop{Interface: "eth0"} }, []string{"web/web-1"}, []string{"web"}},
		{"address", func(c *Config) { c.Pools[1].Backends[0].Address = netip.MustParseAddr("fd00:9::3") }, nil, []string{"web6/web-1", "web6/web-1@fd00:9::2"}, []string{"web6"}},
		{"scale", func(c *Config) { c.Pools[0].Backends[0].Scale = 500 }, nil, nil, []string{"web"}},
		{"size", func(c *Config) { c.Pools[0].Slots = 2048 }, nil, nil, []string{"web"}},
		{"scale-alone", func(c *Config) { c.Pools[1].Backends[0].Scale = 500 }, nil, nil, nil},
		{"vip", func(c *Config) { c.VIPs[0].Ports = []uint16{81} }, nil, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := validConfig()
			prev := mustPlan(t, nil, c, hopsOf(c), DefaultLimits)
			for _, stored := range []bool{false, true} {
				if stored { // as after a restart
					prev.Tables = nil
				}
				changed := validConfig()
				if row.config != nil {
					row.config(&changed)
				}
				hops := hopsOf(changed)
				if row.hops != nil {
					row.hops(hops)
				}
				next := mustPlan(t, prev, changed, hops, DefaultLimits)
				var moved, bases []string
				for key, place := range next.Layout.Backends {
					if place.Index != prev.Layout.Backends[key].Index {
						moved = append(moved, key)
					}
				}
				for name, place := range next.Layout.Pools {
					if place.Base != prev.Layout.Pools[name].Base {
						bases = append(bases, name)
					}
				}
				slices.Sort(moved)
				if !slices.Equal(moved, row.moved) || !slices.Equal(bases, row.bases) {
					t.Errorf("tables stored %v: backends %v and pools %v moved, want %v and %v", stored, moved, bases, row.moved, row.bases)
				}
			}
		})
	}
}

// TestPlanReusesTables: what has the same table is not computed again.
func TestPlanReusesTables(t *testing.T) {
	c := validConfig()
	prev := mustPlan(t, nil, c, hopsOf(c), DefaultLimits)
	c.Pools[0].Backends[0].Address = netip.MustParseAddr("10.9.5.5")
	c.Pools[1].Backends[0].Weight = 7
	next := mustPlan(t, prev, c, hopsOf(c), DefaultLimits)
	if next.Tables["web"] != prev.Tables["web"] {
		t.Error("a new address rebuilt the table")
	}
	if next.Tables["web6"] == prev.Tables["web6"] {
		t.Error("a new weight did not rebuild the table")
	}
}

// TestPlanRandomSequences publishes random configurations one after the other and checks every step.
func TestPlanRandomSequences(t *testing.T) {
	limits := Limits{VIPs: 64, Backends: 128, Slots: 1 << 15}
	for n := range 12 {
		rng := rand.New(rand.NewPCG(7, uint64(n)))
		var prev *State
		for step := range 25 {
			c, hops := randomConfig(rng)
			next := mustPlan(t, prev, c, hops, limits)
			again := mustPlan(t, prev, c, hops, limits)
			if !reflect.DeepEqual(next, again) {
				t.Fatalf("sequence %d step %d: two plans of the same differ", n, step)
			}
			if err := checkPlan(prev, next, limits); err != nil {
				t.Fatalf("sequence %d step %d: %v", n, step, err)
			}
			prev = next
			if rng.IntN(3) == 0 {
				prev.Tables = nil
			}
		}
	}
}

// randomConfig draws from few names and values, so that much stays from one to the next.
func randomConfig(rng *rand.Rand) (Config, Hops) {
	var c Config
	hops := Hops{}
	for i := range 4 {
		if rng.IntN(5) == 0 {
			continue
		}
		p := Pool{Name: fmt.Sprintf("pool-%d", i), Slots: []uint32{0, 0, 1024, 2048}[rng.IntN(4)]}
		for j := range 6 {
			if rng.IntN(8) == 0 {
				continue
			}
			b := backend(fmt.Sprintf("b-%d", j), fmt.Sprintf("10.%d.%d.%d", i, j, rng.IntN(8)/7))
			b.Weight = []uint32{100, 100, 100, 100, 50, 0}[rng.IntN(6)]
			b.Scale = []Scale{ScaleOne, ScaleOne, ScaleOne, 0}[rng.IntN(4)]
			p.Backends = append(p.Backends, b)
			if rng.IntN(10) != 0 {
				hops[b.Address] = testHop(byte(rng.IntN(3)), 1500-uint32(rng.IntN(10)/9))
			}
		}
		c.Pools = append(c.Pools, p)
		for j := range rng.IntN(4) {
			c.VIPs = append(c.VIPs, VIP{
				Name: fmt.Sprintf("vip-%d-%d", i, j), Address: netip.AddrFrom4([4]byte{198, 51, 100, byte(i*8 + j)}),
				Protocol: TCP, Ports: []uint16{80}, Pool: p.Name,
			})
		}
	}
	return c, hops
}

// checkPlan tells what is wrong with next as the successor of prev.
func checkPlan(prev, next *State, limits Limits) error {
	if prev == nil {
		prev = &State{Layout: Layout{Copy: 1}}
	}
	if next.Publication != prev.Publication+1 || next.Layout.Copy != prev.Layout.Copy^1 {
		return fmt.Errorf("publication %d in copy %d after %d in %d", next.Publication, next.Layout.Copy, prev.Publication, prev.Layout.Copy)
	}
	for _, check := range []func(prev, next *State, limits Limits) error{checkVIPs, checkBackends, checkPools} {
		if err := check(prev, next, limits); err != nil {
			return err
		}
	}
	return nil
}

func checkVIPs(prev, next *State, limits Limits) error {
	taken := map[uint32]string{}
	for name, line := range prev.Layout.VIPs {
		taken[line] = name
	}
	seen := map[uint32]bool{}
	for _, vip := range next.Config.VIPs {
		line := next.Layout.VIPs[vip.Name]
		if other, ok := taken[line]; ok && other != vip.Name {
			return fmt.Errorf("vip %s has line %d, where %s is published", vip.Name, line, other)
		}
		if old, ok := prev.Layout.VIPs[vip.Name]; ok && line != old {
			return fmt.Errorf("vip %s moved from line %d to %d", vip.Name, old, line)
		}
		if seen[line] || line == 0 || line > limits.VIPs {
			return fmt.Errorf("vip %s has line %d: taken twice or out of range", vip.Name, line)
		}
		seen[line] = true
	}
	if len(seen) != len(next.Layout.VIPs) {
		return fmt.Errorf("%d VIPs have lines, %d are configured", len(next.Layout.VIPs), len(seen))
	}
	return nil
}

func checkBackends(prev, next *State, limits Limits) error {
	published := map[uint32]BackendPlace{}
	for _, place := range prev.Layout.Backends {
		published[place.Index] = place
	}
	seen := map[uint32]bool{}
	for key, place := range next.Layout.Backends {
		if old, ok := published[place.Index]; ok && old != place {
			return fmt.Errorf("backend %s rewrites descriptor %d from %+v to %+v", key, place.Index, old, place)
		}
		if seen[place.Index] || place.Index == 0 || place.Index > limits.Backends {
			return fmt.Errorf("backend %s has index %d: taken twice or out of range", key, place.Index)
		}
		seen[place.Index] = true
		hop := next.Hops[place.Address]
		hop.MAC = MAC{}
		if hop != place.Hop {
			return fmt.Errorf("backend %s was planned for %+v, its next hop is %+v", key, place.Hop, hop)
		}
	}
	return nil
}

// checkPools writes the slots of both states into one array and reads prev's afterwards.
func checkPools(prev, next *State, limits Limits) error {
	array := make([]uint32, limits.Slots)
	owner := make([]string, limits.Slots)
	write := func(s *State, p Pool, place PoolPlace) {
		BuildTable(Seed{}, p).Words(s.Layout.Indexes(p), array[place.Base:place.Base+place.Slots])
	}
	for _, p := range prev.Config.Pools {
		write(prev, p, prev.Layout.Pools[p.Name])
	}
	before := slices.Clone(array)
	for i, p := range next.Config.Pools {
		place := next.Layout.Pools[p.Name]
		if place.Index != uint32(i) || place.Slots != p.SlotCount() || place.Base%place.Slots != 0 || place.Base+place.Slots > limits.Slots {
			return fmt.Errorf("pool %s, number %d, lies at %+v", p.Name, i, place)
		}
		if want := BuildTable(Seed{}, p); !slices.Equal(want.Owners, next.Tables[p.Name].Owners) || want.Digest() != next.Tables[p.Name].Digest() {
			return fmt.Errorf("pool %s has another table than its own", p.Name)
		}
		for s := place.Base; s < place.Base+place.Slots; s++ {
			if owner[s] != "" {
				return fmt.Errorf("slot %d belongs to pools %s and %s", s, owner[s], p.Name)
			}
			owner[s] = p.Name
		}
		write(next, p, place)
	}
	for _, p := range prev.Config.Pools {
		place := prev.Layout.Pools[p.Name]
		if !slices.Equal(before[place.Base:place.Base+place.Slots], array[place.Base:place.Base+place.Slots]) {
			return fmt.Errorf("slots of pool %s are rewritten while packets read them", p.Name)
		}
	}
	return nil
}

// TestPlanFull: an error names the setting, and both what is needed and what there is.
func TestPlanFull(t *testing.T) {
	one := Config{Pools: []Pool{{Name: "web", Backends: []Backend{backend("a", "10.0.0.1"), backend("b", "10.0.0.2")}}}, VIPs: []VIP{vip("v", "198.51.100.1")}}
	other := Config{Pools: []Pool{{Name: "web", Backends: []Backend{backend("c", "10.0.0.3"), backend("d", "10.0.0.4")}}}, VIPs: []VIP{vip("w", "198.51.100.1")}}
	for _, row := range []struct {
		name   string
		limits Limits
		want   string
	}{
		{"vips", Limits{VIPs: 1, Backends: 4, Slots: 2048}, "limits.vips: 1 counter lines are in use until the change is live and 1 are needed beside them, configured are 1 "},
		{"backends", Limits{VIPs: 2, Backends: 3, Slots: 2048}, "limits.backends: 2 descriptors are in use until the change is live and 2 are needed beside them, configured are 3 "},
		{"slots", Limits{VIPs: 2, Backends: 4, Slots: 1024}, `limits.slots: pool "web" needs 1024 slots in one piece; 1024 are in use until the change is live and 1024 are needed beside them, configured are 1024 `},
		{"enough", Limits{VIPs: 2, Backends: 4, Slots: 2048}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			prev := mustPlan(t, nil, one, hopsOf(one), row.limits)
			next, err := Plan(prev, PlanInput{Config: other, Hops: hopsOf(other), Limits: row.limits, Revision: 2})
			switch {
			case row.want == "" && err != nil:
				t.Error(err)
			case row.want != "" && (err == nil || next != nil || !strings.HasPrefix(err.Error(), row.want)):
				t.Errorf("error %v, want %q", err, row.want)
			}
		})
	}
}

// TestPlanPacks fills the slot array to the last slot with tables of all sizes.
func TestPlanPacks(t *testing.T) {
	c := Config{}
	total := uint32(0)
	for i, slots := range []uint32{1024, 4096, 1024, 8192, 2048, 16384, 1024, 2048} {
		c.Pools = append(c.Pools, Pool{Name: fmt.Sprintf("p%d", i), Slots: slots})
		total += slots
	}
	mustPlan(t, nil, c, nil, Limits{VIPs: 1, Backends: 1, Slots: total})
}

func BenchmarkPlan(b *testing.B) {
	var c Config
	for i := range 100 {
		p := testPool(100, 0)
		p.Name = fmt.Sprintf("pool-%03d", i)
		c.Pools = append(c.Pools, p)
	}
	hops := hopsOf(c)
	prev := mustPlan(b, nil, c, hops, DefaultLimits)
	changed := c.Normalize()
	changed.Pools[50].Backends[7].Scale = 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Plan(prev, PlanInput{Config: changed, Hops: hops, Limits: DefaultLimits, Revision: 2}); err != nil {
			b.Fatal(err)
		}
	}
}
