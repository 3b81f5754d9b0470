package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

// Start finds out which state packets see and takes it over; a data plane that is new gets the committed one. Then it
// attaches. Where it returns an error packets are treated as before.
func (e *Engine) Start(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	stored, err := e.store.Load()
	if err != nil {
		return err
	}
	if err := e.startLocked(ctx, stored); err != nil {
		return err
	}
	e.resumeHistoryLocked(ctx, stored.Confirm)
	return nil
}

func (e *Engine) startLocked(ctx context.Context, stored store.Contents) error {
	published := e.dp.Published()
	switch {
	case published == 0:
		return e.startFreshLocked(ctx, stored)
	case stored.Committed != nil && stored.Committed.Publication == published:
		return e.takeOverLocked(stored.Committed, stored.Pending != nil, func() error { return e.store.DropPending(stored.Committed.Revision) })
	case stored.Pending != nil && stored.Pending.Publication == published:
		st := stored.Pending
		return e.takeOverLocked(st, true, func() error { return e.store.Commit(st) })
	}
	return fmt.Errorf("take over the data plane: packets see publication %d, the store knows %s (the pinned maps belong to another store, or an old backup was restored: start with the --state-dir they belong to, or run lbd --detach first, which stops forwarding until lbd has started)",
		published, known(stored))
}

func known(c store.Contents) string {
	switch {
	case c.Committed == nil && c.Pending == nil:
		return "none"
	case c.Pending == nil:
		return fmt.Sprintf("%d", c.Committed.Publication)
	case c.Committed == nil:
		return fmt.Sprintf("%d (pending)", c.Pending.Publication)
	}
	return fmt.Sprintf("%d and %d (pending)", c.Committed.Publication, c.Pending.Publication)
}

// takeOverLocked goes on with a state that packets see already. settle brings the store in line where it is not.
func (e *Engine) takeOverLocked(st *lb.State, unsettled bool, settle func() error) error {
	st.Tables = make(map[string]*lb.Table, len(st.Config.Pools))
	for _, p := range st.Config.Pools {
		st.Tables[p.Name] = lb.BuildTable(e.seed, p.Effective(st.Conditions))
	}
	if unsettled {
		if err := settle(); err != nil {
			return fmt.Errorf("settle publication %d: %w", st.Publication, err)
		}
	}
	if err := e.dp.Adopt(st); err != nil {
		return fmt.Errorf("take over publication %d: %w", st.Publication, err)
	}
	if err := e.attach(); err != nil {
		return err
	}
	e.hops.Inherit(st.Hops)
	e.hops.Track(st.Addresses())
	e.health.Inherit(st.Conditions)
	e.health.Track(st.Config)
	e.state.Store(st)
	e.log.Info("data plane taken over", "revision", st.Revision, "publication", st.Publication, "rolled_forward", unsettled)
	return nil
}

// startFreshLocked publishes the committed configuration, or the empty one, to maps that are new.
func (e *Engine) startFreshLocked(ctx context.Context, stored store.Contents) error {
	old := stored.Committed
	if old == nil {
		old = &lb.State{}
	}
	all := addresses(old.Config)
	e.hops.Track(all)
	wait, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	e.hops.Resolve(wait, all)
	if err := old.Config.Validate(e.limits); err != nil {
		return fmt.Errorf("publish revision %d: %w", old.Revision, err)
	}
	e.health.Inherit(old.Conditions)
	e.health.Track(old.Config)
	st, err := e.planLocked(nil, old.Config, e.hops.Hops(all), e.health.Conditions(old.Config), old.Revision)
	if err != nil {
		return fmt.Errorf("publish revision %d: %w", old.Revision, err)
	}
	// Numbers go on where the store left off, so that no two states ever share one.
	st.Publication = old.Publication + 1
	if stored.Pending != nil {
		st.Publication = max(st.Publication, stored.Pending.Publication+1)
	}
	if err := e.showLocked(st, nil); err != nil {
		return err
	}
	// An older data plane may be attached, over maps of other sizes. It goes on, and the committed record is its own,
	// until the new one has taken its place.
	if err := e.attach(); err != nil {
		e.state.Store(nil)
		return errors.Join(err, e.dropPending(st, st.Revision))
	}
	e.step("attached")
	e.uncommitted = errNotYet
	if err := e.commitLocked(); err != nil {
		return err // it will be rolled forward
	}
	e.log.Info("data plane filled", "revision", st.Revision, "publication", st.Publication)
	return nil
}
