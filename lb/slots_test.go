package lb

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// slotModel is one slot, the flows through it, and what the program in xdp/bpf/track.h does with them, in the plainest
// words. Events happen one after the other.
type slotModel struct {
	state SlotState
	owner string // empty: nobody
	dead  map[string]bool
	flows []modelFlow
	now   time.Time
	story []string
}

// modelFlow is a connection that goes on until it is closed.
type modelFlow struct {
	home  string // where it began
	entry string // where its entry says it goes; empty without one
	lost  bool   // its home died, or drain_max has passed it
}

var modelBackends = []string{"a", "b", "c"}

func (m *slotModel) clone() *slotModel {
	out := *m
	out.flows, out.story = slices.Clone(m.flows), slices.Clone(m.story)
	out.dead = map[string]bool{}
	for k, v := range m.dead {
		out.dead[k] = v
	}
	return &out
}

// send is where a packet of a flow goes that is not the first.
func (m *slotModel) send(f modelFlow) string {
	flags := m.state.Kind.Flags()
	switch {
	case flags&SlotLookup != 0 && f.entry != "" && !m.dead[f.entry]:
		return f.entry
	case flags&SlotPrevious != 0:
		return m.state.Previous
	}
	return m.owner
}

// open is a first packet. room tells whether the flow table takes an entry.
func (m *slotModel) open(room bool) {
	f := modelFlow{home: m.owner}
	if m.state.Kind.Flags()&SlotInsert != 0 && m.owner != "" {
		if f.entry = m.owner; !room {
			f.entry, f.home = "", m.state.Previous
		}
	}
	if f.home != "" {
		m.flows = append(m.flows, f)
	}
}

// change is what Plan does where a slot's owner differs.
func (m *slotModel) change(to string) {
	m.state = m.state.change(ownerChange{from: m.owner, to: to, fromDead: m.dead[m.owner], now: m.now})
	m.owner = to
}

// die lets a backend die; where it owned the slot another takes it.
func (m *slotModel) die(backend, heir string) {
	m.dead[backend] = true
	for i := range m.flows {
		m.flows[i].lost = m.flows[i].lost || m.flows[i].home == backend
	}
	if m.owner == backend {
		m.change(heir)
	}
	if m.state.Kind == SlotTransition && m.state.Previous == backend {
		m.state = m.state.previousDied()
	}
}

// close ends a flow; its entry goes with it.
func (m *slotModel) close(i int) { m.flows = slices.Delete(m.flows, i, i+1) }

// sweep drops the entries that UselessFlows would drop.
func (m *slotModel) sweep() {
	for i, f := range m.flows {
		if m.dead[f.entry] || m.state.Kind != SlotTransition && f.entry == m.owner {
			m.flows[i].entry = ""
		}
	}
}

// age is the timer of a slot. quiet is whether the previous owner got no packet by default, which only a slot can be that
// has no flow of that kind any more.
func (m *slotModel) age(deadline bool) {
	pool := Pool{DrainMax: time.Hour, DrainIdle: time.Minute}
	last := m.now // some flow goes by default
	if !slices.ContainsFunc(m.flows, func(f modelFlow) bool { return !f.lost && m.byDefault(f) }) {
		last = time.Time{}
	}
	m.now = m.now.Add(2 * time.Minute)
	if deadline {
		m.now = m.now.Add(time.Hour)
	} else if !last.IsZero() {
		last = m.now
	}
	switch m.state.Kind {
	case SlotTransition:
		if m.state.ended(pool, last, m.now) == DrainGoesOn {
			return
		}
		for i, f := range m.flows { // only drain_max does this
			m.flows[i].lost = f.lost || m.byDefault(f) && m.state.Previous != m.owner
		}
		m.state = SlotState{Kind: SlotPinned}
	case SlotPinned:
		if !slices.ContainsFunc(m.flows, func(f modelFlow) bool { return f.entry != "" && f.entry != m.owner }) {
			m.state = SlotState{}
		}
	case SlotStable:
	}
}

// byDefault tells whether packets of f go to the previous owner for want of an entry.
func (m *slotModel) byDefault(f modelFlow) bool {
	return m.state.Kind == SlotTransition && (f.entry == "" || m.dead[f.entry])
}

// events are all that can happen next, by name.
func (m *slotModel) events() map[string]func(*slotModel) {
	out := map[string]func(*slotModel){
		"open":      func(m *slotModel) { m.open(true) },
		"open-full": func(m *slotModel) { m.open(false) },
		"sweep":     (*slotModel).sweep,
		"age":       func(m *slotModel) { m.age(false) },
		"deadline":  func(m *slotModel) { m.age(true) },
	}
	if m.owner != "" {
		out["change-to-nobody"] = func(m *slotModel) { m.change("") }
	}
	for _, b := range modelBackends {
		if m.dead[b] {
			out["revive-"+b] = func(m *slotModel) { m.sweep(); delete(m.dead, b) }
			continue
		}
		if b != m.owner {
			out["change-to-"+b] = func(m *slotModel) { m.change(b) }
		}
		out["die-"+b] = func(m *slotModel) { m.die(b, m.heir(b)) }
	}
	for i := range m.flows {
		out[fmt.Sprintf("close-%d", i)] = func(m *slotModel) { m.close(i) }
	}
	return out
}

// heir is the first live backend that is not b.
func (m *slotModel) heir(b string) string {
	for _, other := range modelBackends {
		if other != b && !m.dead[other] {
			return other
		}
	}
	return ""
}

// check is the promise: a flow stays where it began as long as that lives and drain_max has not passed it.
func (m *slotModel) check() error {
	for _, f := range m.flows {
		if to := m.send(f); !f.lost && to != f.home {
			return fmt.Errorf("a flow that began on %q with an entry for %q goes to %q in %+v, owner %q", f.home, f.entry, to, m.state, m.owner)
		}
	}
	if m.state.Kind != SlotTransition && m.state.Previous != "" || m.state.Kind == SlotTransition && m.state.Previous == "" {
		return fmt.Errorf("state %+v", m.state)
	}
	return nil
}

// key tells models apart by what can still make a difference.
func (m *slotModel) key() string {
	var dead []string
	for _, b := range modelBackends {
		if m.dead[b] {
			dead = append(dead, b)
		}
	}
	flows := slices.Clone(m.flows)
	slices.SortFunc(flows, func(a, b modelFlow) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return fmt.Sprint(m.state.Kind, m.state.Previous, m.now.Sub(m.state.Since) > time.Hour, m.owner, dead, slices.Compact(flows))
}

// TestSlotMachine plays every order of events among three backends with up to three different flows. States that were seen
// are not played again, so that there is an end: it is not a depth that bounds the test.
func TestSlotMachine(t *testing.T) {
	start := &slotModel{owner: "a", dead: map[string]bool{}, now: time.Unix(1_000_000, 0)}
	start.open(true)
	seen, kinds := map[string]bool{start.key(): true}, map[SlotKind]int{}
	level := []*slotModel{start}
	depth := 0
	for ; len(level) > 0; depth++ {
		var next []*slotModel
		for _, m := range level {
			for name, event := range m.events() {
				n := m.clone()
				n.story = append(n.story, name)
				event(n)
				if err := n.check(); err != nil {
					t.Fatalf("after %s: %v", strings.Join(n.story, ", "), err)
				}
				if len(n.flows) > 3 || seen[n.key()] {
					continue
				}
				seen[n.key()] = true
				kinds[n.state.Kind]++
				next = append(next, n)
			}
		}
		level = next
	}
	t.Logf("%d states, %v, the last after %d events", len(seen), kinds, depth)
	if kinds[SlotTransition] == 0 || kinds[SlotPinned] == 0 || kinds[SlotStable] == 0 {
		t.Errorf("states by kind: %v", kinds)
	}
}
