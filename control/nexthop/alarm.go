package nexthop

import (
	"context"
	"time"
)

// alarm is a timer that knows when it is due.
type alarm struct {
	timer *time.Timer
	at    time.Time
}

func newAlarm(d time.Duration) *alarm {
	return &alarm{timer: time.NewTimer(d), at: time.Now().Add(d)}
}

func (a *alarm) set(at time.Time) {
	a.at = at
	a.timer.Reset(time.Until(at))
}

// notAfter brings the alarm forward to at, if that is sooner.
func (a *alarm) notAfter(at time.Time) {
	if at.Before(a.at) {
		a.set(at)
	}
}

func (a *alarm) stop() { a.timer.Stop() }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sleep returns after d or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
