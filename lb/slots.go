package lb

import (
	"fmt"
	"time"
)

// SlotKind is the state of a slot. The data plane knows nothing of it: it interprets the flags of the slot's word.
type SlotKind uint8

// The kinds. A slot goes from stable to transition when its owner changes and the old one is alive, from there to pinned
// when the old owner's flows are gone or their time is up, and to stable when no entry names another backend. It never
// goes from transition straight to stable: an entry of an earlier, overlapping change may still name a third backend.
const (
	// SlotStable sends everything to the owner.
	SlotStable SlotKind = iota
	// SlotTransition sends new flows to the owner, each with an entry, and all others to the previous owner.
	SlotTransition
	// SlotPinned sends flows with an entry where it says and all others to the owner.
	SlotPinned
)

// String names k.
func (k SlotKind) String() string {
	switch k {
	case SlotStable:
		return "stable"
	case SlotTransition:
		return "transition"
	case SlotPinned:
		return "pinned"
	}
	return fmt.Sprintf("slot(%d)", uint8(k))
}

// Flags of a slot word, as in xdp/bpf/types.h.
const (
	SlotLookup   = 1 << 20
	SlotInsert   = 1 << 21
	SlotPrevious = 1 << 23
)

// Flags are the flags of the slot's word.
func (k SlotKind) Flags() uint32 {
	switch k {
	case SlotTransition:
		return SlotLookup | SlotInsert | SlotPrevious
	case SlotPinned:
		return SlotLookup
	case SlotStable:
	}
	return 0
}

// SlotState is the state of one slot. The zero value is stable. Its current owner is the slot table's.
type SlotState struct {
	Kind SlotKind
	// Previous is the owner before, as a key of Layout.Backends; empty unless Kind is SlotTransition.
	Previous string
	// Since is when the transition began: with the last change of owner.
	Since time.Time
}

// SlotStates holds the slots of a pool that are not stable.
type SlotStates map[uint32]SlotState

// ownerChange is a change of one slot's owner: from one backend to another, both as keys of Layout.Backends and empty where
// nobody is.
type ownerChange struct {
	from, to string
	// fromDead says that from's flows are lost: nothing is to be kept for it.
	fromDead bool
	now      time.Time
}

// change is the state after the owner changed.
func (s SlotState) change(c ownerChange) SlotState {
	alive := c.from != "" && !c.fromDead
	switch s.Kind {
	case SlotTransition:
		if s.Previous == c.to {
			return SlotState{Kind: SlotPinned}
		}
		if !alive { // only the new flows are lost; those of previous are not a minute younger
			return s
		}
		return SlotState{Kind: SlotTransition, Previous: s.Previous, Since: c.now}
	case SlotPinned:
		if !alive {
			return s
		}
	case SlotStable:
		if !alive {
			return SlotState{}
		}
	}
	return SlotState{Kind: SlotTransition, Previous: c.from, Since: c.now}
}

// previousDied is the state after the previous owner's flows are lost.
func (s SlotState) previousDied() SlotState {
	if s.Kind == SlotTransition {
		return SlotState{Kind: SlotPinned}
	}
	return s
}

// DrainEnd is why a transition ended.
type DrainEnd uint8

// The ends.
const (
	// DrainGoesOn is no end.
	DrainGoesOn DrainEnd = iota
	// DrainQuiet: the previous owner got no packet by default for the pool's drain_idle.
	DrainQuiet
	// DrainDeadline: the transition took drain_max.
	DrainDeadline
)

// String names e.
func (e DrainEnd) String() string {
	switch e {
	case DrainGoesOn:
		return "goes-on"
	case DrainQuiet:
		return "quiet"
	case DrainDeadline:
		return "deadline"
	}
	return fmt.Sprintf("drain-end(%d)", uint8(e))
}

// ended tells whether and why a transition is over. last is when the slot last sent a packet to its previous owner by
// default, zero if it never did.
func (s SlotState) ended(p Pool, last, now time.Time) DrainEnd {
	if s.Kind != SlotTransition {
		return DrainGoesOn
	}
	if last.Before(s.Since) {
		last = s.Since
	}
	switch {
	case now.Sub(s.Since) >= p.drainMax():
		return DrainDeadline
	case now.Sub(last) >= p.drainIdle():
		return DrainQuiet
	}
	return DrainGoesOn
}

// Defaults and bounds of Pool.DrainMax and Pool.DrainIdle.
const (
	DefaultDrainMax  = time.Hour
	DefaultDrainIdle = 5 * time.Minute
	MinDrain         = time.Second
	MaxDrain         = 24 * time.Hour
)

func (p Pool) drainMax() time.Duration {
	if p.DrainMax == 0 {
		return DefaultDrainMax
	}
	return p.DrainMax
}

func (p Pool) drainIdle() time.Duration {
	if p.DrainIdle == 0 {
		return DefaultDrainIdle
	}
	return p.DrainIdle
}
