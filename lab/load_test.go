package lab

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

const (
	loadClients = 50
	loadRate    = 1000 // writes a second that all clients together try
	spares      = 16   // backends, and VIPs, that clients create and delete
	// loadLongEnv names the environment variable with how long TestLoad lasts, such as 60s.
	loadLongEnv = "SLUICE_TEST_LONG"
	loadShort   = 8 * time.Second
	// loadGrowth bounds how much lbd's memory may grow once it is warm, in bytes.
	loadGrowth = 64 << 20
)

// TestLoad has 50 clients write at the same time, on connections of their own: weights, drains, backends and VIPs that come
// and go, some of it on condition of a revision. Meanwhile connections are held and new ones are opened through VIPs whose
// backends are drained and weighted and never removed. No write fails but by a conflict with another client's, no
// connection breaks or moves, every acknowledged change is one revision, and lbd's memory is flat.
//
// How fast the writes are is logged, and decides nothing.
func TestLoad(t *testing.T) {
	lasts := loadShort
	if text := os.Getenv(loadLongEnv); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", loadLongEnv, err)
		}
	}
	topology, lbd := raiseDrains(t, 3, 3, "10m", "1m")
	if _, err := topology.LBCtl("", "create", "pool", "spare", "--slots", "4096"); err != nil {
		t.Fatal(err)
	}
	lines, https := linesAndDials()
	held, err := topology.Client.Hold(50, 200*time.Millisecond, lines...)
	if err != nil {
		t.Fatal(err)
	}
	dials := topology.Client.Request(40*time.Millisecond, https...)
	before, cold := revision(t, topology), residentMemory(t, lbd)

	load := startLoad(t, topology, lasts)
	time.Sleep(lasts / 4)
	warm := residentMemory(t, lbd)
	time.Sleep(lasts / 4)
	middle := residentMemory(t, lbd)
	load.clients.Wait()
	end := residentMemory(t, lbd)

	const mib = 1 << 20
	t.Logf("memory of lbd: %d MiB before, %d, %d and %d MiB after a quarter, half and all of %s", cold/mib, warm/mib, middle/mib, end/mib, lasts)
	if end > warm+loadGrowth {
		t.Errorf("lbd grew from %d to %d bytes while warm, by more than %d", warm, end, loadGrowth)
	}
	load.report(t, lasts, revision(t, topology)-before)
	for what, traffic := range map[string]*Traffic{"held connections": held, "dials": dials} {
		tally := traffic.Stop()
		if err := tally.Err(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		t.Logf("%s: %d held, answers %v, slowest %s", what, tally.Held, tally.Answers, tally.Slowest)
	}
}

// load is what the clients have done until now.
type load struct {
	clients sync.WaitGroup

	mu      sync.Mutex // guards what follows
	results map[string]int
	total   int
	changed uint64 // acknowledged writes that changed something
	slowest time.Duration
	wrong   []string // failures that are no conflicts
}

// startLoad starts the clients, which write for a time.
func startLoad(t *testing.T, topology *Topology, lasts time.Duration) *load {
	t.Helper()
	l := &load{results: make(map[string]int)}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for i := range uint64(loadClients) {
		client, random := api(t, topology), rand.New(rand.NewPCG(seed, i))
		l.clients.Go(func() { l.run(client, random, lasts) })
	}
	return l
}

// run writes at one client's share of the rate, or as fast as answers come where they are slower.
func (l *load) run(client sluicev1.SluiceClient, random *rand.Rand, lasts time.Duration) {
	ticker := time.NewTicker(loadClients * time.Second / loadRate)
	defer ticker.Stop()
	seen := uint64(0) // the newest revision that this client was told of
	for end := time.Now().Add(lasts); time.Now().Before(end); <-ticker.C {
		w := nextWrite(random)
		options := &sluicev1.WriteOptions{}
		if random.IntN(4) == 0 {
			options.ExpectedRevision = seen
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		started := time.Now()
		outcome, err := w.send(ctx, client, options)
		cancel()
		l.count(w, options.GetExpectedRevision() != 0, outcome, err, time.Since(started))
		if err == nil {
			seen = outcome.GetRevision()
		}
	}
}

// write is one write of a client.
type write struct {
	what string
	// race is the code of a write that another client's overtook: what it creates exists already, what it deletes is gone.
	// OK where that cannot be.
	race codes.Code
	send func(context.Context, sluicev1.SluiceClient, *sluicev1.WriteOptions) (*sluicev1.Outcome, error)
}

// nextWrite draws a write. web-3 is never drained, so that new connections always have a backend; it is weighted.
func nextWrite(random *rand.Rand) write {
	pool := []string{"web", "web6"}[random.IntN(2)]
	spare := random.IntN(spares)
	switch random.IntN(6) {
	case 0:
		return weighs(pool, fmt.Sprintf("web-%d", 1+random.IntN(3)), uint32(10+random.IntN(290)))
	case 1:
		admin := []sluicev1.Admin{sluicev1.Admin_ADMIN_ENABLED, sluicev1.Admin_ADMIN_DRAINED}[random.IntN(2)]
		return orders(pool, fmt.Sprintf("web-%d", 1+random.IntN(2)), admin)
	case 2:
		return createsBackend(spare)
	case 3:
		return deletesBackend(spare)
	case 4:
		return createsVIP(spare)
	default:
		return deletesVIP(spare)
	}
}

func weighs(pool, backend string, weight uint32) write {
	return write{"weight", codes.OK, func(ctx context.Context, c sluicev1.SluiceClient, o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
		r, err := c.SetWeight(ctx, &sluicev1.SetWeightRequest{Pool: pool, Name: backend, Weight: weight, Options: o})
		return r.GetOutcome(), err
	}}
}

func orders(pool, backend string, admin sluicev1.Admin) write {
	return write{"admin", codes.OK, func(ctx context.Context, c sluicev1.SluiceClient, o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
		r, err := c.SetAdmin(ctx, &sluicev1.SetAdminRequest{Pool: pool, Name: backend, Admin: admin, Options: o})
		return r.GetOutcome(), err
	}}
}

func createsBackend(i int) write {
	b := &sluicev1.Backend{Name: spareName(i), Address: fmt.Sprintf("10.9.100.%d", 10+i)}
	return write{"create backend", codes.AlreadyExists, func(ctx context.Context, c sluicev1.SluiceClient, o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
		r, err := c.CreateBackend(ctx, &sluicev1.CreateBackendRequest{Pool: "spare", Backend: b, Options: o})
		return r.GetOutcome(), err
	}}
}

func deletesBackend(i int) write {
	return write{"delete backend", codes.NotFound, func(ctx context.Context, c sluicev1.SluiceClient, o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
		r, err := c.DeleteBackend(ctx, &sluicev1.DeleteBackendRequest{Pool: "spare", Name: spareName(i), Options: o})
		return r.GetOutcome(), err
	}}
}

func createsVIP(i int) write {
	v := &sluicev1.Vip{Name: spareName(i), Address: fmt.Sprintf("198.51.100.%d", 100+i),
		Protocol: sluicev1.Protocol_PROTOCOL_TCP, Ports: []string{"443"}, Pool: "spare"}
	return write{"create vip", codes.AlreadyExists, func(ctx context.Context, c sluicev1.SluiceClient, o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
		r, err := c.CreateVip(ctx, &sluicev1.CreateVipRequest{Vip: v, Options: o})
		return r.GetOutcome(), err
	}}
}

func deletesVIP(i int) write {
	return write{"delete vip", codes.NotFound, func(ctx context.Context, c sluicev1.SluiceClient, o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
		r, err := c.DeleteVip(ctx, &sluicev1.DeleteVipRequest{Name: spareName(i), Options: o})
		return r.GetOutcome(), err
	}}
}

func spareName(i int) string { return fmt.Sprintf("spare-%02d", i) }

// count notes an answer. These are the conflicts: ABORTED, where the write was on condition of a revision and another one
// is committed; ALREADY_EXISTS, where somebody else has created the same; NOT_FOUND, where somebody else has deleted it.
func (l *load) count(w write, conditional bool, outcome *sluicev1.Outcome, err error, took time.Duration) {
	code := status.Code(err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	l.results[code.String()]++
	l.slowest = max(l.slowest, took)
	if len(outcome.GetChanges()) > 0 {
		l.changed++
	}
	conflict := code == w.race || code == codes.Aborted && conditional
	if code != codes.OK && !conflict {
		l.wrong = append(l.wrong, fmt.Sprintf("%s (on condition of a revision: %t): %v", w.what, conditional, err))
	}
}

// report logs what the clients have done, and says what is wrong with it.
func (l *load) report(t *testing.T, lasted time.Duration, revisions uint64) {
	t.Helper()
	var results []string
	for _, code := range slices.Sorted(maps.Keys(l.results)) {
		results = append(results, fmt.Sprintf("%d %s", l.results[code], code))
	}
	t.Logf("%d writes in %s: %.0f a second, %.0f revisions a second; %s; slowest %s", l.total, lasted,
		float64(l.total)/lasted.Seconds(), float64(revisions)/lasted.Seconds(), strings.Join(results, ", "), l.slowest)
	if len(l.wrong) > 0 {
		t.Errorf("%d writes failed other than by a conflict, the first: %s", len(l.wrong), l.wrong[0])
	}
	if l.changed != revisions {
		t.Errorf("%d writes were acknowledged with changes, and %d revisions were made", l.changed, revisions)
	}
	for _, code := range []codes.Code{codes.OK, codes.Aborted, codes.AlreadyExists, codes.NotFound} {
		if l.results[code.String()] == 0 {
			t.Errorf("no write ended with %s, so that was not tested", code)
		}
	}
}

// revision is the one that is committed.
func revision(t *testing.T, topology *Topology) uint64 {
	t.Helper()
	answer, err := api(t, topology).Export(context.Background(), &sluicev1.ExportRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetRevision()
}

// residentMemory is how much memory a process has, in bytes: its resident set, of which the maps that it sees are a part.
func residentMemory(t *testing.T, p *Process) uint64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("process %d has no VmRSS", p.PID())
	return 0
}
