package health

import (
	"time"

	"github.com/sluice-lb/sluice/lb"
)

// Inherit gives the Checker the conditions of an earlier run: what was down stays down until it has risen. Call it
// before Track.
func (c *Checker) Inherit(conditions lb.Conditions) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inherited = conditions
}

// Track makes the backends of cfg's pools that have a check the ones that are checked. A backend that stays keeps its
// state, also where its check changes; one whose address changes is a new one.
func (c *Checker) Track(cfg lb.Config) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pools := map[string]*pool{}
	var fresh []*target
	kept := map[string]bool{}
	for _, p := range cfg.Pools {
		if p.Health.Type == lb.CheckNone {
			continue
		}
		q := c.poolLocked(p)
		pools[p.Name] = q
		for _, b := range p.Backends {
			t, isNew := c.targetLocked(q, b, p.Health.WithDefaults())
			q.targets = append(q.targets, t)
			kept[t.key] = true
			if isNew {
				fresh = append(fresh, t)
			}
		}
	}
	for key, t := range c.targets {
		if !kept[key] {
			c.due.remove(t)
			delete(c.targets, key)
		}
	}
	c.pools, c.inherited = pools, nil
	now := time.Now()
	for _, t := range fresh {
		c.due.add(t, now.Add(startDelay(len(fresh), t.Check.Interval)))
		c.lookLocked(t)
	}
	for _, p := range pools {
		c.refreshLocked(p)
	}
	notify(c.wake)
}

// poolLocked is a pool without targets, with what is known of it.
func (c *Checker) poolLocked(p lb.Pool) *pool {
	q := &pool{name: p.Name, threshold: p.PanicThreshold}
	if old := c.pools[p.Name]; old != nil {
		q.panics, q.conditions = old.panics, old.conditions
	}
	return q
}

// targetLocked is the target of a backend, with what is known of it.
func (c *Checker) targetLocked(p *pool, b lb.Backend, check lb.Health) (t *target, isNew bool) {
	key := lb.BackendKey(p.name, b.Name)
	old := c.targets[key]
	if old == nil || old.Address != b.Address {
		if old != nil {
			c.due.remove(old)
		}
		t = &target{key: key, Target: Target{b.Address, check}, place: unscheduled}
		t.inherit(c.inherited[key], time.Now())
		c.targets[key], isNew = t, true
	} else {
		t = old
		if !t.Check.SameQuestion(check) {
			t.forget()
		}
		if t.Check != check && t.place != unscheduled { // the new question is not to wait for the old one's interval
			c.due.remove(t)
			c.due.add(t, time.Now().Add(startDelay(1, check.Interval)))
		}
		t.Check = check
	}
	t.rise, t.fall = check.Rise, check.Fall
	t.pool, t.enabled = p, b.Admin == lb.AdminEnabled
	return t, isNew
}

// Conditions are those by which packets are to be forwarded under cfg: what is known of its backends, panic included.
func (c *Checker) Conditions(cfg lb.Config) lb.Conditions {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := lb.Conditions{}
	for _, p := range cfg.Pools {
		if p.Health.Type == lb.CheckNone {
			continue
		}
		members := make([]member, len(p.Backends))
		for i, b := range p.Backends {
			members[i] = member{key: lb.BackendKey(p.Name, b.Name), enabled: b.Admin == lb.AdminEnabled}
			if t := c.targets[members[i].key]; t != nil && t.Address == b.Address {
				members[i].condition = t.condition()
			}
		}
		poolConditions(p.PanicThreshold, members, out)
	}
	return out
}

func (p *pool) members() []member {
	out := make([]member, len(p.targets))
	for i, t := range p.targets {
		out[i] = member{t.key, t.enabled, t.condition()}
	}
	return out
}

// condition is what the checks and the next hop say together.
func (t *target) condition() lb.Condition {
	if t.gone != "" {
		return lb.ConditionHard
	}
	return t.machine.condition()
}
