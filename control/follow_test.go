package control_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/lb"
)

var smallLimits = lb.Limits{VIPs: 16, Backends: 8, Slots: 1 << 15}

// running gives test a node with web(2) whose engine runs, on a clock of its own, and sees that everything ends.
func running(t *testing.T, test func(t *testing.T, n *node)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := mustNode(t, dir)
		n.apply(t, web(2))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { n.engine.Run(ctx); close(ended) }()
		time.Sleep(time.Second)
		synctest.Wait()
		test(t, n)
		cancel()
		<-ended
	})
}

func TestNewMACIsWrittenInPlace(t *testing.T) {
	running(t, func(t *testing.T, n *node) {
		publication, a := n.dp.Published(), backend(0).Address
		hop := defaultHop(a)
		hop.MAC = lb.MAC{2, 0, 0, 0, 0, 0x77}
		n.hops.set(a, hop)
		synctest.Wait() // no time passes: it does not wait for a debounce
		n.check(t)
		if n.dp.Published() != publication || n.dp.setMACs != 1 {
			t.Errorf("%d publications and %d in place, want 0 and 1", n.dp.Published()-publication, n.dp.setMACs)
		}
		stored, err := n.store.Load()
		if err != nil || stored.Committed.Hops[a].MAC != hop.MAC {
			t.Errorf("the store has %v, err %v", stored.Committed.Hops[a], err)
		}
		hop.MAC = lb.MAC{} // forgotten is no better
		n.hops.set(a, hop)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := n.dp.contents().MACs[n.engine.State().Layout.Backends["web/web-a"].Index]; got != (lb.MAC{2, 0, 0, 0, 0, 0x77}) {
			t.Errorf("the data plane has %s, want the last good one", got)
		}
	})
}

func TestMovedHopsArePublishedTogether(t *testing.T) {
	running(t, func(t *testing.T, n *node) {
		publication := n.dp.Published()
		for i := range 2 {
			hop := defaultHop(backend(i).Address)
			hop.Interface, hop.Source, hop.MTU = "eth1", netip.MustParseAddr("10.9.1.1"), 9000
			n.hops.set(backend(i).Address, hop)
			synctest.Wait()
			time.Sleep(20 * time.Millisecond)
		}
		if n.dp.Published() != publication {
			t.Error("published before the debounce")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := n.dp.Published(); got != publication+1 || n.engine.State().Revision != 1 {
			t.Errorf("publication %d and revision %d, want %d and 1", got, n.engine.State().Revision, publication+1)
		}
		n.check(t)
		n.hops.set(backend(0).Address, lb.NextHop{}) // the route goes
		time.Sleep(time.Second)
		synctest.Wait()
		if _, ok := n.dp.contents().State.Hops[backend(0).Address]; ok {
			t.Error("a next hop without a route is published")
		}
		n.check(t)
	})
}

func TestFailuresWithoutAClientAreTriedAgain(t *testing.T) {
	running(t, func(t *testing.T, n *node) {
		publication := n.dp.Published()
		n.dp.breakPublish(errors.New("injected fault"))
		hop := defaultHop(backend(0).Address)
		hop.MTU = 1400
		n.hops.set(backend(0).Address, hop)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if w := strings.Join(n.engine.Warnings(), "\n"); n.dp.Published() != publication || !strings.Contains(w, "injected fault") {
			t.Errorf("publication %d, warnings %q", n.dp.Published(), w)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if w := n.engine.Warnings(); n.dp.Published() != publication+1 || len(w) != 0 {
			t.Errorf("publication %d, want %d; warnings %q", n.dp.Published(), publication+1, w)
		}
		n.check(t)

		n.dp.breakMAC(errors.New("injected fault"))
		hop.MAC[5]++
		n.hops.set(backend(0).Address, hop)
		time.Sleep(time.Second)
		n.dp.breakMAC(nil)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		n.check(t)
	})
}

func TestFailedCommitIsTriedAgain(t *testing.T) {
	running(t, func(t *testing.T, n *node) {
		n.store.breakCall("commit", errors.New("injected fault"))
		n.apply(t, web(3))
		n.hops.set(backend(0).Address, defaultHop(backend(0).Address)) // as a new backend's next hop does
		time.Sleep(time.Second)
		synctest.Wait()
		n.store.repair()
		time.Sleep(time.Minute)
		synctest.Wait()
		if w := n.engine.Warnings(); len(w) != 0 {
			t.Errorf("warnings %q", w)
		}
		n.check(t)
	})
}

// What a new backend needs is waited for before the change is published; others are not waited for.
func TestNewBackendsAreResolvedFirst(t *testing.T) {
	n := mustNode(t, t.TempDir())
	n.apply(t, web(2))
	n.hops.resolved = nil
	n.apply(t, web(3))
	if got := n.hops.resolved; len(got) != 1 || len(got[0]) != 1 || got[0][0] != backend(2).Address {
		t.Errorf("resolved %v, want %v", got, backend(2).Address)
	}
	n.hops.resolved = nil
	if _, err := n.engine.Write(background(), control.WriteOptions{DryRun: true}, replace(web(4))); err != nil {
		t.Fatal(err)
	}
	if len(n.hops.resolved) != 0 {
		t.Error("a dry run asked the network")
	}
}

// TestSlotsAreTimedByTheDataPlane drains while the time of day goes on by itself, as when somebody sets it: only the clock
// that packets are timed by ends a drain.
func TestSlotsAreTimedByTheDataPlane(t *testing.T) {
	running(t, func(t *testing.T, n *node) {
		n.dp.pass(time.Hour) // the node has been up for that long
		drained := web(2)
		drained.Pools[0].Backends[0].Admin = lb.AdminDrained
		drained.Pools[0].DrainMax, drained.Pools[0].DrainIdle = 10*time.Minute, 10*time.Minute
		n.apply(t, drained)
		for _, step := range []struct {
			what       string
			day, ticks time.Duration
			moving     bool
		}{
			{"the time of day is 20 minutes later", 20 * time.Minute, 0, true},
			{"9 minutes have passed", 3 * time.Second, 9 * time.Minute, true},
			{"10 minutes have passed", 3 * time.Second, time.Minute, false},
		} {
			n.dp.pass(step.ticks)
			time.Sleep(step.day)
			synctest.Wait()
			if got := n.engine.State().Moving(); got != step.moving {
				t.Errorf("%s: slots are changing: %v, want %v", step.what, got, step.moving)
			}
		}
		n.check(t)
	})
}
