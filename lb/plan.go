package lb

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// PlanInput is what the next state is made from.
type PlanInput struct {
	// Config must be valid under Limits.
	Config Config
	// Hops are the next hops known; those of addresses that are not in use do not matter.
	Hops Hops
	// Conditions are those of backends that are not up.
	Conditions Conditions
	Seed       Seed
	Limits     Limits
	// Revision is the number of Config.
	Revision uint64
	// Activity is what the data plane reports of changing slots. Without it no slot goes on to its next state by time, and
	// no backend that is leaving goes.
	Activity *Activity
	// Now is when the change happens.
	Now time.Time
}

// Plan computes the state that follows prev. prev is nil where nothing is published yet; its Tables may be missing. Plan is
// pure: the same arguments give the same state.
//
// Packets may read prev's places until the new state is published and a grace period has passed. So whatever differs from
// prev lies where prev has nothing: the other copy of VIP tables and pool descriptors, descriptors and counter lines with
// free indexes, free regions of slots. What is equal keeps its place and need not be written again.
//
// An error names the node setting that is too small for both states side by side.
func Plan(prev *State, in PlanInput) (*State, error) {
	p := planner{prev: prev, seed: in.Seed, limits: in.Limits, activity: in.Activity, hops: in.Hops, now: in.Now}
	if prev == nil {
		p.prev = &State{Layout: Layout{Copy: 1}}
	}
	p.next = &State{
		Publication: p.prev.Publication + 1,
		Revision:    in.Revision,
		Config:      in.Config.Normalize(),
		Conditions:  Conditions{},
		Hops:        Hops{},
		Layout: Layout{
			Copy:     p.prev.Layout.Copy ^ 1,
			VIPs:     map[string]uint32{},
			Pools:    map[string]PoolPlace{},
			Backends: map[string]BackendPlace{},
		},
		Changing: map[string]SlotStates{},
		Drained:  map[string]DrainEnd{},
		Moved:    map[string]MovedVIP{},
		Tables:   map[string]*Table{},
	}
	p.selectHops(in.Hops)
	p.selectConditions(in.Conditions)
	p.matchBackends()
	p.buildTables()
	p.changeSlots()
	p.moveVIPs()
	for _, step := range []func() error{p.placeVIPs, p.placeBackends, p.placePools} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return p.next, nil
}

// planner is one call of Plan.
type planner struct {
	prev, next *State
	seed       Seed
	limits     Limits
	activity   *Activity
	hops       Hops
	now        time.Time
	// keys maps the keys of prev.Layout.Backends to those that the same backends have in next.
	keys map[string]string
	// oldTables are prev's tables, rebuilt where they were missing.
	oldTables map[string]*Table
}

// selectHops keeps the next hops of addresses in use that are routed.
func (p *planner) selectHops(hops Hops) {
	for _, pool := range p.next.Config.Pools {
		for _, b := range pool.Backends {
			if hop, ok := hops[b.Address]; ok && hop.Routed() {
				p.next.Hops[b.Address] = hop
			}
		}
	}
}

// selectConditions keeps the conditions of backends that are there and not up.
func (p *planner) selectConditions(conditions Conditions) {
	for _, pool := range p.next.Config.Pools {
		for _, b := range pool.Backends {
			key := BackendKey(pool.Name, b.Name)
			if c := conditions[key]; c != ConditionUp {
				p.next.Conditions[key] = c
			}
		}
	}
}

// placeVIPs gives every VIP a counter line: its old one, or one that starts at 0.
func (p *planner) placeVIPs() error {
	lines := newIndexes(p.limits.VIPs)
	for _, line := range p.prev.Layout.VIPs {
		lines.use(line)
	}
	fresh := 0
	for _, vip := range p.next.Config.VIPs {
		line, kept := p.prev.Layout.VIPs[vip.Name]
		if !kept {
			fresh++
			line = lines.take()
		}
		p.next.Layout.VIPs[vip.Name] = line
	}
	return lines.check("vips", "counter lines", len(p.prev.Layout.VIPs), fresh)
}

// placeBackends gives every backend a descriptor: the one that says the same, or a free one.
func (p *planner) placeBackends() error {
	descriptors := newIndexes(p.limits.Backends)
	for _, place := range p.prev.Layout.Backends {
		descriptors.use(place.Index)
	}
	fresh := 0
	for _, pool := range p.next.Config.Pools {
		for _, b := range pool.Backends {
			hop := p.next.Hops[b.Address]
			hop.MAC = MAC{}
			place := BackendPlace{Address: b.Address, Encap: pool.Encap, Hop: hop}
			key := BackendKey(pool.Name, b.Name)
			old, ok := p.before(key)
			place.Index = old.Index
			if !ok || place != old {
				fresh++
				place.Index = descriptors.take()
			}
			p.next.Layout.Backends[key] = place
		}
	}
	fresh += p.keepLeaving(descriptors)
	return descriptors.check("backends", "descriptors", len(p.prev.Layout.Backends), fresh)
}

// placePools gives each table a region: the one that holds the same words, or a free one.
func (p *planner) placePools() error {
	regions := newRegions(p.limits.Slots)
	for _, place := range p.prev.Layout.Pools {
		regions.use(place.Base, place.Slots)
	}
	var homeless []string
	for i, pool := range p.next.Config.Pools {
		place := PoolPlace{Index: uint32(i), Slots: pool.SlotCount()}
		if old, ok := p.prev.Layout.Pools[pool.Name]; ok && p.sameWords(pool.Name) {
			place.Base = old.Base
		} else {
			homeless = append(homeless, pool.Name)
		}
		p.next.Layout.Pools[pool.Name] = place
	}
	if limit := p.limits.Pools(); uint64(len(p.next.Config.Pools)) > uint64(limit) {
		return fmt.Errorf("limits.slots: %d pools need %d slots or more, configured are %d (raise limits.slots)",
			len(p.next.Config.Pools), len(p.next.Config.Pools)*MinSlots, p.limits.Slots)
	}
	return p.houseTables(regions, homeless)
}

// buildTables builds the table of every pool, or takes over prev's where nothing it is made from differs.
func (p *planner) buildTables() {
	p.oldTables = map[string]*Table{}
	for _, pool := range p.next.Config.Pools {
		effective := pool.Effective(p.next.Conditions)
		old, ok := p.prev.Config.Pool(pool.Name)
		if !ok {
			p.next.Tables[pool.Name] = BuildTable(p.seed, effective)
			continue
		}
		old = old.Effective(p.prev.Conditions)
		table := p.prev.Tables[pool.Name]
		if table == nil {
			table = BuildTable(p.seed, old)
		}
		p.oldTables[pool.Name] = table
		if !sameTable(old, effective) {
			table = BuildTable(p.seed, effective)
		}
		p.next.Tables[pool.Name] = table
	}
}

// sameWords tells whether the words of a pool's slots, and those of their previous owners, are what prev has.
func (p *planner) sameWords(pool string) bool {
	old, table := p.oldTables[pool], p.next.Tables[pool]
	if old == nil || len(old.Owners) != len(table.Owners) || !maps.Equal(p.prev.Changing[pool], p.next.Changing[pool]) {
		return false
	}
	was, wasBefore := p.prev.slotWords(pool, old)
	is, isBefore := p.next.slotWords(pool, table)
	return slices.Equal(was, is) && slices.Equal(wasBefore, isBefore)
}

// houseTables finds regions for tables whose words are new. Large ones go first: sizes are powers of two and regions
// aligned to them, so that no gaps arise.
func (p *planner) houseTables(regions *regions, pools []string) error {
	slots := func(name string) uint32 { return p.next.Layout.Pools[name].Slots }
	slices.SortFunc(pools, func(a, b string) int {
		return cmp.Or(cmp.Compare(slots(b), slots(a)), strings.Compare(a, b))
	})
	var need, used uint64
	for _, name := range pools {
		need += uint64(slots(name))
	}
	for _, place := range p.prev.Layout.Pools {
		used += uint64(place.Slots)
	}
	for _, name := range pools {
		place := p.next.Layout.Pools[name]
		base, ok := regions.take(place.Slots)
		if !ok {
			return fmt.Errorf("limits.slots: pool %q needs %d slots in one piece; %d are in use until the change is live and %d are needed beside them, configured are %d (raise limits.slots, or change fewer pools at once)",
				name, place.Slots, used, need, p.limits.Slots)
		}
		place.Base = base
		p.next.Layout.Pools[name] = place
	}
	return nil
}

// Indexes lists the descriptor indexes of a pool's normalized backends: the argument of Table.Words.
func (l Layout) Indexes(p Pool) []uint32 {
	indexes := make([]uint32, len(p.Backends))
	for i, b := range p.Backends {
		indexes[i] = l.Backends[BackendKey(p.Name, b.Name)].Index
	}
	return indexes
}

// sameTable tells whether BuildTable makes the same of both pools: only addresses and encap may differ.
func sameTable(a, b Pool) bool {
	return a.SlotCount() == b.SlotCount() && slices.EqualFunc(a.Backends, b.Backends, func(a, b Backend) bool {
		return a.Name == b.Name && a.Weight == b.Weight && a.Scale == b.Scale
	})
}

// indexes hands out the lowest free numbers from 1 to a limit.
type indexes struct {
	limit, next uint32
	used        map[uint32]bool
	full        bool
}

func newIndexes(limit uint32) *indexes {
	return &indexes{limit: limit, next: 1, used: map[uint32]bool{}}
}

func (x *indexes) use(i uint32) { x.used[i] = true }

// take returns 0, for good, when nothing is left.
func (x *indexes) take() uint32 {
	for x.next <= x.limit && x.used[x.next] {
		x.next++
	}
	if x.next > x.limit {
		x.full = true
		return 0
	}
	x.next++
	return x.next - 1
}

// check is the error of a take that found nothing.
func (x *indexes) check(setting, what string, published, fresh int) error {
	if !x.full {
		return nil
	}
	return fmt.Errorf("limits.%s: %d %s are in use until the change is live and %d are needed beside them, configured are %d (raise limits.%s, or change fewer at once)",
		setting, published, what, fresh, x.limit, setting)
}

// regions hands out aligned pieces of the flat slot array.
type regions struct {
	limit uint64
	// used is sorted by base.
	used []region
}

type region struct{ base, size uint64 }

func newRegions(limit uint32) *regions { return &regions{limit: uint64(limit)} }

func (r *regions) use(base, size uint32) {
	i, _ := slices.BinarySearchFunc(r.used, uint64(base), func(u region, base uint64) int { return cmp.Compare(u.base, base) })
	r.used = slices.Insert(r.used, i, region{uint64(base), uint64(size)})
}

// take returns the lowest free base that is a multiple of size, a power of two of at least SlotsPerLine.
func (r *regions) take(size uint32) (base uint32, ok bool) {
	n := uint64(size)
	at := uint64(0)
	for _, u := range r.used {
		if at+n <= u.base {
			break
		}
		if end := u.base + u.size; end > at {
			at = (end + n - 1) / n * n
		}
	}
	if at+n > r.limit {
		return 0, false
	}
	r.use(uint32(at), size)
	return uint32(at), true
}
