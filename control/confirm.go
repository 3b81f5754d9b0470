package control

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/sluice-lb/sluice/control/store"
)

// A revision may be made on condition that somebody confirms it in time; otherwise the configuration before comes back,
// as a new revision. The deadline is stored together with the revision, so it holds whoever dies: an operator who locked
// himself out, or the daemon, which goes back when it starts and the deadline has passed.
//
// The running daemon measures the time that passes; only across a restart it relies on the clock of the node, and then
// it waits at most as long as was asked for, so that a clock that was set back does not postpone the deadline for ever.

const (
	// MinConfirm and MaxConfirm bound how long a revision waits to be confirmed.
	MinConfirm, MaxConfirm = time.Second, 24 * time.Hour
)

// Confirmation is what the live revision waits for; nil where it waits for nothing.
func (e *Engine) Confirmation() *store.Confirmation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.confirm
}

// mayWriteLocked refuses writes while a revision waits to be confirmed: what should come back would be unclear. Going back
// at once is the exception.
func (e *Engine) mayWriteLocked(o WriteOptions) error {
	c := e.confirm
	if c == nil || o.goesBackTo != nil && *o.goesBackTo == c.BackTo {
		return nil
	}
	return &Error{Code: codes.FailedPrecondition, Message: fmt.Sprintf(
		"revision %d waits to be confirmed until %s (lbctl confirm keeps it, lbctl rollback %d goes back now; other changes are refused until then)",
		c.Revision, clock(c.Deadline), c.BackTo)}
}

// awaitLocked begins to wait for a confirmation, or ends to where c is nil.
func (e *Engine) awaitLocked(c *store.Confirmation) {
	e.confirm, e.unreverted = c, nil
	if c == nil {
		e.deadline.Stop()
		return
	}
	e.deadline.Reset(max(0, time.Until(c.Deadline)))
}

// Confirm keeps the revision that waits. revision names it; 0 means whichever it is.
func (e *Engine) Confirm(revision uint64, author string) (uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.confirm
	switch {
	case c == nil:
		return 0, &Error{Code: codes.FailedPrecondition, Message: fmt.Sprintf(
			"no revision waits to be confirmed, the live one is %d (lbctl history says what happened)", e.state.Load().Revision)}
	case revision != 0 && revision != c.Revision:
		return 0, &Error{Code: codes.Aborted, Message: fmt.Sprintf("revision %d does not wait to be confirmed, revision %d does", revision, c.Revision)}
	case !time.Now().Before(c.Deadline):
		return 0, &Error{Code: codes.FailedPrecondition, Message: fmt.Sprintf(
			"the deadline of revision %d has passed at %s (revision %d is coming back: apply again)", c.Revision, clock(c.Deadline), c.BackTo)}
	}
	if err := e.store.Confirm(c.Revision, author, time.Now()); err != nil {
		return 0, &Error{Code: codes.Unavailable, Message: fmt.Sprintf("confirm revision %d (it still waits)", c.Revision), Cause: err}
	}
	e.awaitLocked(nil)
	e.log.Info("revision confirmed", "revision", c.Revision, "author", author)
	return c.Revision, nil
}

// resumeConfirmLocked goes on waiting after a restart, or goes back where the deadline has passed meanwhile.
func (e *Engine) resumeConfirmLocked(ctx context.Context, c *store.Confirmation) {
	left := min(time.Until(c.Deadline), c.Within)
	resumed := *c
	resumed.Deadline = time.Now().Add(left) // from here on the clock may be set
	e.awaitLocked(&resumed)
	e.log.Info("revision waits to be confirmed", "revision", c.Revision, "back_to", c.BackTo, "left", left.String())
	if left <= 0 {
		e.goBackLocked(ctx)
	}
}

// deadlinePassed goes back, unless the confirmation came in between.
func (e *Engine) deadlinePassed(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.confirm == nil {
		return
	}
	if left := time.Until(e.confirm.Deadline); left > 0 {
		e.deadline.Reset(left)
		return
	}
	e.goBackLocked(ctx)
}

// goBackLocked brings back the configuration before. Where that fails the deadline fires again.
func (e *Engine) goBackLocked(ctx context.Context) {
	c := e.confirm
	err := e.bringBackLocked(ctx, c)
	if err == nil {
		e.log.Warn("revision was not confirmed, the one before is back", "revision", c.Revision, "back_to", c.BackTo)
		return
	}
	e.log.Error("going back failed, it will be tried again", "revision", c.Revision, "back_to", c.BackTo, "err", err)
	e.unreverted = err
	e.deadline.Reset(min(max(retryFirst, time.Since(c.Deadline)), retryMost)) // twice as long each time
}

func (e *Engine) bringBackLocked(ctx context.Context, c *store.Confirmation) error {
	_, cfg, err := e.store.Revision(c.BackTo)
	if err != nil {
		return err
	}
	if err := cfg.Validate(e.limits); err != nil {
		return fmt.Errorf("revision %d: %w", c.BackTo, err)
	}
	_, err = e.applyLocked(ctx, e.state.Load(), cfg.Normalize(), WriteOptions{Author: ownAuthor,
		Comment: fmt.Sprintf("revision %d was not confirmed within %s: back to revision %d", c.Revision, c.Within, c.BackTo)})
	return err
}

func (e *Engine) confirmWarningsLocked() []string {
	c := e.confirm
	switch {
	case c == nil:
		return nil
	case e.unreverted != nil:
		return []string{fmt.Sprintf("revision %d was not confirmed, but revision %d could not be brought back yet: %v", c.Revision, c.BackTo, e.unreverted)}
	}
	return []string{fmt.Sprintf("revision %d waits to be confirmed (lbctl confirm): revision %d comes back at %s", c.Revision, c.BackTo, clock(c.Deadline))}
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
