package control

import (
	"maps"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

const (
	// agePeriod is how often changing slots and their flows are looked at.
	agePeriod = time.Second
	// lastSweeps is how often the flow tables are looked at after the last slot has become stable: for entries that were
	// made while that was under way.
	lastSweeps = 5
)

// age lets changing slots go on to their next state, by time and by what their flows do, and drops entries that nobody
// needs any more. In the steady state it does nothing.
func (e *Engine) age() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	prev := e.state.Load()
	if prev.Moving() {
		e.sweeps = lastSweeps
	}
	if e.sweeps == 0 {
		return nil
	}
	e.sweeps--
	in, err := e.planInput(prev.Config, e.hops.Hops(prev.Addresses()), prev.Conditions, prev.Revision)
	if err != nil {
		return err
	}
	if err := e.dp.DropFlows(prev.UselessFlows(e.seed, in.Activity.Flows)); err != nil {
		return err
	}
	st, err := lb.Plan(prev, in)
	if err != nil {
		return unavailable("plan the next state of slots", err)
	}
	if st.SameMotion(prev) {
		return nil
	}
	if err := e.publishLocked(st, nil); err != nil {
		return err
	}
	e.sweeps = lastSweeps
	e.hops.Track(st.Addresses()) // a backend that has left is not looked after any more
	return nil
}

// logDrains logs the drains that have ended: those of backends that keep no slot any more.
func (e *Engine) logDrains(prev, st *lb.State) {
	kept, keeps := motionOf(prev, &lb.Activity{}).keeps, motionOf(st, &lb.Activity{}).keeps
	for key, end := range st.Drained {
		if kept[key] > 0 && keeps[key] == 0 {
			e.log.Info("drain ended", "backend", key, "reason", end.String())
		}
	}
	for key := range maps.Keys(prev.Layout.Backends) {
		if _, stays := st.Layout.Same(key, prev.Layout.Backends[key].Address); lb.IsLeaving(key) && !stays {
			e.log.Info("backend left", "backend", key)
		}
	}
}
