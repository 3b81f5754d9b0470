package control_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/lb"
)

const window = time.Minute

// running lets the engine run until the returned function is called.
func (n *node) running(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { n.engine.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

// unconfirmed is a running node with web(2) as revision 1 and web(3), to be confirmed, as revision 2.
func unconfirmed(t *testing.T, dir string) (n *node, stop func()) {
	t.Helper()
	n = mustNode(t, dir)
	n.apply(t, web(2))
	out, err := n.engine.Write(t.Context(), control.WriteOptions{Author: "alice", Confirm: window}, replace(web(3)))
	if err != nil {
		t.Fatal(err)
	}
	if c := out.Confirmation; c == nil || c.Revision != 2 || c.BackTo != 1 || time.Until(c.Deadline) != window {
		t.Fatalf("waits for %+v, want revision 2 or back to 1 in %s", out.Confirmation, window)
	}
	return n, n.running(t)
}

func (n *node) mustBe(t *testing.T, when string, revision uint64, cfg lb.Config) {
	t.Helper()
	synctest.Wait() // a running engine may be at work at this very moment
	if st := n.engine.State(); st.Revision != revision || !sameConfig(st.Config, cfg) {
		t.Errorf("%s: revision %d with %d backends, want revision %d with %d", when, st.Revision,
			len(st.Config.Pools[0].Backends), revision, len(cfg.Pools[0].Backends))
	}
	n.check(t)
}

func code(err error) codes.Code {
	var refused *control.Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	return codes.Unknown
}

func TestUnconfirmedRevisionGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, stop := unconfirmed(t, t.TempDir())
		defer stop()
		time.Sleep(window - time.Second)
		n.mustBe(t, "before the deadline", 2, web(3))
		if w := strings.Join(n.engine.Warnings(), "\n"); !strings.Contains(w, "revision 2 waits to be confirmed") {
			t.Errorf("warnings %q", w)
		}
		time.Sleep(2 * time.Second)
		n.mustBe(t, "after it", 3, web(2))
		if _, err := n.engine.Confirm(0, "alice"); code(err) != codes.FailedPrecondition {
			t.Errorf("confirmed too late: %v", err)
		}
		newest, err := n.engine.History(1)
		if err != nil || newest[0].Author != "lbd" || newest[0].Comment != "revision 2 was not confirmed within 1m0s: back to revision 1" {
			t.Errorf("history: %+v, %v", newest, err)
		}
		n.apply(t, web(4)) // and writes are possible again
		n.check(t)
	})
}

func TestConfirmedRevisionStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, stop := unconfirmed(t, t.TempDir())
		time.Sleep(window / 2)
		if _, err := n.engine.Confirm(1, "bob"); code(err) != codes.Aborted {
			t.Errorf("another revision was confirmed: %v", err)
		}
		if r, err := n.engine.Confirm(2, "bob"); r != 2 || err != nil {
			t.Fatalf("confirmed %d, %v", r, err)
		}
		time.Sleep(window)
		n.mustBe(t, "after the deadline", 2, web(3))
		stop()
		n = n.restart(t)
		stop = n.running(t)
		defer stop()
		time.Sleep(window)
		n.mustBe(t, "after a restart", 2, web(3))
		newest, err := n.engine.History(1)
		if err != nil || newest[0].ConfirmedBy != "bob" || newest[0].Confirm == nil || newest[0].ConfirmedAt.IsZero() {
			t.Errorf("history: %+v, %v", newest, err)
		}
	})
}

// While a revision waits, nothing else is written but what ends it; what changes nothing is no write.
func TestWritesWaitForTheConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, stop := unconfirmed(t, t.TempDir())
		defer stop()
		ctx := t.Context()
		for name, write := range map[string]func() (control.Outcome, error){
			"apply": func() (control.Outcome, error) { return n.engine.Write(ctx, control.WriteOptions{}, replace(web(4))) },
			"apply-to-confirm": func() (control.Outcome, error) {
				return n.engine.Write(ctx, control.WriteOptions{Confirm: window}, replace(web(4)))
			},
			"rollback-to-0": func() (control.Outcome, error) { return n.engine.Rollback(ctx, 0, control.WriteOptions{}) },
		} {
			if _, err := write(); code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "revision 2 waits to be confirmed") {
				t.Errorf("%s: %v, want FAILED_PRECONDITION that names revision 2", name, err)
			}
		}
		for name, o := range map[string]control.WriteOptions{"same": {}, "same-to-confirm": {Confirm: window}} {
			if out, err := n.engine.Write(ctx, o, replace(web(3))); err != nil || out.Revision != 2 {
				t.Errorf("%s: %+v, %v; want nothing done", name, out, err)
			}
		}
		if _, err := n.engine.Write(ctx, control.WriteOptions{DryRun: true}, replace(web(4))); err != nil {
			t.Errorf("dry run: %v", err)
		}
		if out, err := n.engine.Rollback(ctx, 1, control.WriteOptions{}); err != nil || out.Revision != 3 || out.Confirmation != nil {
			t.Errorf("going back at once: %+v, %v", out, err)
		}
		time.Sleep(2 * window)
		n.mustBe(t, "after the deadline", 3, web(2))
	})
}

// Next hops that move are published meanwhile, and do not end the confirmation.
func TestNextHopsMoveBeforeTheConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, stop := unconfirmed(t, t.TempDir())
		defer stop()
		synctest.Wait()
		hop := defaultHop(backend(0).Address)
		hop.MTU = 1400
		before := n.engine.State().Publication
		n.hops.set(backend(0).Address, hop)
		time.Sleep(time.Second)
		if n.engine.State().Publication == before {
			t.Error("the next hop was not published")
		}
		n.mustBe(t, "with another next hop", 2, web(3))
		time.Sleep(window)
		n.mustBe(t, "after the deadline", 3, web(2))
	})
}

// The daemon is away for some time: what is left of the deadline counts on, and one that has passed is made good at start.
func TestDeadlineHoldsOverARestart(t *testing.T) {
	for name, away := range map[string]time.Duration{"short": 20 * time.Second, "long": 2 * window} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, stop := unconfirmed(t, t.TempDir())
				time.Sleep(10 * time.Second)
				stop()
				if err := n.store.Close(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(away)
				n = mustNode(t, n.dir)
				if away > window {
					n.mustBe(t, "at start", 3, web(2))
					return
				}
				stop = n.running(t)
				defer stop()
				time.Sleep(29 * time.Second)
				n.mustBe(t, "before the deadline", 2, web(3))
				time.Sleep(2 * time.Second)
				n.mustBe(t, "after it", 3, web(2))
			})
		})
	}
}

// A clock that was set back while the daemon was away postpones the deadline by no more than was asked for.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, stop := unconfirmed(t, t.TempDir())
		stop()
		stored, err := n.store.Load()
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := n.store.Revision(2)
		if err != nil {
			t.Fatal(err)
		}
		r.Confirm.Deadline = stored.Confirm.Deadline.Add(1000 * time.Hour)
		if err := n.store.Store.SetPending(stored.Committed, &r); err != nil {
			t.Fatal(err)
		}
		n = n.restart(t)
		defer n.running(t)()
		time.Sleep(window + time.Second)
		n.mustBe(t, "after the deadline", 3, web(2))
	})
}

// Going back fails at first, and is tried again; status says so meanwhile.
func TestGoingBackIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, stop := unconfirmed(t, t.TempDir())
		defer stop()
		n.store.breakCall("pending", errors.New("disk is full"))
		time.Sleep(window + time.Second)
		n.mustBe(t, "while the disk is full", 2, web(3))
		if w := strings.Join(n.engine.Warnings(), "\n"); !strings.Contains(w, "could not be brought back") || !strings.Contains(w, "disk is full") {
			t.Errorf("warnings %q", w)
		}
		if _, err := n.engine.Confirm(2, "alice"); code(err) != codes.FailedPrecondition {
			t.Errorf("confirmed too late: %v", err)
		}
		time.Sleep(10 * window)
		n.store.repair()
		time.Sleep(31 * time.Second)
		n.mustBe(t, "when it is not any more", 3, web(2))
	})
}

// A commit that failed without a client to tell is tried again, and Check says so meanwhile.
func TestCommitIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := mustNode(t, t.TempDir())
		defer n.running(t)()
		n.store.breakCall("commit", errors.New("disk is full"))
		n.apply(t, web(2))
		if _, err := n.engine.Check(); err == nil || !strings.Contains(err.Error(), "disk is full") {
			t.Errorf("check: %v", err)
		}
		n.store.repair()
		time.Sleep(window)
		n.check(t)
	})
}
