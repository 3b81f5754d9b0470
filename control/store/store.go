package store

import (
	"compress/flate"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/sluice-lb/sluice/lb"
)

var (
	bucket         = []byte("sluice")
	keyMeta        = []byte("meta")
	keyPending     = []byte("pending")
	keyCommitted   = []byte("committed")
	keyConfirm     = []byte("confirm")
	errNoMeta      = errors.New("it holds no record \"meta\": not a store of lbd")
	errForeignRoot = errors.New("it has no bucket \"sluice\": not a store of lbd")
)

// meta is the record that describes the store itself.
type meta struct {
	SeedFingerprint string `json:"seed_fingerprint"`
	// Used says that there is a committed state: one that is missing was lost.
	Used bool `json:"used,omitempty"`
}

// Contents is what a store holds. The states have no tables.
type Contents struct {
	// Committed is the state that was committed last; nil in a new store.
	Committed *lb.State
	// Pending is the change that was under way when the daemon ended; nil where there was none.
	Pending *lb.State
	// Confirm is the confirmation that was under way; it counts only while its revision is the live one. Nil where there
	// was none.
	Confirm *Confirmation
}

// Store is an open state directory. Its methods are safe for concurrent use.
type Store struct {
	dir  string
	lock *os.File
	db   *bolt.DB
	seed lb.Seed

	deflate *flate.Writer // of transactions that write

	mu    sync.Mutex
	stale bool // the backup is older than the store
	keep  int  // revisions in the history
	// last is the state that was sealed last, and sealed what became of it: a state is committed just after it was pending.
	last   *lb.State
	sealed []byte
	wake   chan struct{} // capacity 1: stale became true
}

// Open takes the state directory, creating it and everything in it on first use. seedFile is where the seed is read
// from; empty means the state directory. A directory that another process holds and a seed other than the one the
// store was made with are refused; so is a store that cannot be trusted, with a *CorruptError.
func Open(dir, seedFile string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create state directory: %w", err)
	}
	l, err := lock(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, lock: l, keep: DefaultHistory, wake: make(chan struct{}, 1)}
	if err := s.open(seedFile); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(seedFile string) error {
	var m meta
	exists, err := s.exists()
	if err != nil {
		return err
	}
	if exists {
		if err = verify(s.path()); err == nil {
			s.db, m, err = openChecked(s.path())
		}
		if err != nil {
			return &CorruptError{Path: s.path(), Backup: s.backupPath(), Cause: err}
		}
	}
	if s.seed, err = loadSeed(s.dir, seedFile, m.SeedFingerprint); err != nil {
		return err
	}
	if exists {
		return nil
	}
	s.db, err = create(s.path(), meta{SeedFingerprint: s.seed.Fingerprint()})
	return err
}

// exists tells whether there is a store. One that has gone while its backup remains was lost, and starting with an
// empty configuration in its place would take every VIP down.
func (s *Store) exists() (bool, error) {
	_, err := os.Stat(s.path())
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return err == nil, err
	}
	if _, err := os.Stat(s.backupPath()); err == nil {
		return false, &CorruptError{Path: s.path(), Backup: s.backupPath(), Cause: errors.New("it is missing although it has a backup")}
	}
	return false, nil
}

// create makes a new store under another name first, so that a crash leaves no half of one.
func create(path string, m meta) (*bolt.DB, error) {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("create store: %w", err)
	}
	db, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("create store %q: %w", tmp, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket(bucket)
		if err != nil {
			return err
		}
		return put(b, keyMeta, m)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, fmt.Errorf("create store %q: %w", tmp, err)
	}
	if err := rename(tmp, path); err != nil {
		return nil, fmt.Errorf("create store %q: %w", path, err)
	}
	db, _, err = openChecked(path)
	return db, err
}

// Seed is the cluster's seed.
func (s *Store) Seed() lb.Seed { return s.seed }

// Load reads both records. Their checksums were checked by Open, and are again.
func (s *Store) Load() (Contents, error) {
	var c Contents
	err := s.db.View(func(tx *bolt.Tx) (err error) {
		c, err = contents(tx)
		return err
	})
	if err != nil {
		return Contents{}, &CorruptError{Path: s.path(), Backup: s.backupPath(), Cause: err}
	}
	return c, nil
}

// SetPending records the state that is about to be published and, where it is a new revision, the entry for the history,
// which counts from the commit on. r is nil where only next hops changed.
func (s *Store) SetPending(st *lb.State, r *Revision) error {
	return s.update("store pending state", func(tx *bolt.Tx) error {
		if r != nil {
			if err := s.putRevision(tx, r, st.Config); err != nil {
				return err
			}
		}
		data, err := s.seal(st)
		if err != nil {
			return err
		}
		return tx.Bucket(bucket).Put(keyPending, data)
	})
}

// seal seals a state, which is never modified.
func (s *Store) seal(st *lb.State) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == st {
		return s.sealed, nil
	}
	data, err := seal(formOf(st))
	if err == nil {
		s.last, s.sealed = st, data
	}
	return data, err
}

// DropPending forgets the pending state, which was not published, and what the history has above the committed revision.
func (s *Store) DropPending(committed uint64) error {
	return s.update("drop pending state", func(tx *bolt.Tx) error {
		return errors.Join(tx.Bucket(bucket).Delete(keyPending), dropAbove(tx, committed))
	})
}

// Commit records the state that has been published, forgets the pending one and a confirmation that another revision
// asked for, and prunes the history, in one transaction.
func (s *Store) Commit(st *lb.State) error {
	s.mu.Lock()
	keep := s.keep
	s.mu.Unlock()
	err := s.update("store committed state", func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		confirm, err := getConfirm(tx)
		if err != nil {
			return err
		}
		if confirm != nil && confirm.Revision != st.Revision {
			err = b.Delete(keyConfirm)
		}
		data, sealErr := s.seal(st)
		if err := errors.Join(err, sealErr); err != nil {
			return err
		}
		return errors.Join(b.Put(keyCommitted, data), b.Delete(keyPending),
			put(b, keyMeta, meta{SeedFingerprint: s.seed.Fingerprint(), Used: true}), prune(tx, keep, MaxHistoryBytes))
	})
	if err == nil {
		s.markStale()
	}
	return err
}

func (s *Store) update(doing string, fn func(*bolt.Tx) error) error {
	if err := s.db.Update(fn); err != nil {
		return fmt.Errorf("%s in %q: %w", doing, s.path(), err)
	}
	return nil
}

func (s *Store) view(doing string, fn func(*bolt.Tx) error) error {
	if err := s.db.View(fn); err != nil {
		return fmt.Errorf("%s in %q: %w", doing, s.path(), err)
	}
	return nil
}

func put(b *bolt.Bucket, key []byte, body any) error {
	data, err := seal(body)
	if err != nil {
		return err
	}
	return b.Put(key, data)
}

// Close releases the state directory.
func (s *Store) Close() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	return errors.Join(err, s.lock.Close())
}

func (s *Store) path() string       { return filepath.Join(s.dir, "sluice.db") }
func (s *Store) backupPath() string { return filepath.Join(s.dir, "sluice.db.bak") }
