package control

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

// Run follows next hops and health until ctx ends: a new link-layer address is written in place, everything else is a
// new publication of the same revision. It also tries again what failed without a client to tell.
func (e *Engine) Run(ctx context.Context) {
	publish := time.NewTimer(debounce)
	defer publish.Stop()
	tick := time.NewTicker(agePeriod)
	defer tick.Stop()
	armed, retry := true, retryFirst
	sample := time.NewTicker(flowSampleInterval)
	defer sample.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sample.C:
			e.sampleFlows()
			e.retryCommit()
		case <-e.deadline.C:
			e.deadlinePassed(ctx)
		case answer := <-e.alive:
			e.answerAlive(answer)
		case <-e.hops.Changes():
			if err := e.followMACs(); err != nil {
				e.log.Error("setting link-layer addresses failed, it will be tried again", "err", err)
			}
			if !armed {
				armed = true
				publish.Reset(debounce)
			}
		case <-tick.C:
			// What is wrong stands in the status, and is logged when it happens.
			_ = e.dp.Repair()
			if err := e.age(); err != nil {
				e.log.Error("moving slots on failed, it will be tried again", "err", err)
			}
		case <-e.health.Changes():
			if !armed {
				armed = true
				publish.Reset(debounce)
			}
		case <-publish.C:
			armed = false
			if err := e.follow(ctx); err != nil {
				e.log.Error("following next hops and health failed, it will be tried again", "err", err)
				armed = true
				publish.Reset(retry)
				retry = min(2*retry, retryMost)
				continue
			}
			retry = retryFirst
		}
	}
}

// retryCommit does what the store could not take before, such as while its disk was full.
func (e *Engine) retryCommit() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.uncommitted != nil && e.commitLocked() == nil {
		e.log.Info("a published change is committed at last", "revision", e.state.Load().Revision)
	}
}

// follow brings data plane and store in line with next hops and health.
func (e *Engine) follow(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	prev := e.state.Load()
	all := prev.Addresses()
	if moved := movedHops(prev.Hops, e.hops.Hops(all)); len(moved) > 0 {
		// Known next hops forward; a new one does so only with its link-layer address.
		wait, cancel := context.WithTimeout(ctx, resolveWait)
		defer cancel()
		e.hops.Resolve(wait, slices.Collect(maps.Keys(moved)))
	}
	if err := e.republishLocked(prev, e.hops.Hops(all)); err != nil {
		e.unpublished = err
		return err
	}
	e.unpublished = nil
	if err := e.syncMACsLocked(); err != nil {
		return err
	}
	return e.commitLocked()
}

// republishLocked publishes prev's configuration again where its next hops are not those, or its conditions have changed.
func (e *Engine) republishLocked(prev *lb.State, hops lb.Hops) error {
	moved := movedHops(prev.Hops, hops)
	conditions := e.health.Conditions(prev.Config)
	if len(moved) == 0 && maps.Equal(conditions, prev.Conditions) {
		return nil
	}
	st, err := e.planLocked(prev, prev.Config, hops, conditions, prev.Revision)
	if err != nil {
		return fmt.Errorf("plan with new next hops and health: %w", err)
	}
	if err := e.publishLocked(st, nil); err != nil {
		return err
	}
	e.log.Info("next hops and health published", "revision", st.Revision, "publication", st.Publication,
		"moved", len(moved), "not_up", len(st.Conditions))
	return nil
}

// movedHops is the set of addresses whose next hops differ in more than the link-layer address.
func movedHops(old, new lb.Hops) map[netip.Addr]bool {
	moved := map[netip.Addr]bool{}
	for _, hops := range []lb.Hops{old, new} {
		for a := range hops {
			was, is := old[a], new[a]
			was.MAC, is.MAC = lb.MAC{}, lb.MAC{}
			if was != is {
				moved[a] = true
			}
		}
	}
	return moved
}

// followMACs does at once what needs no publication.
func (e *Engine) followMACs() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.syncMACsLocked()
}

// syncMACsLocked writes link-layer addresses that differ from what descriptors hold. Next hops that moved wait for
// their publication.
func (e *Engine) syncMACsLocked() error {
	st := e.state.Load()
	hops := e.hops.Hops(st.Addresses())
	moved := movedHops(st.Hops, hops)
	stale := map[lb.MAC][]uint32{}
	for _, place := range st.Layout.Backends {
		mac := hops[place.Address].MAC
		held, known := e.macs[place.Index]
		if mac.IsZero() || known && held == mac || moved[place.Address] {
			continue
		}
		stale[mac] = append(stale[mac], place.Index)
	}
	for mac, indexes := range stale {
		slices.Sort(indexes)
		if err := e.dp.SetMAC(indexes, mac); err != nil {
			return fmt.Errorf("set link-layer address %s: %w", mac, err)
		}
		for _, i := range indexes {
			e.macs[i] = mac
		}
	}
	return e.rememberMACsLocked(st, hops, moved)
}

// rememberMACsLocked stores link-layer addresses that changed in place, so that a restarted daemon inherits them.
func (e *Engine) rememberMACsLocked(st *lb.State, hops lb.Hops, moved map[netip.Addr]bool) error {
	next := *st
	next.Hops = maps.Clone(st.Hops)
	for a, hop := range next.Hops {
		if mac := hops[a].MAC; !mac.IsZero() && !moved[a] {
			hop.MAC = mac
			next.Hops[a] = hop
		}
	}
	if maps.Equal(next.Hops, st.Hops) {
		return nil
	}
	e.state.Store(&next)
	e.uncommitted = errNotYet
	return e.commitLocked()
}

// noteMACsLocked notes what the descriptors of a state hold that was just published.
func (e *Engine) noteMACsLocked(st *lb.State) {
	e.macs = make(map[uint32]lb.MAC, len(st.Layout.Backends))
	for _, place := range st.Layout.Backends {
		e.macs[place.Index] = st.Hops[place.Address].MAC
	}
}
