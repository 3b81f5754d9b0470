package control

import (
	"errors"
	"fmt"

	"github.com/sluice-lb/sluice/lb"
)

// Check compares everything that knows the configuration: the data plane's maps, the store, the newest entry of the
// history. It returns the live state and what differs from it, joined.
func (e *Engine) Check() (*lb.State, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := e.state.Load()
	faults := []error{e.checkStoreLocked(st), e.checkHistoryLocked(st)}
	if err := e.dp.Check(st); err != nil {
		faults = append(faults, fmt.Errorf("data plane: %w", err))
	}
	return st, errors.Join(faults...)
}

func (e *Engine) checkStoreLocked(st *lb.State) error {
	if e.uncommitted != nil {
		return fmt.Errorf("store: revision %d is live and not committed: %w", st.Revision, e.uncommitted)
	}
	stored, err := e.store.Load()
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var faults []error
	if stored.Pending != nil {
		faults = append(faults, fmt.Errorf("store: publication %d is pending", stored.Pending.Publication))
	}
	committed := stored.Committed
	if committed == nil {
		return errors.Join(append(faults, errors.New("store: nothing is committed"))...)
	}
	if committed.Revision != st.Revision || committed.Publication != st.Publication {
		faults = append(faults, fmt.Errorf("store: committed is revision %d, publication %d, live is %d, %d",
			committed.Revision, committed.Publication, st.Revision, st.Publication))
	}
	if !same(committed.Config.Normalize(), st.Config) {
		faults = append(faults, errors.New("store: the committed configuration is not the live one"))
	}
	if c := stored.Confirm; (c != nil && c.Revision == st.Revision) != (e.confirm != nil) {
		faults = append(faults, fmt.Errorf("store: a confirmation is stored: %t, one is waited for: %t", c != nil, e.confirm != nil))
	}
	return errors.Join(faults...)
}

func (e *Engine) checkHistoryLocked(st *lb.State) error {
	if st.Revision == 0 {
		return nil
	}
	newest, err := e.store.History(^uint64(0), 1)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	if len(newest) == 0 || newest[0].Revision != st.Revision {
		return fmt.Errorf("history: the newest entry is not revision %d", st.Revision)
	}
	_, cfg, err := e.store.Revision(st.Revision)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	if !same(cfg.Normalize(), st.Config) {
		return fmt.Errorf("history: the configuration of revision %d is not the live one", st.Revision)
	}
	return nil
}
