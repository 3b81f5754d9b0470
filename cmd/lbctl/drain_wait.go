package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// drainPoll is how often drain --wait asks: slots go on to their next state once a second.
	drainPoll = time.Second
	// drainPatience is for how long lbd may be away meanwhile, as when it is restarted: the drain does not need it.
	drainPatience = time.Minute
)

// drainWait waits for the end of one drain.
type drainWait struct {
	*cli
	pool, name string
	timeout    time.Duration // 0 is without end

	started, answered time.Time
	last              string // progress that was printed last
	begun             bool   // the backend was seen to keep something
	// address is where the backend was: it may be removed meanwhile, and be leaving.
	address string
}

func (w *drainWait) backend() string { return w.pool + "/" + w.name }

// run returns nil when the last flow is gone.
func (w *drainWait) run(ctx context.Context) error {
	w.started, w.answered = w.now(), w.now()
	for {
		b, found, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return w.interrupted()
		case err != nil && w.now().Sub(w.answered) >= drainPatience:
			return err
		case err == nil:
			w.answered = w.now()
			if done, err := w.judge(b, found); done {
				return err
			}
		}
		if w.timeout > 0 && w.now().Sub(w.started) >= w.timeout {
			return fmt.Errorf("%s: --wait-timeout %s has passed, and %s; the drain goes on", w.backend(), w.timeout, w.last)
		}
		if w.sleep(ctx, drainPoll) != nil {
			return w.interrupted()
		}
	}
}

func (w *drainWait) interrupted() error {
	return fmt.Errorf("interrupted: the drain of %s goes on (end it with lbctl undrain %s)", w.backend(), w.backend())
}

// look asks for the backend, or for what is left of it where it was removed meanwhile.
func (w *drainWait) look(ctx context.Context) (b backendItem, found bool, err error) {
	backends, err := w.backends(ctx, w.pool, w.name)
	if status.Code(err) == codes.NotFound {
		return backendItem{}, false, nil
	}
	if err != nil {
		return backendItem{}, false, err
	}
	i := slices.IndexFunc(backends, func(b backendItem) bool { return w.address == "" && !b.Leaving || b.Address == w.address })
	if i < 0 {
		return backendItem{}, false, nil
	}
	w.address = backends[i].Address
	return backends[i], true, nil
}

// judge tells whether the drain has ended, prints how it is, and returns the failure of one that did not end well.
func (w *drainWait) judge(b backendItem, found bool) (done bool, err error) {
	switch {
	case !found:
		w.say("it was removed, and the last flow is gone")
		return true, nil
	case !b.Leaving && b.Admin != "drained":
		return true, fmt.Errorf("%s is %s now: the drain did not end", w.backend(), b.Admin)
	case b.KeepsSlots == 0 && b.DrainEnd == "deadline":
		return true, w.deadline(b)
	case b.KeepsSlots == 0 && b.Flows == 0:
		w.say(w.end(b))
		return true, nil
	}
	w.begun = true
	if progress := fmt.Sprintf("it keeps %s, %s tracked", plural(b.KeepsSlots, "slot"), plural(b.Flows, "flow")); progress != w.last {
		w.last = progress
		w.say(progress)
	}
	return false, nil
}

// end says why nothing is kept any more.
func (w *drainWait) end(b backendItem) string {
	switch {
	case b.DrainEnd == "quiet":
		return "the last flow is gone: silent for drain_idle"
	case w.begun:
		return "the last flow is gone"
	}
	return "it keeps no flows"
}

// deadline is the end by drain_max. How many flows had no entry nobody knows: they go to their slots' owners now.
func (w *drainWait) deadline(b backendItem) error {
	text := "drain_max has passed, flows may have been left behind"
	if b.Flows > 0 {
		text += "; it still has " + plural(b.Flows, "flow") + " with an entry"
	}
	w.say(text)
	return reportedError{exitPartial}
}

func (w *drainWait) say(text string) {
	fmt.Fprintf(w.stderr, "%s: after %s: %s\n", w.backend(), age(w.now(), w.started), text)
}
