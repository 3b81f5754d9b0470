package control_test

import (
	"context"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/control/health"
	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// patients answer health checks as a test says.
type patients struct {
	mu   sync.Mutex
	sick map[netip.Addr]health.Grade
}

func (p *patients) probe(_ context.Context, t health.Target) health.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.sick[t.Address]
	return health.Result{At: time.Now(), Latency: time.Millisecond, Grade: g, Detail: "it is " + g.String()}
}

func (p *patients) set(i int, g health.Grade) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sick[backend(i).Address] = g
}

// checked is web(n) with a health check.
func checked(n int) lb.Config {
	c := web(n)
	c.Pools[0].Health = lb.Health{Type: lb.CheckTCP, Port: 80}
	return c
}

// checking gives test a node with checked(4) whose engine and checker run, on a clock of its own.
func checking(t *testing.T, dir string, p *patients, test func(t *testing.T, n *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		hops := newNextHops()
		checker := health.New(health.Options{Probe: p.probe, Log: quiet, Gone: control.HostGone(hops)})
		n, err := openNodeWith(dir, control.Options{Health: checker, NextHops: hops})
		if err != nil {
			t.Fatal(err)
		}
		n.hops = hops
		defer func() { _ = n.store.Close() }()
		if len(n.engine.State().Config.Pools) == 0 {
			n.apply(t, checked(4))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { n.engine.Run(ctx) })
		running.Go(func() { checker.Run(ctx) })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		test(t, n)
		cancel()
		running.Wait()
	})
}

// pass lets everything happen that comes of a change of health.
func pass() {
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

func TestHealthIsPublishedWithoutARevision(t *testing.T) {
	p := &patients{sick: map[netip.Addr]health.Grade{}}
	checking(t, t.TempDir(), p, func(t *testing.T, n *node) {
		before := n.engine.State()
		p.set(1, health.Soft)
		pass()
		down := n.engine.State()
		if down.Revision != before.Revision || down.Publication != before.Publication+1 {
			t.Errorf("revision %d, publication %d; were %d and %d", down.Revision, down.Publication, before.Revision, before.Publication)
		}
		if want := (lb.Conditions{"web/web-b": lb.ConditionSoft}); !maps.Equal(down.Conditions, want) {
			t.Errorf("conditions %v, want %v", down.Conditions, want)
		}
		if per, _ := down.Tables["web"].Counts(4); per[1] != 0 || per[0] == 0 {
			t.Errorf("slots %v, want none for the second", per)
		}
		n.check(t)
		p.set(1, health.Good)
		pass()
		up := n.engine.State()
		if up.Publication <= down.Publication || len(up.Conditions) != 0 || up.Tables["web"].Digest() != before.Tables["web"].Digest() {
			t.Errorf("publication %d, conditions %v, digest %x; want the digest %x", up.Publication, up.Conditions, up.Tables["web"].Digest(), before.Tables["web"].Digest())
		}
		n.check(t)
	})
}

func TestManyChangesOfHealthAreOnePublication(t *testing.T) {
	p := &patients{sick: map[netip.Addr]health.Grade{}}
	checking(t, t.TempDir(), p, func(t *testing.T, n *node) {
		before := n.engine.State().Publication
		for i := range 4 {
			p.set(i, health.Hard) // all of them: the pool panics
		}
		pass()
		st := n.engine.State()
		if len(st.Conditions) != 0 || st.Publication > before+6 {
			t.Errorf("conditions %v, %d publications", st.Conditions, st.Publication-before)
		}
		if w := strings.Join(n.engine.Warnings(), "\n"); !strings.Contains(w, `pool "web" panics: 0 of its 4 enabled backends are up, fewer than 25 %: health is ignored and all are used`) ||
			!strings.Contains(w, `backend "web/web-a" (10.9.3.10) is gone: it is hard`) {
			t.Errorf("warnings:\n%s", w)
		}
	})
}

func TestHealthSurvivesARestart(t *testing.T) {
	dir, p := t.TempDir(), &patients{sick: map[netip.Addr]health.Grade{}}
	var publication uint64
	checking(t, dir, p, func(t *testing.T, n *node) {
		p.set(0, health.Soft)
		p.set(1, health.Hard)
		pass()
		publication = n.engine.State().Publication
	})
	checking(t, dir, p, func(t *testing.T, n *node) {
		st := n.engine.State()
		if want := (lb.Conditions{"web/web-a": lb.ConditionSoft, "web/web-b": lb.ConditionHard}); !maps.Equal(st.Conditions, want) {
			t.Errorf("conditions %v, want %v", st.Conditions, want)
		}
		if st.Publication != publication {
			t.Errorf("publication %d, was %d: nothing has changed", st.Publication, publication)
		}
		n.check(t)
	})
}

func TestGoneNextHopIsHard(t *testing.T) {
	p := &patients{sick: map[netip.Addr]health.Grade{}}
	checking(t, t.TempDir(), p, func(t *testing.T, n *node) {
		n.hops.set(backend(2).Address, lb.NextHop{}) // the route goes
		pass()
		if want := (lb.Conditions{"web/web-c": lb.ConditionHard}); !maps.Equal(n.engine.State().Conditions, want) {
			t.Errorf("conditions %v, want %v", n.engine.State().Conditions, want)
		}
		n.check(t)
	})
}

func TestWritesGoOnWithWhatIsKnown(t *testing.T) {
	p := &patients{sick: map[netip.Addr]health.Grade{}}
	checking(t, t.TempDir(), p, func(t *testing.T, n *node) {
		p.set(1, health.Soft)
		pass()
		n.apply(t, checked(5))
		if want := (lb.Conditions{"web/web-b": lb.ConditionSoft}); !maps.Equal(n.engine.State().Conditions, want) {
			t.Errorf("another backend: conditions %v, want %v", n.engine.State().Conditions, want)
		}
		moved := checked(5)
		moved.Pools[0].Backends[1].Address = netip.MustParseAddr("10.9.3.99")
		n.apply(t, moved)
		if len(n.engine.State().Conditions) != 0 {
			t.Errorf("another address: conditions %v", n.engine.State().Conditions)
		}
		n.apply(t, checked(5))
		pass()
		n.apply(t, web(5))
		if len(n.engine.State().Conditions) != 0 {
			t.Errorf("without a check: conditions %v", n.engine.State().Conditions)
		}
		n.check(t)
	})
}

func TestHealthInTheAPI(t *testing.T) {
	p := &patients{sick: map[netip.Addr]health.Grade{backend(1).Address: health.Soft}}
	checker := health.New(health.Options{Probe: p.probe, Log: quiet})
	n, err := openNodeWith(t.TempDir(), control.Options{Health: checker})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.store.Close() })
	cfg := checked(4)
	cfg.Pools[0].Health.Interval = 100 * time.Millisecond
	n.apply(t, cfg)
	conn, _ := mustServe(t, n)
	client := sluicev1.NewSluiceClient(conn)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { checker.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if s, _ := checker.Backend("web/web-b"); len(s.Results) > 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not checked within 10 s")
		}
	}
	backends, err := client.ListBackends(ctx, &sluicev1.ListBackendsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []sluicev1.BackendHealth_State{sluicev1.BackendHealth_STATE_UP, sluicev1.BackendHealth_STATE_DOWN} {
		if got := backends.GetBackends()[i].GetHealth().GetState(); got != want {
			t.Errorf("backend %d is %s, want %s", i, got, want)
		}
	}
	sick := backends.GetBackends()[1].GetHealth()
	if sick.GetReason() != "it is soft" || sick.GetLastError().GetDetail() != "it is soft" || len(sick.GetResults()) < 3 || sick.GetIgnored() ||
		sick.GetResults()[0].GetGrade() != sluicev1.CheckResult_GRADE_SOFT || sick.GetResults()[0].GetLatency().AsDuration() != time.Millisecond {
		t.Errorf("%v", sick)
	}
	status, err := client.GetStatus(ctx, &sluicev1.GetStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if c := status.GetChecks(); c.GetBackends() != 4 || c.GetMaxOutstanding() != health.DefaultOutstanding || len(c.GetResults()) != 5 || c.GetResults()[0].GetChecks() == 0 {
		t.Errorf("%v", c)
	}
	pools, err := client.ListPools(ctx, &sluicev1.ListPoolsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if h := pools.GetPools()[0].GetHealth(); h.GetUp() != 3 || h.GetEnabled() != 4 || h.GetPanic() || h.GetThreshold() != 25 {
		t.Errorf("%v", h)
	}
	if _, err := client.SetPool(ctx, &sluicev1.SetPoolRequest{Name: "web", Health: &sluicev1.HealthCheck{Fall: ptr(uint32(101))}}); err == nil ||
		!strings.Contains(err.Error(), "health.fall: 101: must be 1 to 100") {
		t.Errorf("fall 101: %v", err)
	}
	set := &sluicev1.HealthCheck{Type: sluicev1.HealthCheck_TYPE_HTTP, Path: ptr("/healthz")}
	if _, err := client.SetPool(ctx, &sluicev1.SetPoolRequest{Name: "web", Health: set, PanicThreshold: ptr(uint32(0))}); err != nil {
		t.Fatal(err)
	}
	if got := n.engine.State().Config.Pools[0]; got.Health != (lb.Health{Type: lb.CheckHTTP, Path: "/healthz"}).WithDefaults() || got.PanicThreshold != lb.PanicNever {
		t.Errorf("%+v, %d", got.Health, got.PanicThreshold)
	}
	if _, err := client.SetPool(ctx, &sluicev1.SetPoolRequest{Name: "web", Health: &sluicev1.HealthCheck{Type: sluicev1.HealthCheck_TYPE_NONE}}); err != nil {
		t.Fatal(err)
	}
	backends, err = client.ListBackends(ctx, &sluicev1.ListBackendsRequest{})
	if err != nil || n.engine.State().Config.Pools[0].Health != (lb.Health{}) || backends.GetBackends()[0].GetHealth() != nil {
		t.Errorf("after its removal: %v, %v, err %v", n.engine.State().Config.Pools[0].Health, backends.GetBackends()[0].GetHealth(), err)
	}
}
