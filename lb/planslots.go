package lb

import (
	"maps"
	"slices"
)

// matchBackends finds out which backend of prev is which of next: one that is configured at the same address under the
// same key, or else one that is leaving, or leaves now.
func (p *planner) matchBackends() {
	configured := map[string]Backend{}
	for _, pool := range p.next.Config.Pools {
		for _, b := range pool.Backends {
			configured[BackendKey(pool.Name, b.Name)] = b
		}
	}
	p.keys = make(map[string]string, len(p.prev.Layout.Backends))
	for key, place := range p.prev.Layout.Backends {
		pool, name := SplitKey(key)
		plain := BackendKey(pool, name)
		leaving := LeavingKey(plain, place.Address)
		if b, ok := configured[plain]; ok && b.Address == place.Address {
			p.keys[key] = plain
			continue
		}
		p.keys[key] = leaving
		if p.prev.Dead(key) {
			p.next.Conditions[leaving] = ConditionHard
		}
	}
}

// before is the place that a backend of next has in prev.
func (p *planner) before(key string) (BackendPlace, bool) {
	for _, old := range p.oldKeys(key) {
		if place, ok := p.prev.Layout.Backends[old]; ok && p.keys[old] == key {
			return place, true
		}
	}
	return BackendPlace{}, false
}

// oldKeys are the keys under which prev may know a backend.
func (p *planner) oldKeys(key string) []string {
	pool, name := SplitKey(key)
	b, _ := p.next.Config.Pool(pool)
	c, ok := b.Backend(name)
	if !ok || IsLeaving(key) {
		return []string{key, BackendKey(pool, name)}
	}
	return []string{key, LeavingKey(key, c.Address)}
}

// changeSlots computes the state of every slot of the pools that stay and keep their size. The slots of others begin as
// stable: there is no telling which old slot a flow was in.
func (p *planner) changeSlots() {
	foreign := map[string]map[uint32]bool{}
	if p.activity != nil {
		foreign = p.prev.foreignSlots(p.seed, p.activity.Flows)
	}
	for _, pool := range p.next.Config.Pools {
		old, table := p.oldTables[pool.Name], p.next.Tables[pool.Name]
		if old == nil || len(old.Owners) != len(table.Owners) {
			continue
		}
		states := p.changePool(pool, old, table, foreign[pool.Name])
		if len(states) > 0 {
			p.next.Changing[pool.Name] = states
		}
	}
	p.noteDrained()
}

// changePool is changeSlots for one pool.
func (p *planner) changePool(pool Pool, old, table *Table, foreign map[uint32]bool) SlotStates {
	oldPool, _ := p.prev.Config.Pool(pool.Name)
	was, is := p.ownerKeys(oldPool), ownerKeys(pool)
	dead := map[string]bool{}
	for _, key := range was {
		dead[key] = key != "" && p.next.Dead(key)
	}
	states := SlotStates{}
	prev := p.prev.Changing[pool.Name]
	if len(prev) == 0 && old == table && slices.Equal(was, is) {
		return states
	}
	for s := range table.Owners {
		state := p.carryOver(prev[uint32(s)])
		if from, to := keyOf(was, old.Owners[s]), keyOf(is, table.Owners[s]); from != to {
			state = state.change(ownerChange{from: from, to: to, fromDead: dead[from], now: p.now})
		} else {
			state = p.age(pool, uint32(s), state, foreign[uint32(s)])
		}
		if state.Kind == SlotTransition && p.next.Dead(state.Previous) {
			state = state.previousDied()
		}
		if state.Kind != SlotStable {
			states[uint32(s)] = state
		}
	}
	return states
}

// carryOver is a slot's state with the key that its previous owner has in next.
func (p *planner) carryOver(s SlotState) SlotState {
	if s.Kind == SlotTransition {
		s.Previous = p.keys[s.Previous]
	}
	return s
}

// age lets time pass for a slot whose owner stays.
func (p *planner) age(pool Pool, slot uint32, s SlotState, foreign bool) SlotState {
	if p.activity == nil {
		return s
	}
	switch s.Kind {
	case SlotTransition:
		end := s.ended(pool, p.activity.LastDefault[pool.Name][slot], p.now)
		if end != DrainGoesOn {
			p.next.Drained[s.Previous] = max(p.next.Drained[s.Previous], end)
			return SlotState{Kind: SlotPinned}
		}
	case SlotPinned:
		if !foreign {
			return SlotState{}
		}
	case SlotStable:
	}
	return s
}

// noteDrained keeps why a drain ended for as long as the backend is drained.
func (p *planner) noteDrained() {
	for key, end := range p.prev.Drained {
		p.next.Drained[key] = max(p.next.Drained[key], end)
	}
	maps.DeleteFunc(p.next.Drained, func(key string, _ DrainEnd) bool {
		pool, name := SplitKey(key)
		c, _ := p.next.Config.Pool(pool)
		b, ok := c.Backend(name)
		return !ok || IsLeaving(key) || b.Admin != AdminDrained
	})
}

// ownerKeys are the keys, in next, of the backends of a pool of prev, by index.
func (p *planner) ownerKeys(pool Pool) []string {
	keys := ownerKeys(pool)
	for i, key := range keys {
		keys[i] = p.keys[key]
	}
	return keys
}

func ownerKeys(pool Pool) []string {
	keys := make([]string, len(pool.Backends))
	for i, b := range pool.Backends {
		keys[i] = BackendKey(pool.Name, b.Name)
	}
	return keys
}

// keyOf is the key of an owner; empty where nobody is.
func keyOf(keys []string, owner uint16) string {
	if owner == NoOwner {
		return ""
	}
	return keys[owner]
}

// keepLeaving keeps the places of leaving backends that a slot or a flow names; without knowing the flows, of all. That
// includes those that leave now: packets make entries for them until this state is published. One whose next hop differs
// gets a descriptor of its own, as every backend does.
func (p *planner) keepLeaving(descriptors *indexes) (fresh int) {
	named := map[string]bool{}
	for _, states := range p.next.Changing {
		for _, s := range states {
			named[s.Previous] = true
		}
	}
	busy := map[uint32]bool{}
	if p.activity != nil {
		for _, f := range p.activity.Flows {
			busy[f.Backend] = true
		}
	}
	for _, old := range slices.Sorted(maps.Keys(p.keys)) {
		key, place := p.keys[old], p.prev.Layout.Backends[old]
		pool, _ := SplitKey(key)
		_, stays := p.next.Config.Pool(pool)
		if !IsLeaving(key) || !stays {
			continue
		}
		mayHaveFlows := p.activity == nil || busy[place.Index] || !IsLeaving(old)
		if named[key] || mayHaveFlows && p.next.Conditions[key] != ConditionHard {
			if hop := p.leavingHop(place); hop != place.Hop {
				fresh++
				place.Hop, place.Index = hop, descriptors.take()
			}
			p.next.Layout.Backends[key] = place
		}
	}
	maps.DeleteFunc(p.next.Conditions, func(key string, _ Condition) bool {
		_, there := p.next.Layout.Backends[key]
		return IsLeaving(key) && !there
	})
	return fresh
}

// leavingHop is the next hop of a leaving backend without its MAC: the one that is known now, or else the last.
func (p *planner) leavingHop(place BackendPlace) NextHop {
	if _, known := p.next.Hops[place.Address]; !known {
		if hop := p.hops[place.Address]; hop.Routed() {
			p.next.Hops[place.Address] = hop
		} else if hop, ok := p.prev.Hops[place.Address]; ok {
			p.next.Hops[place.Address] = hop
		}
	}
	hop := p.next.Hops[place.Address]
	hop.MAC = MAC{}
	return hop
}

// slotWords are the words of a pool's slots and of their previous owners.
func (s *State) slotWords(pool string, table *Table) (words, previous []uint32) {
	p, _ := s.Config.Pool(pool)
	words, previous = make([]uint32, len(table.Owners)), make([]uint32, len(table.Owners))
	table.Words(s.Layout.Indexes(p), words)
	for slot, state := range s.Changing[pool] {
		words[slot] |= state.Kind.Flags()
		if state.Kind != SlotTransition {
			continue
		}
		previous[slot] = s.Layout.Backends[state.Previous].Index
		if s.Soft(state.Previous) {
			previous[slot] |= PreviousSoft
		}
	}
	return words, previous
}

// SlotWords are the words of a pool's slots and of their previous owners, as the data plane reads them.
func (s *State) SlotWords(pool string) (words, previous []uint32) {
	return s.slotWords(pool, s.Tables[pool])
}

// PreviousSoft flags the word of a previous owner that may be dying, as in xdp/bpf/types.h.
const PreviousSoft = 1 << 20
