package control

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

const (
	// ownAuthor is who makes the revisions that nobody asked for.
	ownAuthor = "lbd"
	// namedObjects is how many changed objects an entry of the history names.
	namedObjects = 3
)

// newRevision is the entry for a state that is about to be published.
func newRevision(prev, st *lb.State, changes []lb.Change, o WriteOptions) *store.Revision {
	now := time.Now()
	r := &store.Revision{Revision: st.Revision, Time: now, Author: o.Author, Comment: o.Comment, Changes: len(changes)}
	for _, c := range changes[:min(len(changes), namedObjects)] {
		r.Objects = append(r.Objects, c.Object+" "+c.Kind.String())
	}
	if o.Confirm > 0 {
		r.Confirm = &store.Confirmation{Revision: st.Revision, BackTo: prev.Revision, Deadline: now.Add(o.Confirm), Within: o.Confirm}
	}
	return r
}

// foundRevision is the entry for a revision that was made before there was a history.
func foundRevision() store.Revision {
	return store.Revision{Time: time.Now(), Author: ownAuthor, Comment: "found in the store, which had no history of it"}
}

// resumeHistoryLocked completes the history where it has gaps, and goes on with a confirmation.
func (e *Engine) resumeHistoryLocked(ctx context.Context, c *store.Confirmation) {
	st := e.state.Load()
	if err := e.store.KeepHead(st, foundRevision()); err != nil {
		e.log.Warn("keeping the live revision in the history failed, the next write tries again", "revision", st.Revision, "err", err)
	}
	if c != nil && c.Revision == st.Revision {
		e.resumeConfirmLocked(ctx, c)
	}
}

// History lists the newest revisions, at most limit; 0 means all that are kept.
func (e *Engine) History(limit int) ([]store.Revision, error) {
	revisions, err := e.store.History(e.State().Revision, limit)
	if err != nil {
		return nil, unavailable("list revisions", err)
	}
	return revisions, nil
}

// Revision returns one entry of the history with its configuration.
func (e *Engine) Revision(n uint64) (store.Revision, lb.Config, error) {
	st := e.State()
	if n > st.Revision {
		return store.Revision{}, lb.Config{}, &Error{Code: codes.NotFound, Message: fmt.Sprintf("revision %d does not exist, the newest is %d", n, st.Revision)}
	}
	r, cfg, err := e.store.Revision(n)
	if errors.Is(err, store.ErrNoRevision) {
		return r, cfg, &Error{Code: codes.NotFound, Message: fmt.Sprintf("revision %d is not kept any more (lbctl history lists what is; history: in the node's file says how many)", n)}
	}
	if err != nil {
		return r, cfg, unavailable(fmt.Sprintf("read revision %d", n), err)
	}
	return r, cfg.Normalize(), nil
}

// Diff lists what leads from one revision to another. Slots are those of the configurations: what health or a drain moves
// besides is not in them.
func (e *Engine) Diff(from, to uint64) ([]lb.Change, error) {
	_, old, err := e.Revision(from)
	if err != nil {
		return nil, err
	}
	_, new, err := e.Revision(to)
	if err != nil {
		return nil, err
	}
	oldTables, newTables := map[string]*lb.Table{}, map[string]*lb.Table{}
	for _, p := range old.Pools {
		if is, stays := new.Pool(p.Name); stays && !reflect.DeepEqual(p, is) { // the others move nothing
			oldTables[p.Name], newTables[p.Name] = lb.BuildTable(e.seed, p), lb.BuildTable(e.seed, is)
		}
	}
	return lb.Diff(old, new, oldTables, newTables), nil
}

// Rollback makes a new revision with the configuration of an old one.
func (e *Engine) Rollback(ctx context.Context, revision uint64, o WriteOptions) (Outcome, error) {
	_, cfg, err := e.Revision(revision)
	if err != nil {
		return Outcome{}, err
	}
	if o.Comment == "" {
		o.Comment = fmt.Sprintf("rollback to revision %d", revision)
	}
	o.goesBackTo = &revision
	return e.Write(ctx, o, func(c *lb.Config) error { *c = cfg; return nil })
}
