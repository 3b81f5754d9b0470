package control

import (
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// motion is what is changing, counted by backend and pool.
type motion struct {
	keeps              map[string]uint32 // slots in transition, by the key of their previous owner
	flows              map[uint32]uint32 // entries, by descriptor index
	transition, pinned map[string]uint32 // slots, by pool
}

func motionOf(st *lb.State, activity *lb.Activity) motion {
	m := motion{keeps: map[string]uint32{}, flows: map[uint32]uint32{}, transition: map[string]uint32{}, pinned: map[string]uint32{}}
	for pool, states := range st.Changing {
		for _, s := range states {
			if s.Kind == lb.SlotTransition {
				m.keeps[s.Previous]++
				m.transition[pool]++
			} else {
				m.pinned[pool]++
			}
		}
	}
	for _, f := range activity.Flows {
		m.flows[f.Backend]++
	}
	return m
}

// cutPool takes the pool off a key of lb.Layout.Backends.
func cutPool(key string) (pool, backend string, ok bool) { return strings.Cut(key, "/") }

// leaving describes the backends of a pool that are leaving, sorted; an empty name is any.
func (v view) leaving(p lb.Pool, name string) []*sluicev1.BackendStatus {
	var out []*sluicev1.BackendStatus
	for key, place := range v.state.Layout.Backends {
		pool, backend := lb.SplitKey(key)
		if !lb.IsLeaving(key) || pool != p.Name || name != "" && name != backend {
			continue
		}
		out = append(out, &sluicev1.BackendStatus{
			Pool:      pool,
			Backend:   &sluicev1.Backend{Name: backend, Address: place.Address.String(), Weight: new(uint32), Scale: new(float64)},
			PoolSlots: v.state.Layout.Pools[pool].Slots, NextHop: hopToProto(v.engine.Status(place.Address)),
			Counter: counterAt(v.counters.Backends, place.Index), Index: place.Index,
			KeepsSlots: v.motion.keeps[key], Flows: v.motion.flows[place.Index], Leaving: true,
		})
	}
	slices.SortFunc(out, func(a, b *sluicev1.BackendStatus) int {
		return strings.Compare(a.GetBackend().GetName()+a.GetBackend().GetAddress(), b.GetBackend().GetName()+b.GetBackend().GetAddress())
	})
	return out
}
