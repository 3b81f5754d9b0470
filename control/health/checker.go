package health

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

const (
	// DefaultOutstanding is how many checks may run at once: all those of 10,000 backends that never answer.
	DefaultOutstanding = 10_240
	// lookInterval is how often next hops are looked at.
	lookInterval = 500 * time.Millisecond
	// tick is how long checks are collected that are due one after the other.
	tick = time.Millisecond
	// complainInterval is how often the log says that this node cannot check.
	complainInterval = time.Minute
)

// Options are what a Checker is made of.
type Options struct {
	// Probe asks one backend; nil means the package's own.
	Probe func(context.Context, Target) Result
	// Gone says why packets cannot reach a host at all; empty where they may. nil means never.
	Gone func(netip.Addr) string
	// Outstanding bounds the checks that run at once, and with them goroutines and sockets; 0 means DefaultOutstanding.
	Outstanding int
	Log         *slog.Logger
}

// Checker checks the backends of one configuration.
type Checker struct {
	probe   func(context.Context, Target) Result
	gone    func(netip.Addr) string
	log     *slog.Logger
	changes chan struct{} // capacity 1
	wake    chan struct{} // capacity 1: something is due sooner than the loop knows
	running chan struct{} // one element for each check that runs

	mu         sync.Mutex
	pools      map[string]*pool
	targets    map[string]*target // by lb.BackendKey
	due        schedule
	inherited  lb.Conditions
	results    [len(gradeNames)]uint64
	late       uint64
	complained time.Time
}

// pool is one pool that has a check.
type pool struct {
	name      string
	threshold lb.PanicThreshold
	targets   []*target
	// What follows from the members' conditions; see refreshLocked.
	up, enabled int
	panics      bool
	conditions  lb.Conditions
}

// target is one backend of one pool.
type target struct {
	Target
	machine
	key     string
	pool    *pool
	enabled bool
	// gone is why the next hop says that the host is; empty while it does not.
	gone      string
	goneSince time.Time

	due   time.Time
	place int // in the schedule
}

// New returns a Checker of nothing; Track says what, Run does it.
func New(o Options) *Checker {
	if o.Probe == nil {
		o.Probe = Probe
	}
	if o.Gone == nil {
		o.Gone = func(netip.Addr) string { return "" }
	}
	if o.Outstanding == 0 {
		o.Outstanding = DefaultOutstanding
	}
	return &Checker{
		probe: o.Probe, gone: o.Gone, log: o.Log.With("component", "health"),
		changes: make(chan struct{}, 1), wake: make(chan struct{}, 1), running: make(chan struct{}, o.Outstanding),
		pools: map[string]*pool{}, targets: map[string]*target{},
	}
}

// Changes receives after the conditions of one or more backends changed.
func (c *Checker) Changes() <-chan struct{} { return c.changes }

// Run checks until ctx ends, and returns when no check runs any more.
func (c *Checker) Run(ctx context.Context) {
	var checks sync.WaitGroup
	defer checks.Wait()
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			c.lookAtHops()
			continue
		case <-c.wake:
		case <-timer.C:
		}
		for t := c.next(); t != nil; t = c.next() {
			select {
			case <-ctx.Done():
				return
			case c.running <- struct{}{}:
			}
			checks.Go(func() {
				defer func() { <-c.running }()
				c.check(ctx, t)
			})
		}
		timer.Reset(c.sleep())
	}
}

// job is one check of a target, as it was when the check was due.
type job struct {
	*target
	ask Target
}

// next takes the next target that is due.
func (c *Checker) next() *job {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	t := c.due.next(now.Add(tick))
	if t == nil {
		return nil
	}
	if now.Sub(t.due) > t.Check.Interval/2 {
		c.late++
		if c.complainsLocked() {
			c.log.Warn("checks are late: more are due than may run at once", "outstanding", len(c.running), "most", cap(c.running))
		}
	}
	return &job{t, t.Target}
}

func (c *Checker) check(ctx context.Context, j *job) {
	started := time.Now()
	r := c.probe(ctx, j.ask)
	if ctx.Err() != nil {
		return // the check was broken off
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := j.target
	if c.targets[t.key] != t {
		return // removed meanwhile
	}
	c.due.add(t, later(started.Add(jitter(t.Check.Interval)), time.Now()))
	if t.place == 0 {
		notify(c.wake)
	}
	c.results[r.Grade]++
	if r.Grade == Void && c.complainsLocked() {
		c.log.Warn("checks cannot be made", "backend", t.key, "err", r.Detail)
	}
	if !t.Check.SameQuestion(j.ask.Check) {
		return // an answer to another question
	}
	before := t.summary()
	if t.observe(r) {
		c.enterLocked(t, before)
	}
}

// sleep is how long nothing is due.
func (c *Checker) sleep() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first, ok := c.due.first(); ok {
		return max(time.Until(first), 0)
	}
	return time.Hour // Track wakes the loop
}

// lookAtHops notes which hosts are gone, whatever the checks say.
func (c *Checker) lookAtHops() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.targets {
		c.lookLocked(t)
	}
}

func (c *Checker) lookLocked(t *target) {
	gone := c.gone(t.Address)
	if gone == t.gone {
		return
	}
	before := t.summary()
	t.gone, t.goneSince = gone, time.Now()
	c.enterLocked(t, before)
}

// enterLocked follows up a change of one target.
func (c *Checker) enterLocked(t *target, before string) {
	if now := t.summary(); now != before {
		level := slog.LevelInfo
		if t.condition() != lb.ConditionUp {
			level = slog.LevelWarn
		}
		c.log.Log(context.Background(), level, "health changed", "backend", t.key, "old", before, "new", now, "reason", t.why())
	}
	c.refreshLocked(t.pool)
}

// refreshLocked works out the conditions of a pool, and tells whoever waits where they changed.
func (c *Checker) refreshLocked(p *pool) {
	conditions := lb.Conditions{}
	panicked := p.panics
	p.up, p.enabled, p.panics = poolConditions(p.threshold, p.members(), conditions)
	switch {
	case p.panics && !panicked:
		c.log.Warn("pool panics: too few backends are up, health is ignored", "pool", p.name,
			"up", p.up, "enabled", p.enabled, "panic_threshold", p.threshold.Percent())
	case panicked && !p.panics:
		c.log.Info("pool no longer panics: health counts again", "pool", p.name, "up", p.up, "enabled", p.enabled)
	}
	if !maps.Equal(conditions, p.conditions) {
		p.conditions = conditions
		notify(c.changes)
	}
}

// complainsLocked tells, once in a while, that it is time to say that this node cannot check as it should.
func (c *Checker) complainsLocked() bool {
	now := time.Now()
	if now.Sub(c.complained) < complainInterval {
		return false
	}
	c.complained = now
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
