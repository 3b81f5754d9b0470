package control_test

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/control/access"
	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

// node is a daemon without processes and sockets: a store and a data plane that survive, and an engine that does not.
type node struct {
	dir    string
	store  *flakyStore
	dp     *dataplane
	hops   *nextHops
	engine *control.Engine
}

var quiet = slog.New(slog.DiscardHandler)

// openNode opens everything in dir and starts. step is called at every step of a publication.
func openNode(dir string, step func(string)) (*node, error) {
	return openNodeWith(dir, control.Options{Step: step})
}

// openNodeWith takes some of the options from its caller.
func openNodeWith(dir string, o control.Options) (*node, error) {
	s, err := store.Open(filepath.Join(dir, "state"), "")
	if err != nil {
		return nil, err
	}
	dp, err := openDataplane(filepath.Join(dir, "maps"))
	if err != nil {
		return nil, err
	}
	dp.step = o.Step
	n := &node{dir: dir, store: &flakyStore{Store: s, fail: map[string]error{}}, dp: dp, hops: newNextHops()}
	o.Dataplane, o.Store, o.Seed, o.Limits, o.Log = dp, n.store, s.Seed(), lb.DefaultLimits, quiet
	if o.NextHops == nil {
		o.NextHops = n.hops
	}
	n.engine = control.NewEngine(o)
	return n, n.engine.Start(background())
}

// ownGuard lets the daemon's own user, who runs the test, do everything.
func ownGuard() *access.Guard {
	g, err := access.New(access.Options{Log: quiet})
	if err != nil {
		panic(err) // without rules there is nothing to fail
	}
	return g
}

func mustNode(t testing.TB, dir string) *node {
	t.Helper()
	n, err := openNode(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.store.Close() })
	return n
}

// restart is a death of the daemon: only what survives is kept.
func (n *node) restart(t testing.TB) *node {
	t.Helper()
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	return mustNode(t, n.dir)
}

func (n *node) apply(t testing.TB, cfg lb.Config) control.Outcome {
	t.Helper()
	out, err := n.engine.Write(background(), control.WriteOptions{}, replace(cfg))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func replace(cfg lb.Config) func(*lb.Config) error {
	return func(c *lb.Config) error { *c = cfg; return nil }
}

// check compares the three places that know the state.
func (n *node) check(t testing.TB) {
	t.Helper()
	stored, err := n.store.Load()
	if err != nil {
		t.Fatal(err)
	}
	if stored.Pending != nil || stored.Committed == nil {
		t.Fatalf("store: pending %v, committed %v", stored.Pending, stored.Committed)
	}
	st := n.engine.State()
	stored.Committed.Tables = st.Tables
	if diff := mixed(stored.Committed, st); diff != "" {
		t.Errorf("store and engine: %s differs", diff)
	}
	maps := n.dp.contents()
	if diff := mixed(maps.State, st); diff != "" {
		t.Errorf("data plane and engine: %s differs", diff)
	}
	if _, err := n.engine.Check(); err != nil {
		t.Error(err)
	}
	for key, place := range st.Layout.Backends {
		if want, got := n.hops.Hops([]netip.Addr{place.Address})[place.Address].MAC, maps.MACs[place.Index]; got != want {
			t.Errorf("backend %s: the data plane sends to %s, want %s", key, got, want)
		}
	}
}

// web is a configuration of one VIP and n backends.
func web(n int) lb.Config {
	p := lb.Pool{Name: "web"}
	for i := range n {
		p.Backends = append(p.Backends, backend(i))
	}
	return lb.Config{
		Pools: []lb.Pool{p},
		VIPs:  []lb.VIP{{Name: "web", Address: netip.MustParseAddr("198.51.100.10"), Protocol: lb.TCP, Ports: []uint16{80}, Pool: "web"}},
	}
}

func backend(i int) lb.Backend {
	return lb.Backend{Name: "web-" + string(rune('a'+i)), Address: netip.AddrFrom4([4]byte{10, 9, 3, byte(10 + i)}), Weight: 100, Scale: lb.ScaleOne}
}
