package control

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-lb/sluice/control/nexthop"
	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

const (
	// resolveWait is how long a change waits for the next hops of new backends, so that traffic flows at once.
	resolveWait = 300 * time.Millisecond
	// debounce is how long changes of next hops are collected before they are published.
	debounce = 50 * time.Millisecond
	// retryFirst and retryMost bound how soon a publication or a commit that failed without a client is tried again.
	retryFirst, retryMost = time.Second, 30 * time.Second
)

// Options are what an Engine is made of. All but Health, Attach, Step and Applied are required.
type Options struct {
	Dataplane Dataplane
	Store     Store
	NextHops  NextHops
	// Health may be nil: nothing is checked then.
	Health Health
	Seed   lb.Seed
	Limits lb.Limits
	Log    *slog.Logger
	// Attach makes packets meet the data plane. Start calls it once, after the state is in place.
	Attach func() error
	// Step is called between the steps of a publication, with the name of the step that is done. For tests: a daemon
	// that dies there must come back with the old state or the new one.
	Step func(step string)
	// Applied is told of every valid change that was tried: how long it took and why it failed, if it did.
	Applied func(took time.Duration, err error)
}

// Engine owns the node's state: it is the only one that publishes, and the only one that writes the store.
//
// A publication is made in the order: store it as pending, make it visible to packets, store it as committed. The data
// plane's publication number says after a crash which of two stored states packets see.
type Engine struct {
	dp     Dataplane
	store  Store
	hops   NextHops
	health Health
	seed   lb.Seed
	limits lb.Limits
	log    *slog.Logger
	attach func() error
	step   func(string)
	// applied is told of every valid change that was tried.
	applied func(took time.Duration, err error)

	state atomic.Pointer[lb.State] // what packets see; never modified
	alive chan chan struct{}       // answered by Run

	mu sync.Mutex // one change at a time
	// macs is what each descriptor holds; a missing one is not known and will be set.
	macs map[uint32]lb.MAC
	// sweeps is how many more times the flow tables are looked at.
	sweeps int
	// uncommitted is why the store still has state as pending; nil when it is committed.
	uncommitted error
	// unpublished is why a change of next hops or health is not published yet; nil when it is.
	unpublished error
	// confirm is the confirmation that the live revision waits for; nil where it waits for none. deadline fires when it
	// may have passed, and unreverted is why going back failed then.
	confirm    *store.Confirmation
	deadline   *time.Timer
	unreverted error

	flows flowMeter
}

// NewEngine returns an Engine that has done nothing yet; Start is next.
func NewEngine(o Options) *Engine {
	e := &Engine{
		dp: o.Dataplane, store: o.Store, hops: o.NextHops, health: o.Health, seed: o.Seed, limits: o.Limits,
		log: o.Log.With("component", "engine"), attach: o.Attach, step: o.Step, macs: map[uint32]lb.MAC{},
		alive:    make(chan chan struct{}),
		deadline: time.NewTimer(time.Hour),
		applied:  o.Applied,
		sweeps:   lastSweeps, // an earlier daemon may have been killed before its last
	}
	e.deadline.Stop()
	if e.health == nil {
		e.health = noHealth{}
	}
	if e.attach == nil {
		e.attach = func() error { return nil }
	}
	if e.applied == nil {
		e.applied = func(time.Duration, error) {}
	}
	if e.step == nil {
		e.step = func(string) {}
	}
	return e
}

// State is what packets see. It must not be modified. Before Start it is nil.
func (e *Engine) State() *lb.State { return e.state.Load() }

// publishLocked makes st the state that packets see; r is its entry in the history, nil where it is no new revision. Where
// it fails everything is as it was.
func (e *Engine) publishLocked(st *lb.State, r *store.Revision) error {
	if err := e.commitLocked(); err != nil {
		return unavailable("publish: the store cannot take the change before this one", err)
	}
	prev := e.state.Load()
	if err := e.showLocked(st, r); err != nil {
		return err
	}
	e.logDrains(prev, st)
	e.uncommitted = errNotYet
	if err := e.commitLocked(); err != nil {
		// Packets see the change and the store has it as pending, so it survives a restart: it is made.
		e.log.Error("committing a published change failed, it will be tried again", "revision", st.Revision, "err", err)
	}
	e.step("committed")
	return nil
}

// showLocked is publishLocked without the commit: after it the store has st as pending.
func (e *Engine) showLocked(st *lb.State, r *store.Revision) error {
	e.step("begin")
	if err := e.store.SetPending(st, r); err != nil {
		return unavailable("publish: the store cannot take the change", err)
	}
	e.step("pending")
	if err := e.dp.Publish(st); err != nil {
		committed := st.Revision
		if r != nil {
			committed-- // the one before
		}
		return unavailable("publish: the data plane cannot take the change", errors.Join(err, e.dropPending(st, committed)))
	}
	e.step("published")
	e.noteMACsLocked(st)
	e.state.Store(st)
	e.unpublished = nil
	return nil
}

// dropPending forgets a change that was not made. To fail in that is harmless: no data plane ever gets its number, and
// the next change overwrites it. The error says so, for whoever reads why the change failed.
func (e *Engine) dropPending(st *lb.State, committed uint64) error {
	if err := e.store.DropPending(committed); err != nil {
		e.log.Warn("dropping a failed change failed", "publication", st.Publication, "err", err)
		return fmt.Errorf("the change stays in the store as pending, which is harmless: %w", err)
	}
	return nil
}

var errNotYet = fmt.Errorf("not tried yet")

// commitLocked stores the current state as committed where it is not.
func (e *Engine) commitLocked() error {
	if e.uncommitted != nil {
		e.uncommitted = e.store.Commit(e.state.Load())
	}
	return e.uncommitted
}

// Status tells how packets to a backend leave the node.
func (e *Engine) Status(backend netip.Addr) nexthop.Status {
	s, _ := e.hops.Status(backend)
	return s
}

// planInput completes what lb.Plan wants to know.
func (e *Engine) planInput(cfg lb.Config, hops lb.Hops, conditions lb.Conditions, revision uint64) (lb.PlanInput, error) {
	activity, err := e.dp.Activity()
	if err != nil {
		return lb.PlanInput{}, unavailable("plan the change: read the flows", err)
	}
	return lb.PlanInput{
		Config: cfg, Hops: hops, Conditions: conditions, Seed: e.seed, Limits: e.limits, Revision: revision,
		Activity: activity, Now: activity.Now,
	}, nil
}

// planLocked plans the state after prev.
func (e *Engine) planLocked(prev *lb.State, cfg lb.Config, hops lb.Hops, conditions lb.Conditions, revision uint64) (*lb.State, error) {
	in, err := e.planInput(cfg, hops, conditions, revision)
	if err != nil {
		return nil, err
	}
	st, err := lb.Plan(prev, in)
	if err != nil {
		return nil, unavailable("plan the change", err)
	}
	return st, nil
}

// reached lists the addresses that packets may be sent to once cfg follows prev: those of cfg, and those of backends that
// prev has and that may be leaving then.
func reached(cfg lb.Config, prev *lb.State) []netip.Addr {
	out := addresses(cfg)
	if prev == nil {
		return out
	}
	known := make(map[netip.Addr]bool, len(out))
	for _, a := range out {
		known[a] = true
	}
	for _, a := range prev.Addresses() {
		if !known[a] {
			known[a] = true
			out = append(out, a)
		}
	}
	return out
}

// addresses lists the backends' addresses, each once, in the configuration's order.
func addresses(cfg lb.Config) []netip.Addr {
	var out []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, p := range cfg.Pools {
		for _, b := range p.Backends {
			if !seen[b.Address] {
				seen[b.Address] = true
				out = append(out, b.Address)
			}
		}
	}
	return out
}
