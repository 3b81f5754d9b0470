package nexthop

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Run watches until ctx ends. All that it started has ended when it returns.
func (w *Watcher) Run(ctx context.Context) {
	for ctx.Err() == nil {
		w.watch(ctx)
	}
}

// watch follows the kernel until a subscription is lost or ctx ends.
func (w *Watcher) watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	events, ended := make(chan Event, 64), make(chan error, 1)
	go func() { ended <- w.kernel.Watch(ctx, events); close(ended) }()
	if err := w.loop(ctx, events, ended); err != nil {
		w.log.Warn("watching the kernel was interrupted, starting again", "err", err)
		sleep(ctx, RetryInterval)
	}
	cancel()
	for range ended { // until it is closed
	}
}

// loop returns nil when ctx ends, or the reason for which the subscription ended.
func (w *Watcher) loop(ctx context.Context, events <-chan Event, ended <-chan error) error {
	// What changed before the subscription stood was not reported: read everything once.
	resync, probe := newAlarm(settle), newAlarm(0)
	defer resync.stop()
	defer probe.stop()
	var quiet time.Time // no resync before
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case e := <-events:
			if e.Neighbour != nil {
				w.neighbourChanged(*e.Neighbour)
			} else {
				resync.notAfter(later(time.Now().Add(settle), quiet))
			}
		case <-resync.timer.C:
			took, ok := w.resync()
			// In a storm of route changes, reading them all again takes at most a tenth of one CPU.
			quiet = time.Now().Add(min(10*took, ProbeInterval))
			resync.set(time.Now().Add(RetryInterval))
			if ok {
				resync.set(time.Now().Add(ProbeInterval))
			}
		case <-probe.timer.C:
		case <-w.wake:
		}
		probe.set(time.Now().Add(w.probe()))
	}
}

// resync reads everything again and tells how long that took, and whether the kernel answered.
func (w *Watcher) resync() (took time.Duration, ok bool) {
	start := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	ok = w.lookLocked(slices.Collect(maps.Keys(w.entries)))
	return time.Since(start), ok
}

// neighbourChanged takes one event.
func (w *Watcher) neighbourChanged(n Neighbour) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		if e.Route.neighbour(e.address) != n.Key {
			continue
		}
		before := e.Status
		e.setNeighbour(n)
		w.enterLocked(e, before)
	}
}

// probe sends the probes that are due and returns the time to the next one.
func (w *Watcher) probe() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probeLocked(time.Now())
}

func (w *Watcher) probeLocked(now time.Time) time.Duration {
	next := ProbeInterval
	sent := map[Key]bool{} // many backends share one gateway
	for _, e := range w.entries {
		interval := e.interval()
		if interval == 0 {
			continue
		}
		if !e.probeAt.After(now) {
			e.probeAt = now.Add(interval)
			if key := e.Route.neighbour(e.address); !sent[key] {
				sent[key] = true
				if err := w.kernel.Probe(key); err != nil {
					w.log.Debug("probe failed", "backend_address", e.address.String(), "err", err)
				}
			}
		}
		next = min(next, e.probeAt.Sub(now))
	}
	return next
}
