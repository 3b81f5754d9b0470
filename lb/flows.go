package lb

import (
	"fmt"
	"time"
)

// FlowState is what is known of a tracked flow.
type FlowState uint8

// The states, with the values of xdp/bpf/types.h.
const (
	// FlowSYN: the first packet has been seen.
	FlowSYN FlowState = iota
	// FlowEstablished: others, too.
	FlowEstablished
	// FlowClosing: FIN or RST has been seen.
	FlowClosing
)

// String names s.
func (s FlowState) String() string {
	switch s {
	case FlowSYN:
		return "syn"
	case FlowEstablished:
		return "established"
	case FlowClosing:
		return "closing"
	}
	return fmt.Sprintf("flow(%d)", uint8(s))
}

// Lifetimes of entries without a packet. A forged SYN occupies its entry for FlowSYNTimeout.
const (
	FlowSYNTimeout     = 5 * time.Second
	FlowClosingTimeout = 60 * time.Second
	FlowIdleTimeout    = 15 * time.Minute
)

// FlowEntry is one entry of the flow tables. Entries exist only for flows of slots that are changing.
type FlowEntry struct {
	Flow Flow
	// VIP is the counter line, Backend the descriptor index.
	VIP, Backend uint32
	State        FlowState
	// Age is the time since its last packet, to about a second.
	Age time.Duration
}

// expired tells whether the entry has outlived its flow.
func (f FlowEntry) expired() bool {
	switch f.State {
	case FlowSYN:
		return f.Age > FlowSYNTimeout
	case FlowClosing:
		return f.Age > FlowClosingTimeout
	case FlowEstablished:
	}
	return f.Age > FlowIdleTimeout
}

// Activity is what the data plane reports of changing slots.
type Activity struct {
	// Now is the data plane's clock, in which LastDefault is given and all times of slots are kept. It never steps; what
	// its zero means is the data plane's own affair.
	Now time.Time
	// Flows are all entries.
	Flows []FlowEntry
	// LastDefault says, by pool and slot, when the slot last sent a packet to its previous owner by default. Slots that
	// never did are missing.
	LastDefault map[string]map[uint32]time.Time
}

// slotOf finds the pool and slot of a flow; the pool is empty where no VIP has the line any more.
func (s *State) slotOf(hasher FlowHasher, pools map[uint32]string, f FlowEntry) (pool string, slot uint32) {
	pool = pools[f.VIP]
	if pool == "" {
		return "", 0
	}
	return pool, uint32(hasher.Hash(f.Flow)) & (s.Layout.Pools[pool].Slots - 1)
}

// poolsByLine maps counter lines of VIPs to their pools.
func (s *State) poolsByLine() map[uint32]string {
	out := map[uint32]string{}
	for _, vip := range s.Config.VIPs {
		out[s.Layout.VIPs[vip.Name]] = vip.Pool
	}
	return out
}

// UselessFlows are the entries that can go: expired ones, those of VIPs or backends that are gone, and those that nobody
// asks for.
func (s *State) UselessFlows(seed Seed, entries []FlowEntry) []Flow {
	hasher, pools, live, moved := seed.FlowHasher(), s.poolsByLine(), map[uint32]bool{}, map[uint32]bool{}
	for vip := range s.Moved {
		moved[s.Layout.VIPs[vip]] = true
	}
	for key, place := range s.Layout.Backends {
		if !s.Dead(key) {
			live[place.Index] = true
		}
	}
	var out []Flow
	for _, f := range entries {
		pool, slot := s.slotOf(hasher, pools, f)
		if pool == "" || !live[f.Backend] || f.expired() || !moved[f.VIP] && s.unread(pool, slot, f) {
			out = append(out, f.Flow)
		}
	}
	return out
}

// unread tells whether nobody asks for an entry, or it says what the slot does without it.
func (s *State) unread(pool string, slot uint32, f FlowEntry) bool {
	switch s.Changing[pool][slot].Kind {
	case SlotStable:
		return true
	case SlotPinned:
		return s.ownerIndex(pool, slot) == f.Backend
	case SlotTransition:
	}
	return false
}

// ownerIndex is the descriptor index of a slot's current owner; 0 where nobody is.
func (s *State) ownerIndex(pool string, slot uint32) uint32 {
	owner := s.Tables[pool].Owners[slot]
	if owner == NoOwner {
		return 0
	}
	p, _ := s.Config.Pool(pool)
	return s.Layout.Backends[BackendKey(pool, p.Backends[owner].Name)].Index
}

// foreignSlots are the slots, by pool, that some entry says other than the owner of: they cannot become stable.
func (s *State) foreignSlots(seed Seed, entries []FlowEntry) map[string]map[uint32]bool {
	hasher, pools, out := seed.FlowHasher(), s.poolsByLine(), map[string]map[uint32]bool{}
	for _, f := range entries {
		pool, slot := s.slotOf(hasher, pools, f)
		if pool == "" || f.expired() || s.ownerIndex(pool, slot) == f.Backend {
			continue
		}
		if out[pool] == nil {
			out[pool] = map[uint32]bool{}
		}
		out[pool][slot] = true
	}
	return out
}
