package store

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/sluice-lb/sluice/lb"
)

// The history lies in two buckets with the same keys, the revision as eight bytes, big end first: small records that say
// who and why, which are listed, and the configurations, compressed.
var (
	bucketHistory = []byte("history")
	bucketConfigs = []byte("configs")
)

const (
	// DefaultHistory is how many revisions are kept unless KeepRevisions says otherwise.
	DefaultHistory = 1000
	// MinHistory is the least: the newest revision, and the one that comes back where the newest is not confirmed.
	MinHistory = 2
	// MaxHistoryBytes bounds the compressed configurations that are kept. Only configurations of thousands of objects reach
	// it before the number of revisions does.
	MaxHistoryBytes = 64 << 20
)

// ErrNoRevision is a revision that is not in the history: not made yet, or pruned.
var ErrNoRevision = errors.New("not in the history")

// Revision is one entry of the history.
type Revision struct {
	// Revision is its number, from 1.
	Revision uint64
	// Time is when it was made, Author by whom, Comment why.
	Time            time.Time
	Author, Comment string
	// Changes is the number of objects that differ from the revision before; Objects names the first few of them.
	Changes int
	Objects []string
	// Confirm is nil where no confirmation was asked for.
	Confirm *Confirmation
	// ConfirmedBy is empty until somebody has confirmed it, at ConfirmedAt.
	ConfirmedBy string
	ConfirmedAt time.Time
}

// Confirmation is a promise to go back unless somebody confirms.
type Confirmation struct {
	// Revision is the one to confirm, BackTo the one whose configuration comes back.
	Revision, BackTo uint64
	// Deadline is when it does, Within after the revision was made.
	Deadline time.Time
	Within   time.Duration
}

type (
	formRevision struct {
		Revision    uint64       `json:"revision"`
		Time        time.Time    `json:"time"`
		Author      string       `json:"author"`
		Comment     string       `json:"comment,omitempty"`
		Changes     int          `json:"changes"`
		Objects     []string     `json:"objects,omitempty"`
		Confirm     *formConfirm `json:"confirm,omitempty"`
		ConfirmedBy string       `json:"confirmed_by,omitempty"`
		ConfirmedAt *time.Time   `json:"confirmed_at,omitempty"`
	}
	formConfirm struct {
		Revision      uint64    `json:"revision"`
		BackTo        uint64    `json:"back_to"`
		Deadline      time.Time `json:"deadline"`
		WithinSeconds float64   `json:"within_seconds"`
	}
)

// KeepRevisions sets how many revisions the history keeps, at least MinHistory. Older ones go with the next commit.
func (s *Store) KeepRevisions(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = max(n, MinHistory)
}

// History lists revisions up to one, the newest first, at most limit of them; 0 means all.
func (s *Store) History(upTo uint64, limit int) ([]Revision, error) {
	var out []Revision
	err := s.view("read the history", func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketHistory)
		if b == nil {
			return nil
		}
		c := b.Cursor()
		key, value := c.Seek(revisionKey(upTo))
		if key == nil {
			key, value = c.Last()
		}
		for ; key != nil && (limit == 0 || len(out) < limit); key, value = c.Prev() {
			if binary.BigEndian.Uint64(key) > upTo {
				continue
			}
			r, err := revisionOf(key, value)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// Revision reads one entry with its configuration. Revision 0 is the empty configuration of a new node and always there.
// The error is ErrNoRevision where there is none.
func (s *Store) Revision(n uint64) (Revision, lb.Config, error) {
	var (
		r   Revision
		cfg lb.Config
	)
	if n == 0 {
		return r, cfg, nil
	}
	err := s.view(fmt.Sprintf("read revision %d", n), func(tx *bolt.Tx) error {
		headers, configs := tx.Bucket(bucketHistory), tx.Bucket(bucketConfigs)
		if headers == nil || configs == nil || headers.Get(revisionKey(n)) == nil {
			return ErrNoRevision
		}
		var err error
		if r, err = revisionOf(revisionKey(n), headers.Get(revisionKey(n))); err != nil {
			return err
		}
		cfg, err = decodeConfig(configs.Get(revisionKey(n)))
		return err
	})
	return r, cfg, err
}

// KeepHead makes sure that the history has a state's revision: a store of a release without history has none.
func (s *Store) KeepHead(st *lb.State, r Revision) error {
	if st.Revision == 0 {
		return nil
	}
	have := false
	err := s.view("read the history", func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketHistory)
		have = b != nil && b.Get(revisionKey(st.Revision)) != nil
		return nil
	})
	if err != nil || have {
		return err
	}
	r.Revision = st.Revision
	return s.update("store revision", func(tx *bolt.Tx) error { return s.putRevision(tx, &r, st.Config) })
}

// Confirm ends the confirmation of a revision and notes by whom.
func (s *Store) Confirm(revision uint64, author string, at time.Time) error {
	return s.update("store confirmation", func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketHistory)
		if b == nil || b.Get(revisionKey(revision)) == nil {
			return fmt.Errorf("revision %d: %w", revision, ErrNoRevision)
		}
		r, err := revisionOf(revisionKey(revision), b.Get(revisionKey(revision)))
		if err != nil {
			return err
		}
		r.ConfirmedBy, r.ConfirmedAt = author, at
		return errors.Join(put(b, revisionKey(revision), formOfRevision(&r)), tx.Bucket(bucket).Delete(keyConfirm))
	})
}

// putRevision writes an entry. Until the state of that revision is committed it does not count; see dropAbove.
func (s *Store) putRevision(tx *bolt.Tx, r *Revision, cfg lb.Config) error {
	headers, err := tx.CreateBucketIfNotExists(bucketHistory)
	if err != nil {
		return err
	}
	configs, err := tx.CreateBucketIfNotExists(bucketConfigs)
	if err != nil {
		return err
	}
	data, err := s.encodeConfig(cfg)
	if err != nil {
		return err
	}
	if r.Confirm != nil {
		if err := put(tx.Bucket(bucket), keyConfirm, formOfConfirm(r.Confirm)); err != nil {
			return err
		}
	}
	return errors.Join(put(headers, revisionKey(r.Revision), formOfRevision(r)), configs.Put(revisionKey(r.Revision), data))
}

// dropAbove removes entries, and a confirmation, of a revision that was never committed.
func dropAbove(tx *bolt.Tx, committed uint64) error {
	for _, name := range [][]byte{bucketHistory, bucketConfigs} {
		b := tx.Bucket(name)
		if b == nil {
			continue
		}
		c := b.Cursor()
		for key, _ := c.Last(); key != nil && binary.BigEndian.Uint64(key) > committed; key, _ = c.Last() {
			if err := c.Delete(); err != nil {
				return err
			}
		}
	}
	confirm, err := getConfirm(tx)
	if err != nil || confirm == nil || confirm.Revision <= committed {
		return err
	}
	return tx.Bucket(bucket).Delete(keyConfirm)
}

// prune removes the oldest entries over the bounds; the newest MinHistory stay in any case.
func prune(tx *bolt.Tx, keep int, maxBytes int64) error {
	headers, configs := tx.Bucket(bucketHistory), tx.Bucket(bucketConfigs)
	if headers == nil || configs == nil {
		return nil
	}
	kept, size := 0, int64(0)
	var old [][]byte
	c := configs.Cursor()
	for key, value := c.Last(); key != nil; key, value = c.Prev() {
		kept++
		size += int64(len(value))
		if kept > MinHistory && (kept > keep || size > maxBytes) {
			old = append(old, bytes.Clone(key))
		}
	}
	for _, key := range old {
		if err := errors.Join(headers.Delete(key), configs.Delete(key)); err != nil {
			return err
		}
	}
	return nil
}

func revisionKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func formOfRevision(r *Revision) formRevision {
	f := formRevision{Revision: r.Revision, Time: r.Time.UTC(), Author: r.Author, Comment: r.Comment, Changes: r.Changes,
		Objects: r.Objects, ConfirmedBy: r.ConfirmedBy}
	if r.Confirm != nil {
		f.Confirm = formOfConfirm(r.Confirm)
	}
	if r.ConfirmedBy != "" {
		at := r.ConfirmedAt.UTC()
		f.ConfirmedAt = &at
	}
	return f
}

func formOfConfirm(c *Confirmation) *formConfirm {
	return &formConfirm{c.Revision, c.BackTo, c.Deadline.UTC(), c.Within.Seconds()}
}

func (f *formConfirm) confirmation() *Confirmation {
	return &Confirmation{f.Revision, f.BackTo, f.Deadline, time.Duration(f.WithinSeconds * float64(time.Second))}
}

func revisionOf(key, value []byte) (Revision, error) {
	var f formRevision
	if err := unseal(value, &f); err != nil {
		return Revision{}, fmt.Errorf("revision %d: %w", binary.BigEndian.Uint64(key), err)
	}
	r := Revision{Revision: f.Revision, Time: f.Time, Author: f.Author, Comment: f.Comment, Changes: f.Changes,
		Objects: f.Objects, ConfirmedBy: f.ConfirmedBy}
	if f.Confirm != nil {
		r.Confirm = f.Confirm.confirmation()
	}
	if f.ConfirmedAt != nil {
		r.ConfirmedAt = *f.ConfirmedAt
	}
	return r, nil
}

// getConfirm returns nil where no confirmation is under way.
func getConfirm(tx *bolt.Tx) (*Confirmation, error) {
	data := tx.Bucket(bucket).Get(keyConfirm)
	if data == nil {
		return nil, nil
	}
	var f formConfirm
	if err := unseal(data, &f); err != nil {
		return nil, fmt.Errorf("record %q: %w", keyConfirm, err)
	}
	return f.confirmation(), nil
}

// checkHistory reads every entry but not the configurations, which are checked when they are read.
func checkHistory(tx *bolt.Tx) error {
	b := tx.Bucket(bucketHistory)
	if b == nil {
		return nil
	}
	return b.ForEach(func(key, value []byte) error {
		if len(key) != 8 {
			return fmt.Errorf("history: key %x is no revision", key)
		}
		_, err := revisionOf(key, value)
		return err
	})
}

// encodeConfig compresses: the names in a configuration repeat themselves. The store keeps the compressor, which is large,
// and is used by one transaction at a time, since bbolt has one that writes.
func (s *Store) encodeConfig(cfg lb.Config) ([]byte, error) {
	data, err := seal(formOfConfig(cfg))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if s.deflate == nil {
		if s.deflate, err = flate.NewWriter(&out, flate.BestSpeed); err != nil {
			return nil, err
		}
	} else {
		s.deflate.Reset(&out)
	}
	_, err = s.deflate.Write(data)
	err = errors.Join(err, s.deflate.Close())
	return out.Bytes(), err
}

func decodeConfig(data []byte) (lb.Config, error) {
	text, err := io.ReadAll(flate.NewReader(bytes.NewReader(data)))
	if err != nil {
		return lb.Config{}, fmt.Errorf("decompress configuration: %w", err)
	}
	var f formConfig
	if err := unseal(text, &f); err != nil {
		return lb.Config{}, err
	}
	return f.config()
}
