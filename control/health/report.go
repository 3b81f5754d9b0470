package health

import (
	"slices"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

// Status is what is known of one backend.
type Status struct {
	// State is what the checks say.
	State State
	// Condition is what the checks and the next hop say together, before panic.
	Condition lb.Condition
	// Since is when State or Condition changed.
	Since time.Time
	// Reason is the result that changed it, or what is wrong with the next hop.
	Reason string
	// LastError is the last result that was not good; its At is zero where there was none.
	LastError Result
	// Results are the last ones, at most Remembered, the newest last.
	Results []Result
}

// PoolStatus is how a pool does.
type PoolStatus struct {
	// Up counts the enabled backends that are up or were not checked yet, of Enabled.
	Up, Enabled int
	// Panic tells that health is ignored because too few are up.
	Panic bool
	// Threshold is in percent.
	Threshold uint32
}

// Snapshot is all that a Checker knows, at one moment.
type Snapshot struct {
	// Backends is by lb.BackendKey, Pools by name. Pools without a check, and their backends, are missing.
	Backends map[string]Status
	Pools    map[string]PoolStatus
	Totals
}

// Totals is what a Checker does.
type Totals struct {
	// Checked counts the backends that are checked.
	Checked int
	// Outstanding is how many checks run now, of at most MaxOutstanding.
	Outstanding, MaxOutstanding int
	// Results counts the checks that ended, by grade, since the start.
	Results map[Grade]uint64
	// Late counts checks that began more than half an interval after they were due.
	Late uint64
}

// Snapshot copies everything.
func (c *Checker) Snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Snapshot{
		Backends: make(map[string]Status, len(c.targets)), Pools: make(map[string]PoolStatus, len(c.pools)), Totals: c.totalsLocked(),
	}
	for key, t := range c.targets {
		s.Backends[key] = t.status()
	}
	for name, p := range c.pools {
		s.Pools[name] = p.status()
	}
	return s
}

// Totals is the part of Snapshot that costs nothing.
func (c *Checker) Totals() Totals {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.totalsLocked()
}

func (c *Checker) totalsLocked() Totals {
	t := Totals{
		Checked: len(c.targets), Outstanding: len(c.running), MaxOutstanding: cap(c.running), Results: map[Grade]uint64{}, Late: c.late,
	}
	for g, n := range c.results {
		t.Results[Grade(g)] = n
	}
	return t
}

// Backend tells what is known of one backend; false where it is not checked.
func (c *Checker) Backend(key string) (Status, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.targets[key]
	if !ok {
		return Status{}, false
	}
	return t.status(), true
}

// Pool tells how a pool does; false where it is not checked.
func (c *Checker) Pool(name string) (PoolStatus, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.pools[name]
	if !ok {
		return PoolStatus{}, false
	}
	return p.status(), true
}

func (p *pool) status() PoolStatus {
	return PoolStatus{Up: p.up, Enabled: p.enabled, Panic: p.panics, Threshold: p.threshold.Percent()}
}

func (t *target) status() Status {
	since := t.since
	if t.gone != "" || t.goneSince.After(since) {
		since = t.goneSince
	}
	return Status{
		State: t.state, Condition: t.condition(), Since: since, Reason: t.why(),
		LastError: t.lastError, Results: slices.Clone(t.results),
	}
}

// summary is the state in one word or two, for the log.
func (t *target) summary() string {
	switch t.condition() {
	case lb.ConditionHard:
		return "down (hard)"
	case lb.ConditionSoft:
		return "down (soft)"
	case lb.ConditionUp:
	}
	return t.state.String()
}

// why is the reason for the condition.
func (t *target) why() string {
	if t.gone != "" {
		return t.gone
	}
	return t.reason
}
