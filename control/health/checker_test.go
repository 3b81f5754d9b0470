package health

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

// bench is a Checker over a network that a test makes up.
type bench struct {
	*Checker
	t   *testing.T
	log bytes.Buffer // of the checker's lines; read it when nothing runs

	mu      sync.Mutex
	answers map[netip.Addr]Grade
	latency time.Duration
	gone    map[netip.Addr]string
	starts  map[netip.Addr][]time.Time
	now     int
	most    int // checks at once
}

func newBench(t *testing.T, outstanding int) *bench {
	b := &bench{t: t, answers: map[netip.Addr]Grade{}, gone: map[netip.Addr]string{}, starts: map[netip.Addr][]time.Time{}}
	b.Checker = New(Options{
		Probe: b.answer, Outstanding: outstanding, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
		Gone: func(a netip.Addr) string { b.mu.Lock(); defer b.mu.Unlock(); return b.gone[a] },
	})
	return b
}

func (b *bench) answer(ctx context.Context, t Target) Result {
	r := Result{At: time.Now()}
	b.mu.Lock()
	b.starts[t.Address] = append(b.starts[t.Address], r.At)
	b.now++
	b.most = max(b.most, b.now)
	r.Grade, r.Latency = b.answers[t.Address], b.latency
	b.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(r.Latency):
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now--
	r.Detail = r.Grade.String() + " answer"
	return r
}

// run runs the Checker for the length of a test.
func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	b.t.Cleanup(func() {
		cancel()
		<-done
		if b.now != 0 {
			b.t.Errorf("Run returned while %d checks ran", b.now)
		}
	})
}

func (b *bench) set(address string, g Grade) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[netip.MustParseAddr(address)] = g
}

func (b *bench) setGone(address, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone[netip.MustParseAddr(address)] = why
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// published are the conditions, after a change was told; "" means that none was.
func (b *bench) published(cfg lb.Config) string {
	select {
	case <-b.Changes():
	default:
		return ""
	}
	return fmt.Sprint(map[string]lb.Condition(b.Conditions(cfg)))
}

// lines are the log's with some words, without time and level.
func (b *bench) lines(words string) []string {
	var out []string
	for line := range strings.Lines(b.log.String()) {
		if strings.Contains(line, words) {
			_, after, _ := strings.Cut(line, "msg=")
			out = append(out, strings.ReplaceAll(strings.TrimSpace(after), " component=health", ""))
		}
	}
	return out
}

var check = lb.Health{Type: lb.CheckTCP, Port: 80, Interval: time.Second, Timeout: 500 * time.Millisecond, Rise: 2, Fall: 3}

// site is one pool "web" with n backends b0, b1, ... of 10.9.0.0, 10.9.0.1, ...
func site(n int) lb.Config {
	p := lb.Pool{Name: "web", Health: check}
	for i := range n {
		p.Backends = append(p.Backends, lb.Backend{
			Name: fmt.Sprintf("b%d", i), Address: netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), Weight: 100, Scale: lb.ScaleOne,
		})
	}
	return lb.Config{Pools: []lb.Pool{p}}
}

func TestBackendFallsAndRises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, cfg := newBench(t, 0), site(4)
		b.Track(cfg)
		b.run()
		pass(10 * time.Second)
		if got := b.published(cfg); got != "" {
			t.Errorf("all is well, but %s", got)
		}
		if s, _ := b.Backend("web/b1"); s.State != Up || s.Reason != "good answer" {
			t.Errorf("%+v", s)
		}
		b.set("10.9.0.1", Soft)
		pass(1500 * time.Millisecond)
		if got := b.published(cfg); got != "" {
			t.Errorf("after one or two bad results: %s", got)
		}
		pass(2 * time.Second)
		if got := b.published(cfg); got != "map[web/b1:soft]" {
			t.Errorf("after three: %q", got)
		}
		b.set("10.9.0.1", Good)
		pass(3 * time.Second)
		if got := b.published(cfg); got != "map[]" {
			t.Errorf("when it is back: %q", got)
		}
		want := []string{
			`"health changed" backend=web/b1 old=up new="down (soft)" reason="soft answer"`,
			`"health changed" backend=web/b1 old="down (soft)" new=up reason="good answer"`,
		}
		if got := b.lines("backend=web/b1"); fmt.Sprint(got[1:]) != fmt.Sprint(want) {
			t.Errorf("log:\n%s", strings.Join(got, "\n"))
		}
		s, _ := b.Backend("web/b1")
		if len(s.Results) != Remembered || s.LastError.Grade != Soft || s.Results[Remembered-1].Grade != Good {
			t.Errorf("%+v", s)
		}
	})
}

func TestFirstResultDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, cfg := newBench(t, 0), site(4)
		b.set("10.9.0.2", Soft)
		b.Track(cfg)
		if s, _ := b.Backend("web/b2"); s.State != Unchecked || s.Condition != lb.ConditionUp {
			t.Errorf("a new backend is %+v", s)
		}
		b.run()
		pass(10 * time.Millisecond) // long before the first interval is over
		if got := b.published(cfg); got != "map[web/b2:soft]" {
			t.Errorf("got %q", got)
		}
	})
}

func TestInheritedStateHasToRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, cfg := newBench(t, 0), site(4)
		b.Inherit(lb.Conditions{"web/b0": lb.ConditionSoft, "web/b1": lb.ConditionHard, "gone/x": lb.ConditionSoft})
		b.set("10.9.0.1", Hard)
		b.Track(cfg)
		if got := fmt.Sprint(map[string]lb.Condition(b.Conditions(cfg))); got != "map[web/b0:soft web/b1:hard]" {
			t.Errorf("before the first check: %s", got)
		}
		b.run()
		pass(500 * time.Millisecond)
		if s, _ := b.Backend("web/b0"); s.State != Down || s.Reason != "down before the daemon was restarted" {
			t.Errorf("after one good result: %+v", s)
		}
		pass(time.Second)
		<-b.Changes()
		if got := b.Conditions(cfg); !maps.Equal(got, lb.Conditions{"web/b1": lb.ConditionHard}) {
			t.Errorf("after two: %v", got)
		}
	})
}

func TestGoneHostIsHardAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, cfg := newBench(t, 0), site(4)
		b.Track(cfg)
		b.run()
		pass(5 * time.Second)
		b.setGone("10.9.0.3", "next hop failed")
		pass(lookInterval)
		if got := b.published(cfg); got != "map[web/b3:hard]" {
			t.Errorf("got %q", got)
		}
		if s, _ := b.Backend("web/b3"); s.State != Up || s.Condition != lb.ConditionHard || s.Reason != "next hop failed" || time.Since(s.Since) > lookInterval {
			t.Errorf("%+v", s)
		}
		b.setGone("10.9.0.3", "")
		pass(lookInterval)
		if got := b.published(cfg); got != "map[]" {
			t.Errorf("back: %q", got)
		}
		if got := b.lines("backend=web/b3"); len(got) != 3 || got[1] != `"health changed" backend=web/b3 old=up new="down (hard)" reason="next hop failed"` {
			t.Errorf("log:\n%s", strings.Join(got, "\n"))
		}
	})
}

func TestPoolPanicsAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, cfg := newBench(t, 0), site(4)
		cfg.Pools[0].PanicThreshold = lb.PanicPercent(50)
		b.Track(cfg)
		b.run()
		pass(2 * time.Second)
		for i := range 3 {
			b.set(fmt.Sprintf("10.9.0.%d", i), Soft)
		}
		pass(10 * time.Second)
		if got := b.published(cfg); got != "map[]" {
			t.Errorf("one of four is up, but the conditions are %q", got)
		}
		if p, _ := b.Pool("web"); p != (PoolStatus{Up: 1, Enabled: 4, Panic: true, Threshold: 50}) {
			t.Errorf("%+v", p)
		}
		low := site(4)
		if got := b.Conditions(low); len(got) != 3 {
			t.Errorf("with a threshold of 25 %%: %v", got)
		}
		b.set("10.9.0.0", Good)
		pass(10 * time.Second)
		if got := b.published(cfg); got != "map[web/b1:soft web/b2:soft]" {
			t.Errorf("two of four are up, but the conditions are %q", got)
		}
		want := []string{
			`"pool panics: too few backends are up, health is ignored" pool=web up=1 enabled=4 panic_threshold=50`,
			`"pool no longer panics: health counts again" pool=web up=2 enabled=4`,
		}
		if got := b.lines("panics"); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("log:\n%s", strings.Join(got, "\n"))
		}
	})
}

func TestChecksAreSpreadAndNeverOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 2000
		b, cfg := newBench(t, 0), site(1000)
		second := site(1000)
		second.Pools[0].Name = "mail"
		for i := range second.Pools[0].Backends {
			second.Pools[0].Backends[i].Address = netip.AddrFrom4([4]byte{10, 8, byte(i >> 8), byte(i)})
		}
		cfg.Pools = append(cfg.Pools, second.Pools[0])
		began := time.Now()
		b.Track(cfg)
		b.run()
		pass(20 * time.Second)
		var tenths [10]int
		for address, starts := range b.starts {
			first := starts[0].Sub(began)
			if first > check.Interval {
				t.Fatalf("%s was first checked after %s", address, first)
			}
			tenths[min(first*10/check.Interval, 9)]++
			for i := 1; i < len(starts); i++ {
				if d := starts[i].Sub(starts[i-1]); d < check.Interval*9/10-2*tick || d > check.Interval*11/10+2*tick {
					t.Fatalf("%s was checked again after %s", address, d)
				}
			}
			if len(starts) < 17 || len(starts) > 24 {
				t.Fatalf("%s was checked %d times in 20 s", address, len(starts))
			}
		}
		if len(b.starts) != n {
			t.Errorf("%d backends were checked", len(b.starts))
		}
		for i, count := range tenths {
			if count < n/20 || count > n/5 {
				t.Errorf("%d of %d first checks in tenth %d of the interval: %v", count, n, i, tenths)
			}
		}
	})
}

func TestOutstandingChecksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.latency = 400 * time.Millisecond
		b.Track(site(30)) // would be 12 at once
		b.run()
		pass(10 * time.Second)
		s := b.Snapshot()
		if b.most != 3 || s.MaxOutstanding != 3 || s.Late == 0 {
			t.Errorf("%d checks at once, %+v", b.most, s)
		}
		if len(b.starts) != 30 {
			t.Errorf("%d of 30 backends were checked", len(b.starts))
		}
		if got := b.lines("checks are late"); len(got) != 1 {
			t.Errorf("log: %v", got)
		}
		total := s.Results[Good]
		if total < 3*10*2 || total > 3*10*3 { // each of the three takes 0.4 s
			t.Errorf("%d checks in 10 s", total)
		}
	})
}

func TestSlowCheckDelaysTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 0)
		b.latency = 2500 * time.Millisecond // no probe of ours is: it ends at the timeout
		b.Track(site(1))
		b.run()
		pass(20 * time.Second)
		if b.most != 1 || len(b.starts[netip.MustParseAddr("10.9.0.0")]) > 9 {
			t.Errorf("%d at once, %v", b.most, b.starts)
		}
	})
}

func TestVoidChecksChangeNothingButAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, cfg := newBench(t, 0), site(10)
		b.Track(cfg)
		b.run()
		pass(3 * time.Second)
		for i := range 10 {
			b.set(fmt.Sprintf("10.9.0.%d", i), Void)
		}
		pass(50 * time.Second)
		if got := b.published(cfg); got != "" {
			t.Errorf("conditions changed: %s", got)
		}
		if got := b.lines("cannot be made"); len(got) != 1 {
			t.Errorf("log: %v", got)
		}
		if s, _ := b.Backend("web/b0"); s.LastError.Grade != Void || s.State != Up {
			t.Errorf("%+v", s)
		}
	})
}

func TestTrackFollowsTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, cfg := newBench(t, 0), site(8)
		b.set("10.9.0.1", Soft)
		b.Track(cfg)
		b.run()
		pass(5 * time.Second)
		<-b.Changes()

		// Another question keeps the state until it was answered often enough.
		asked := cfg.Normalize()
		asked.Pools[0].Health.Port = 81
		b.set("10.9.0.1", Good)
		b.Track(asked)
		synctest.Wait() // the new question is asked at once
		if s, _ := b.Backend("web/b1"); s.State != Down || slices.ContainsFunc(s.Results, func(r Result) bool { return r.Grade == Soft }) {
			t.Errorf("another port: %+v", s)
		}
		pass(2500 * time.Millisecond)
		if s, _ := b.Backend("web/b1"); s.State != Up {
			t.Errorf("another port: %+v", s)
		}

		// Another address is another backend.
		moved := asked.Normalize()
		moved.Pools[0].Backends[1].Address = netip.MustParseAddr("10.9.7.7")
		b.set("10.9.7.7", Soft)
		if c := b.Conditions(moved); len(c) != 0 {
			t.Errorf("a new address has the conditions %v", c)
		}
		b.Track(moved)
		if s, _ := b.Backend("web/b1"); s.State != Unchecked {
			t.Errorf("another address: %+v", s)
		}
		pass(time.Second)
		if s, _ := b.Backend("web/b1"); s.State != Down {
			t.Errorf("another address: %+v", s)
		}

		// What is gone is not checked any more, also when it goes while it is checked.
		b.mu.Lock()
		b.latency = 400 * time.Millisecond
		b.mu.Unlock()
		pass(1200 * time.Millisecond)
		less := site(1)
		b.Track(less)
		b.mu.Lock()
		clear(b.starts)
		b.mu.Unlock()
		pass(3 * time.Second)
		if len(b.starts) != 1 || len(b.Snapshot().Backends) != 1 {
			t.Errorf("checked %v", b.starts)
		}
		b.Track(lb.Config{Pools: []lb.Pool{{Name: "web", Backends: less.Pools[0].Backends}}})
		if s := b.Snapshot(); len(s.Backends)+len(s.Pools) != 0 {
			t.Errorf("without a check: %+v", s)
		}
	})
}

func TestShorterIntervalCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, cfg := newBench(t, 0), site(1)
		cfg.Pools[0].Health.Interval = time.Hour
		b.Track(cfg)
		b.run()
		pass(time.Minute)
		b.Track(site(1))
		pass(5 * time.Second)
		if n := len(b.starts[netip.MustParseAddr("10.9.0.0")]); n < 5 {
			t.Errorf("checked %d times", n)
		}
	})
}
