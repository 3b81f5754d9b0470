package store

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/sluice-lb/sluice/lb"
)

// CorruptError says that a store cannot be trusted, and what to do.
type CorruptError struct {
	// Path is the store, Backup the copy that may replace it.
	Path, Backup string
	// Cause says what is wrong.
	Cause error
}

// Error names the file, the fault, the state of the backup and the remedy.
func (e *CorruptError) Error() string {
	remedy := fmt.Sprintf("no backup %q exists: move the store away, run lbd --detach, start lbd and apply the document again", e.Backup)
	if info, err := os.Stat(e.Backup); err == nil {
		remedy = fmt.Sprintf("the backup %q is from %s: restore it with: cp %s %s", e.Backup, info.ModTime().UTC().Format(time.RFC3339), e.Backup, e.Path)
	}
	return fmt.Sprintf("open store %q: %v (%s; the data plane is untouched and keeps forwarding)", e.Path, e.Cause, remedy)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Cause }

// openChecked opens an existing store and reads all of it, so that a fault shows now and not in the middle of a
// change. bbolt panics on some damaged pages, and the kernel raises a fault where the file is shorter than its own
// header says: both become errors here.
func openChecked(path string) (db *bolt.DB, m meta, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("it is damaged: %v", r)
		}
	}()
	info, err := os.Stat(path)
	if err != nil {
		return nil, m, err
	}
	if info.Size() == 0 {
		return nil, m, errors.New("it is empty") // bbolt would initialise it
	}
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, m, err
	}
	if m, err = check(db, info.Size()); err != nil {
		return nil, m, errors.Join(err, db.Close())
	}
	return db, m, nil
}

// maxFaults is how many faults of a damaged file are named.
const maxFaults = 10

// check reads every page and every record of a store whose file has size bytes.
func check(db *bolt.DB, size int64) (m meta, err error) {
	err = db.View(func(tx *bolt.Tx) error {
		if tx.Size() > size {
			return fmt.Errorf("it is cut off: %d bytes of %d", size, tx.Size())
		}
		// bbolt's own check runs in a goroutine of its own, where a fault of a wild page number would end the process:
		// every page is touched here before.
		w := walk{left: size / leastElement}
		if err := w.buckets(tx); err != nil {
			return fmt.Errorf("it is damaged: %w", err)
		}
		var faults []error
		for fault := range tx.Check() {
			// In a file whose pages refer to each other in a circle there is no end to them. The goroutine behind Check
			// stays blocked then, which does not matter: the daemon does not start.
			if faults = append(faults, fault); len(faults) == maxFaults {
				break
			}
		}
		if len(faults) > 0 {
			return fmt.Errorf("it is damaged: %w", errors.Join(faults...))
		}
		b := tx.Bucket(bucket)
		if b == nil {
			return errForeignRoot
		}
		data := b.Get(keyMeta)
		if data == nil {
			return errNoMeta
		}
		if err := unseal(data, &m); err != nil {
			return fmt.Errorf("record \"meta\": %w", err)
		}
		c, err := contents(tx)
		if err == nil && m.Used && c.Committed == nil {
			err = fmt.Errorf("record %q is missing", keyCommitted)
		}
		return errors.Join(err, checkHistory(tx))
	})
	return m, err
}

func contents(tx *bolt.Tx) (c Contents, err error) {
	b := tx.Bucket(bucket)
	if c.Committed, err = get(b, keyCommitted); err != nil {
		return Contents{}, err
	}
	if c.Pending, err = get(b, keyPending); err != nil {
		return Contents{}, err
	}
	c.Confirm, err = getConfirm(tx)
	return c, err
}

// get reads one state; nil where there is none.
func get(b *bolt.Bucket, key []byte) (*lb.State, error) {
	data := b.Get(key)
	if data == nil {
		return nil, nil
	}
	var f formState
	if err := unseal(data, &f); err != nil {
		return nil, fmt.Errorf("record %q: %w", key, err)
	}
	st, err := f.state()
	if err != nil {
		return nil, fmt.Errorf("record %q: %w", key, err)
	}
	return st, nil
}
