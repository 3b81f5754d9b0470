package control

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

// WriteOptions are common to all writes.
type WriteOptions struct {
	// ExpectedRevision, if not 0, must be the committed one.
	ExpectedRevision uint64
	// DryRun validates and plans only.
	DryRun bool
	// Author and Comment go into the history.
	Author, Comment string
	// Confirm, if not 0, is how long the revision waits to be confirmed before the one before comes back.
	Confirm time.Duration
	// goesBackTo is the revision whose configuration comes back; nil for any other write.
	goesBackTo *uint64
}

// Outcome is what a write did, or would do.
type Outcome struct {
	// Revision is the committed one afterwards.
	Revision uint64
	Changes  []lb.Change
	// Moves says which VIPs' flows move; the preview of a VIP's flows is what makes a dry run worth it.
	Moves    []FlowMove
	Warnings []string
	// Confirmation is what the write waits for; nil where it waits for nothing.
	Confirmation *store.Confirmation
}

// Write applies edit to a copy of the configuration and publishes the result, whole or not at all. Errors are *Error,
// lb.Violations, what edit returns, and ctx's own. A result that means the same as before changes nothing.
func (e *Engine) Write(ctx context.Context, o WriteOptions, edit func(*lb.Config) error) (Outcome, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	prev := e.state.Load()
	if o.ExpectedRevision != 0 && o.ExpectedRevision != prev.Revision {
		return Outcome{}, &Error{Code: codes.Aborted, Message: fmt.Sprintf(
			"expected revision %d, the committed one is %d (read it again and retry)", o.ExpectedRevision, prev.Revision)}
	}
	cfg := prev.Config.Normalize() // a deep copy
	if err := edit(&cfg); err != nil {
		return Outcome{}, err
	}
	if err := cfg.Validate(e.limits); err != nil {
		return Outcome{}, err
	}
	cfg = cfg.Normalize()
	if same(cfg, prev.Config) {
		return Outcome{Revision: prev.Revision, Warnings: e.warningsLocked(cfg)}, nil
	}
	if o.DryRun {
		return e.previewLocked(prev, cfg)
	}
	if err := e.mayWriteLocked(o); err != nil {
		return Outcome{}, err
	}
	start := time.Now()
	out, err := e.applyLocked(ctx, prev, cfg, o)
	e.applied(time.Since(start), err)
	return out, err
}

// previewLocked plans with the next hops that are known and leaves everything alone, the network included.
func (e *Engine) previewLocked(prev *lb.State, cfg lb.Config) (Outcome, error) {
	st, err := e.planLocked(prev, cfg, e.hops.Hops(reached(cfg, prev)), e.health.Conditions(cfg), prev.Revision+1)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Revision: prev.Revision, Changes: lb.Diff(prev.Config, cfg, prev.Tables, st.Tables),
		Moves: e.movesLocked(prev, st), Warnings: cfg.Warnings()}, nil
}

func (e *Engine) applyLocked(ctx context.Context, prev *lb.State, cfg lb.Config, o WriteOptions) (Outcome, error) {
	defer func() { // whichever of the two that is then
		now := e.state.Load()
		e.hops.Track(now.Addresses())
		e.health.Track(now.Config)
	}()
	if err := e.store.KeepHead(prev, foundRevision()); err != nil {
		return Outcome{}, unavailable("keep the revision before", err)
	}
	all := reached(cfg, prev)
	e.resolveNewLocked(ctx, prev, all)
	if err := ctx.Err(); err != nil {
		return Outcome{}, err // nobody waits for the answer any more
	}
	st, err := e.planLocked(prev, cfg, e.hops.Hops(all), e.health.Conditions(cfg), prev.Revision+1)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Revision: st.Revision, Changes: lb.Diff(prev.Config, st.Config, prev.Tables, st.Tables), Moves: e.movesLocked(prev, st)}
	r := newRevision(prev, st, out.Changes, o)
	if err := e.publishLocked(st, r); err != nil {
		return Outcome{}, err
	}
	e.awaitLocked(r.Confirm)
	e.log.Info("revision committed", "revision", st.Revision, "publication", st.Publication, "changes", len(out.Changes),
		"author", o.Author, "comment", o.Comment)
	out.Warnings, out.Confirmation = e.warningsLocked(st.Config), e.confirm
	return out, nil
}

// resolveNewLocked waits a little for the next hops of addresses that prev does not have. Failing is no error: the
// state of the next hop says so.
func (e *Engine) resolveNewLocked(ctx context.Context, prev *lb.State, all []netip.Addr) {
	known := map[netip.Addr]bool{}
	for _, a := range prev.Addresses() {
		known[a] = true
	}
	fresh := slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return known[a] })
	wait, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	e.hops.Resolve(wait, fresh)
}

// same compares two normalized configurations by what they mean.
func same(a, b lb.Config) bool {
	return len(a.Pools) == len(b.Pools) && len(a.VIPs) == len(b.VIPs) &&
		slices.EqualFunc(a.Pools, b.Pools, func(a, b lb.Pool) bool {
			return a.Name == b.Name && a.Encap == b.Encap && a.Slots == b.Slots && a.DrainMax == b.DrainMax &&
				a.DrainIdle == b.DrainIdle && slices.Equal(a.Backends, b.Backends) &&
				a.Health == b.Health && a.PanicThreshold == b.PanicThreshold
		}) &&
		slices.EqualFunc(a.VIPs, b.VIPs, func(a, b lb.VIP) bool { return reflect.DeepEqual(a, b) })
}
