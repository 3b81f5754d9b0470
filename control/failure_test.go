package control_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-lb/sluice/control"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// whole is everything that a failed change must leave as it was.
func whole(t *testing.T, n *node) string {
	t.Helper()
	stored, err := n.store.Load()
	if err != nil {
		t.Fatal(err)
	}
	return canonical(map[string]any{"store": stored, "maps": n.dp.contents(), "engine": n.engine.State()})
}

func TestFailedChangeLeavesEverythingAsItWas(t *testing.T) {
	injected := errors.New("injected fault")
	for _, row := range []struct {
		name    string
		arm     func(*node)
		dropped bool // the pending record went too
	}{
		{"store-cannot-take-pending", func(n *node) { n.store.breakCall("pending", injected) }, true},
		{"data-plane-refuses", func(n *node) { n.dp.breakPublish(injected) }, true},
		{"data-plane-refuses-and-pending-stays", func(n *node) { n.dp.breakPublish(injected); n.store.breakCall("drop", injected) }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			n, c := webNode(t)
			before := whole(t, n)
			row.arm(n)
			_, err := c.Apply(t.Context(), &sluicev1.ApplyRequest{Config: translate.ConfigToProto(web(3))})
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "injected fault") || !strings.Contains(err.Error(), "nothing changed") {
				t.Errorf("got %v, want UNAVAILABLE with the cause", err)
			}
			if row.dropped && whole(t, n) != before {
				t.Errorf("before %s\nafter %s", before, whole(t, n))
			}
			n.store.repair()
			if got := n.hops.tracked; len(got) != 2 {
				t.Errorf("next hops of %v are watched, want those of 2 backends", got)
			}
			n.apply(t, web(4)) // another change is not hindered, nor confused with the failed one
			n.check(t)
			n = n.restart(t)
			if st := n.engine.State(); !sameConfig(st.Config, web(4)) || st.Revision != 2 {
				t.Errorf("after a restart: revision %d", st.Revision)
			}
			n.check(t)
		})
	}
}

// The failed change's pending record stays, and the daemon dies before anything else happens.
func TestFailedChangeIsDiscardedAtStart(t *testing.T) {
	n := mustNode(t, t.TempDir())
	n.apply(t, web(2))
	n.dp.breakPublish(errors.New("injected"))
	n.store.breakCall("drop", errors.New("injected"))
	if _, err := n.engine.Write(background(), control.WriteOptions{}, replace(web(3))); err == nil {
		t.Fatal("no error")
	}
	n = n.restart(t)
	if st := n.engine.State(); !sameConfig(st.Config, web(2)) || st.Revision != 1 {
		t.Errorf("revision %d", st.Revision)
	}
	n.check(t)
}

// A change that packets see is made, whatever the store says then: it is pending there, so a restart finds it.
func TestCommitFailsAfterPublication(t *testing.T) {
	n := mustNode(t, t.TempDir())
	n.apply(t, web(2))
	n.store.breakCall("commit", errors.New("injected fault"))
	out := n.apply(t, web(3))
	if out.Revision != 2 || !strings.Contains(strings.Join(out.Warnings, "\n"), "injected fault") {
		t.Errorf("revision %d, warnings %q; want 2 and the fault", out.Revision, out.Warnings)
	}
	// The next one would overwrite the pending record that the node needs.
	if _, err := n.engine.Write(background(), control.WriteOptions{}, replace(web(4))); err == nil {
		t.Error("a change was made over one that is not committed")
	}
	t.Run("restart", func(t *testing.T) {
		again := n.restart(t)
		if st := again.engine.State(); !sameConfig(st.Config, web(3)) || st.Revision != 2 {
			t.Errorf("revision %d", st.Revision)
		}
		again.check(t)
		again.apply(t, web(4))
		again.check(t)
	})
}

func TestAttachFailsOverAnOlderDataPlane(t *testing.T) {
	dir := t.TempDir()
	n := mustNode(t, dir)
	n.apply(t, web(2))
	before, err := n.store.Load()
	if err != nil {
		t.Fatal(err)
	}
	// Maps of other sizes are made beside those in use, and then the program cannot be attached.
	fresh, err := openDataplane(t.TempDir() + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	e := control.NewEngine(control.Options{Dataplane: fresh, Store: n.store, NextHops: n.hops, Seed: n.store.Seed(),
		Limits: smallLimits, Log: quiet, Attach: func() error { return errors.New("no such interface") }})
	if err := e.Start(background()); err == nil || e.State() != nil {
		t.Fatalf("started: %v", err)
	}
	after, err := n.store.Load()
	if err != nil || canonical(before) != canonical(after) {
		t.Errorf("the store changed: %v", err)
	}
	n.restart(t).check(t) // with the old sizes it goes on
}

func TestLimitsTooSmallForTheStoredConfiguration(t *testing.T) {
	n := mustNode(t, t.TempDir())
	n.apply(t, web(20))
	if err := os.Remove(n.dir + "/maps"); err != nil {
		t.Fatal(err)
	}
	fresh, err := openDataplane(n.dir + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	e := control.NewEngine(control.Options{Dataplane: fresh, Store: n.store, NextHops: n.hops, Seed: n.store.Seed(), Limits: smallLimits, Log: quiet})
	if err := e.Start(background()); err == nil || !strings.Contains(err.Error(), "limits.backends") {
		t.Errorf("got %v, want an error that names the setting", err)
	}
	if fresh.Published() != 0 {
		t.Error("something was published")
	}
}
