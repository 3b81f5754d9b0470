package lb

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// A backend that is no longer configured, or no longer at this address, stays in the layout as long as a slot or a flow
// names it: it is leaving. Its key tells it from one of the same name: names have no "@".

// LeavingKey is the key of a leaving backend.
func LeavingKey(key string, address netip.Addr) string { return key + "@" + address.String() }

// IsLeaving tells whether a key of Layout.Backends is that of a leaving backend.
func IsLeaving(key string) bool { return strings.Contains(key, "@") }

// SplitKey takes a key of Layout.Backends apart.
func SplitKey(key string) (pool, backend string) {
	key, _, _ = strings.Cut(key, "@")
	pool, backend, _ = strings.Cut(key, "/")
	return pool, backend
}

// Same is the place in l of the backend that another layout has under a key and at an address: configured, or leaving.
func (l Layout) Same(key string, address netip.Addr) (BackendPlace, bool) {
	pool, name := SplitKey(key)
	plain := BackendKey(pool, name)
	for _, k := range []string{plain, LeavingKey(plain, address)} {
		if place, ok := l.Backends[k]; ok && place.Address == address {
			return place, true
		}
	}
	return BackendPlace{}, false
}

// Dead tells whether the flows of a backend in the layout are lost.
func (s *State) Dead(key string) bool {
	if IsLeaving(key) {
		return s.Conditions[key] == ConditionHard
	}
	pool, name := SplitKey(key)
	p, _ := s.Config.Pool(pool)
	b, ok := p.Backend(name)
	return !ok || b.Dead(s.Conditions[key])
}

// Soft tells whether a backend in the layout may be dying: its check fails.
func (s *State) Soft(key string) bool { return s.Conditions[key] == ConditionSoft }

// Addresses are those of all backends in the layout, leaving ones included, each once, in order.
func (s *State) Addresses() []netip.Addr {
	seen := map[netip.Addr]bool{}
	for _, place := range s.Layout.Backends {
		seen[place.Address] = true
	}
	return slices.SortedFunc(maps.Keys(seen), netip.Addr.Compare)
}

// Moving tells whether any slot is changing or any backend leaving.
func (s *State) Moving() bool {
	if len(s.Changing) > 0 || len(s.Moved) > 0 {
		return true
	}
	for key := range s.Layout.Backends {
		if IsLeaving(key) {
			return true
		}
	}
	return false
}

// SameMotion tells whether the same slots are in the same states and the same backends leaving.
func (s *State) SameMotion(o *State) bool {
	same := maps.EqualFunc(s.Changing, o.Changing, func(a, b SlotStates) bool { return maps.Equal(a, b) })
	return same && maps.EqualFunc(s.Layout.Backends, o.Layout.Backends, func(a, b BackendPlace) bool { return a.Index == b.Index }) &&
		maps.Equal(s.Drained, o.Drained) && maps.Equal(s.Moved, o.Moved)
}
