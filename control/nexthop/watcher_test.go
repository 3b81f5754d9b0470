package nexthop

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

var quiet = slog.New(slog.DiscardHandler)

// run gives test a Watcher that runs, with clock and kernel of its own, and sees that every goroutine ends.
func run(t *testing.T, test func(t *testing.T, w *Watcher, k *kernel)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		w := New(k, []string{"eth0"}, quiet)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.Run(ctx); close(ended) }()
		synctest.Wait()
		test(t, w, k)
		cancel()
		<-ended // and synctest.Test fails where another goroutine remains
	})
}

func mustBe(t *testing.T, w *Watcher, state State, mac lb.MAC) {
	t.Helper()
	synctest.Wait()
	s, ok := w.Status(backend)
	if !ok || s.State != state || s.MAC != mac {
		t.Errorf("%s with %s, want %s with %s", s.State, s.MAC, state, mac)
	}
}

func TestLifeOfANeighbour(t *testing.T) {
	run(t, func(t *testing.T, w *Watcher, k *kernel) {
		k.route(backend, viaGateway())
		w.Track([]netip.Addr{backend})
		mustBe(t, w, Resolving, lb.MAC{})
		key := Key{2, gateway}
		for _, step := range []struct {
			condition Condition
			mac       lb.MAC // in the kernel's entry
			want      State
			use       lb.MAC
		}{
			{Incomplete, lb.MAC{}, Resolving, lb.MAC{}},
			{Unanswered, lb.MAC{}, Failed, lb.MAC{}},
			{Incomplete, lb.MAC{}, Failed, lb.MAC{}}, // the next attempt is no news
			{Confirmed, macA, Reachable, macA},
			{Unconfirmed, macA, Stale, macA},
			{Confirmed, macA, Reachable, macA},
			{Unanswered, lb.MAC{}, Failed, macA}, // the last good one stays
			{Incomplete, lb.MAC{}, Failed, macA},
			{Confirmed, macB, Reachable, macB},
			{Unknown, lb.MAC{}, Stale, macB}, // the kernel dropped its entry
			{Fixed, macA, Reachable, macA},
		} {
			k.neighbour(Neighbour{Key: key, MAC: step.mac, Condition: step.condition})
			mustBe(t, w, step.want, step.use)
		}
	})
}

func TestSinceIsWhenTheStateWasEntered(t *testing.T) {
	run(t, func(t *testing.T, w *Watcher, k *kernel) {
		k.route(backend, viaGateway())
		w.Track([]netip.Addr{backend})
		k.neighbour(Neighbour{Key{2, gateway}, macA, Confirmed})
		synctest.Wait()
		entered := time.Now()
		time.Sleep(time.Hour)
		k.neighbour(Neighbour{Key{2, gateway}, macA, Confirmed})
		synctest.Wait()
		if s, _ := w.Status(backend); !s.Since.Equal(entered) {
			t.Errorf("since %v, want %v", s.Since, entered)
		}
	})
}

func TestProbes(t *testing.T) {
	run(t, func(t *testing.T, w *Watcher, k *kernel) {
		second := netip.MustParseAddr("10.9.3.3")
		k.route(backend, viaGateway())
		k.route(second, viaGateway()) // behind the same gateway
		w.Track([]netip.Addr{backend, second})
		probes := func(d time.Duration) int {
			k.takeProbes()
			time.Sleep(d)
			synctest.Wait()
			sent := k.takeProbes()
			for _, p := range sent {
				if p.key != (Key{2, gateway}) {
					t.Errorf("probe of %v", p.key)
				}
			}
			return len(sent)
		}
		if n := len(k.takeProbes()); n != 1 {
			t.Errorf("%d probes at once, want 1", n)
		}
		time.Sleep(time.Second / 2)
		if n := probes(10 * time.Second); n != 10 {
			t.Errorf("%d probes in 10 s without an answer, want 10", n)
		}
		k.neighbour(Neighbour{Key{2, gateway}, macA, Confirmed})
		time.Sleep(5 * time.Second)
		if n := probes(300 * time.Second); n != 10 {
			t.Errorf("%d probes in 300 s of a neighbour that answers, want 10", n)
		}
		k.neighbour(Neighbour{Key{2, gateway}, lb.MAC{}, Unanswered})
		if n := probes(10 * time.Second); n < 9 || n > 11 {
			t.Errorf("%d probes in 10 s after a failure, want 10", n)
		}
		k.neighbour(Neighbour{Key{2, gateway}, macA, Fixed})
		time.Sleep(time.Second)
		if n := probes(300 * time.Second); n != 0 {
			t.Errorf("%d probes of a fixed neighbour, want none", n)
		}
	})
}

func TestRouteMoves(t *testing.T) {
	run(t, func(t *testing.T, w *Watcher, k *kernel) {
		k.route(backend, viaGateway())
		w.Track([]netip.Addr{backend})
		k.neighbour(Neighbour{Key{2, gateway}, macA, Confirmed})
		mustBe(t, w, Reachable, macA)
		<-w.Changes()

		other := viaGateway()
		other.Gateway = netip.MustParseAddr("10.9.0.253")
		k.route(backend, other)
		time.Sleep(2 * settle)
		mustBe(t, w, Stale, macA) // on the same segment the old one serves until the new one is known
		<-w.Changes()
		k.neighbour(Neighbour{Key{2, other.Gateway}, macB, Confirmed})
		mustBe(t, w, Reachable, macB)

		segment := viaGateway()
		segment.Interface, segment.Index = "eth1", 3
		k.route(backend, segment)
		time.Sleep(2 * settle)
		mustBe(t, w, EgressUnmanaged, lb.MAC{})
		if hop := w.Hops([]netip.Addr{backend})[backend]; hop.Interface != "eth1" {
			t.Errorf("hop %+v, want one behind eth1", hop)
		}
		k.takeProbes()
		time.Sleep(time.Minute)
		if p := k.takeProbes(); len(p) != 0 {
			t.Errorf("%d probes behind an interface that is not managed", len(p))
		}

		k.route(backend, Route{})
		time.Sleep(2 * settle)
		mustBe(t, w, NoRoute, lb.MAC{})
		if hops := w.Hops([]netip.Addr{backend}); len(hops) != 0 {
			t.Errorf("hops %v, want none", hops)
		}
	})
}

// TestRenamedInterface gives the managed interface another name: the data plane is attached to its number, so nothing
// changes until another interface has the name.
func TestRenamedInterface(t *testing.T) {
	run(t, func(t *testing.T, w *Watcher, k *kernel) {
		k.route(backend, viaGateway())
		w.Track([]netip.Addr{backend})
		k.neighbour(Neighbour{Key{2, gateway}, macA, Confirmed})
		mustBe(t, w, Reachable, macA)
		before := w.Hops([]netip.Addr{backend})[backend]

		renamed := viaGateway()
		renamed.Interface = "renamed0"
		k.route(backend, renamed)
		time.Sleep(2 * settle)
		mustBe(t, w, Reachable, macA)
		if hop := w.Hops([]netip.Addr{backend})[backend]; hop != before {
			t.Errorf("hop %+v, want %+v as before", hop, before)
		}

		successor := viaGateway()
		successor.Index = 7
		k.route(backend, successor)
		time.Sleep(2 * settle)
		k.route(backend, renamed)
		time.Sleep(2 * settle)
		mustBe(t, w, EgressUnmanaged, macA)
	})
}

func TestResolveWaits(t *testing.T) {
	run(t, func(t *testing.T, w *Watcher, k *kernel) {
		k.route(backend, viaGateway())
		unrouted := netip.MustParseAddr("10.9.9.9")
		begin := time.Now()
		time.AfterFunc(120*time.Millisecond, func() { k.neighbour(Neighbour{Key{2, gateway}, macA, Confirmed}) })
		w.Resolve(t.Context(), []netip.Addr{backend, unrouted})
		if took := time.Since(begin); took != 120*time.Millisecond {
			t.Errorf("took %v, want 120ms", took)
		}
		mustBe(t, w, Reachable, macA)

		dead := netip.MustParseAddr("10.9.3.4")
		r := viaGateway()
		r.Gateway = netip.Addr{}
		k.route(dead, r)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begin = time.Now()
		w.Resolve(ctx, []netip.Addr{dead})
		if took := time.Since(begin); took != 300*time.Millisecond {
			t.Errorf("took %v, want 300ms", took)
		}
		w.Track([]netip.Addr{backend})
		if _, ok := w.Status(dead); ok {
			t.Error("an address that is not tracked any more is still there")
		}
	})
}

func TestInheritedAddressServesUntilABetterIsKnown(t *testing.T) {
	run(t, func(t *testing.T, w *Watcher, k *kernel) {
		k.route(backend, viaGateway())
		inherited := lb.NextHop{Interface: "eth0", Source: viaGateway().Source, MTU: 1500, MAC: macA}
		w.Inherit(lb.Hops{backend: inherited})
		k.setFail(errors.New("netlink: interrupted"))
		w.Track([]netip.Addr{backend})
		if got := w.Hops([]netip.Addr{backend})[backend]; got != inherited {
			t.Errorf("while the kernel cannot be asked: %+v, want %+v", got, inherited)
		}
		k.setFail(nil)
		time.Sleep(2 * RetryInterval)
		mustBe(t, w, Stale, macA)
		k.neighbour(Neighbour{Key{2, gateway}, macB, Confirmed})
		mustBe(t, w, Reachable, macB)
	})
}

func TestLostSubscriptionIsMadeUpFor(t *testing.T) {
	run(t, func(t *testing.T, w *Watcher, k *kernel) {
		k.route(backend, viaGateway())
		w.Track([]netip.Addr{backend})
		mustBe(t, w, Resolving, lb.MAC{})
		k.mu.Lock()
		k.neighbours[Key{2, gateway}] = Neighbour{Key{2, gateway}, macA, Confirmed} // and nobody says so
		close(k.lose)
		k.lose = make(chan struct{})
		k.mu.Unlock()
		time.Sleep(2 * RetryInterval)
		mustBe(t, w, Reachable, macA)
		if k.watches != 2 {
			t.Errorf("%d subscriptions, want 2", k.watches)
		}
	})
}

func TestStatesPrintThemselves(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range States {
		if name := s.String(); name == "" || name == "invalid" || name == "unknown" || seen[name] {
			t.Errorf("state %d prints %q", s, name)
		} else {
			seen[name] = true
		}
	}
}
