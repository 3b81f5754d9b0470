package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/control/store"
)

var someTime = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func entry(n uint64) *store.Revision {
	return &store.Revision{Revision: n, Time: someTime, Author: "alice", Comment: fmt.Sprintf("change %d", n), Changes: 2, Objects: []string{"vip/a created"}}
}

// mustRevise makes a revision in the order that the engine does.
func mustRevise(t *testing.T, s *store.Store, n uint64, r *store.Revision) {
	t.Helper()
	st := state(n)
	st.Revision = n
	if err := s.SetPending(st, r); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(st); err != nil {
		t.Fatal(err)
	}
}

func revisions(t *testing.T, s *store.Store, upTo uint64, limit int) []uint64 {
	t.Helper()
	list, err := s.History(upTo, limit)
	if err != nil {
		t.Fatal(err)
	}
	var out []uint64
	for _, r := range list {
		out = append(out, r.Revision)
	}
	return out
}

func TestHistorySurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	want := entry(1)
	want.Confirm = &store.Confirmation{Revision: 1, BackTo: 0, Deadline: someTime.Add(time.Minute), Within: time.Minute}
	mustRevise(t, s, 1, want)
	if err := s.Confirm(1, "bob", someTime.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	want.ConfirmedBy, want.ConfirmedAt = "bob", someTime.Add(time.Second)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	got, cfg, err := s.Revision(1)
	if err != nil || !reflect.DeepEqual(got, *want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, *want)
	}
	if st := state(1); !reflect.DeepEqual(cfg, st.Config) {
		t.Errorf("configuration %+v, want %+v", cfg, st.Config)
	}
	if c, err := s.Load(); err != nil || c.Confirm != nil {
		t.Errorf("confirmation %+v, %v; want none", c.Confirm, err)
	}
	if _, _, err := s.Revision(2); !errors.Is(err, store.ErrNoRevision) {
		t.Errorf("revision 2: %v, want ErrNoRevision", err)
	}
}

func TestHistoryIsListedFromTheNewest(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	if got := revisions(t, s, 9, 0); got != nil {
		t.Errorf("a new store lists %v", got)
	}
	for n := uint64(1); n <= 5; n++ {
		mustRevise(t, s, n, entry(n))
	}
	for _, row := range []struct {
		upTo  uint64
		limit int
		want  []uint64
	}{{5, 0, []uint64{5, 4, 3, 2, 1}}, {5, 2, []uint64{5, 4}}, {3, 0, []uint64{3, 2, 1}}, {^uint64(0), 1, []uint64{5}}, {0, 0, nil}} {
		if got := revisions(t, s, row.upTo, row.limit); !slices.Equal(got, row.want) {
			t.Errorf("up to %d, at most %d: %v, want %v", row.upTo, row.limit, got, row.want)
		}
	}
}

// What was pending and not published leaves no trace, neither in the history nor as a confirmation.
func TestDroppedRevisionLeavesNothing(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	mustRevise(t, s, 1, entry(1))
	r := entry(2)
	r.Confirm = &store.Confirmation{Revision: 2, BackTo: 1, Deadline: someTime, Within: time.Minute}
	if err := errors.Join(s.SetPending(state(2), r), s.DropPending(1)); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Load(); err != nil || c.Pending != nil || c.Confirm != nil {
		t.Errorf("pending %v, confirmation %v, %v; want none", c.Pending, c.Confirm, err)
	}
	if got := revisions(t, s, 9, 0); !slices.Equal(got, []uint64{1}) {
		t.Errorf("history %v, want 1", got)
	}
	if _, _, err := s.Revision(2); !errors.Is(err, store.ErrNoRevision) {
		t.Errorf("revision 2: %v, want ErrNoRevision", err)
	}
}

// A publication that is no revision must not end a confirmation; the next revision must.
func TestConfirmationEndsWithItsRevision(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	r := entry(1)
	r.Confirm = &store.Confirmation{Revision: 1, Deadline: someTime, Within: time.Minute}
	mustRevise(t, s, 1, r)
	mustRevise(t, s, 1, nil) // next hops moved
	if c, err := s.Load(); err != nil || !reflect.DeepEqual(c.Confirm, r.Confirm) {
		t.Errorf("confirmation %+v, %v; want %+v", c.Confirm, err, r.Confirm)
	}
	mustRevise(t, s, 2, entry(2))
	if c, err := s.Load(); err != nil || c.Confirm != nil {
		t.Errorf("confirmation %+v, %v; want none", c.Confirm, err)
	}
}

func TestHistoryIsPruned(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	s.KeepRevisions(3)
	for n := uint64(1); n <= 6; n++ {
		mustRevise(t, s, n, entry(n))
		if got := revisions(t, s, n, 0); len(got) > 3 || got[0] != n {
			t.Errorf("after revision %d: %v, want the newest 3", n, got)
		}
	}
	if _, _, err := s.Revision(3); !errors.Is(err, store.ErrNoRevision) {
		t.Errorf("revision 3: %v, want ErrNoRevision", err)
	}
	s.KeepRevisions(0) // less than can be
	mustRevise(t, s, 7, entry(7))
	if got := revisions(t, s, 9, 0); !slices.Equal(got, []uint64{7, 6}) {
		t.Errorf("history %v, want the least there can be, 7 and 6", got)
	}
}

func TestHistoryIsPrunedBySize(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	for n := uint64(1); n <= 5; n++ {
		mustRevise(t, s, n, entry(n))
	}
	// Each configuration has some hundred bytes: three are over 1, two stay all the same.
	if err := s.Prune(1000, 1); err != nil {
		t.Fatal(err)
	}
	if got := revisions(t, s, 9, 0); !slices.Equal(got, []uint64{5, 4}) {
		t.Errorf("history %v, want 5 and 4", got)
	}
}

// A store of a release without history gets an entry for what it holds.
func TestKeepHead(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	st := state(7)
	st.Revision = 7
	for range 2 {
		if err := errors.Join(s.Commit(st), s.KeepHead(st, store.Revision{Time: someTime, Author: "lbd"})); err != nil {
			t.Fatal(err)
		}
		if got := revisions(t, s, 9, 0); !slices.Equal(got, []uint64{7}) {
			t.Errorf("history %v, want 7", got)
		}
	}
	st.Revision = 0
	if err := s.KeepHead(st, store.Revision{}); err != nil || len(revisions(t, s, 9, 0)) != 1 {
		t.Errorf("revision 0 needs no entry: %v", err)
	}
}

func TestDamagedHistoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	mustRevise(t, s, 1, entry(1))
	if err := s.Damage("configs", 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Revision(1); err == nil || errors.Is(err, store.ErrNoRevision) {
		t.Errorf("a damaged configuration was read: %v", err)
	}
	if err := errors.Join(s.Damage("history", 1), s.Close()); err != nil {
		t.Fatal(err)
	}
	var corrupt *store.CorruptError
	if _, err := store.Open(dir, ""); !errors.As(err, &corrupt) {
		t.Errorf("got %v, want a CorruptError", err)
	}
}
