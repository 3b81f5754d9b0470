package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// BackupInterval is the least time between two backups, and the most by which the backup of a running daemon lags.
const BackupInterval = time.Minute

func (s *Store) markStale() {
	s.mu.Lock()
	s.stale = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// RunBackups writes one backup at once, since a store that opened is worth keeping, and then one after commits, at
// most every interval. It returns when ctx ends, after a last one where it is needed.
func (s *Store) RunBackups(ctx context.Context, interval time.Duration, log *slog.Logger) {
	backup := func() {
		if err := s.Backup(); err != nil {
			log.Warn("backup failed", "err", err)
		}
	}
	backup()
	for {
		pause := time.NewTimer(interval)
		select {
		case <-ctx.Done():
		case <-pause.C:
			select {
			case <-ctx.Done():
			case <-s.wake:
			}
		}
		pause.Stop()
		if s.isStale() {
			backup()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (s *Store) isStale() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stale
}

// Backup copies the store to its backup, whole or not at all.
func (s *Store) Backup() error {
	s.mu.Lock()
	s.stale = false // a commit from here on makes it stale again
	s.mu.Unlock()
	tmp := s.backupPath() + ".new"
	err := s.db.View(func(tx *bolt.Tx) error { return copyTo(tx, tmp) })
	if err == nil {
		err = rename(tmp, s.backupPath())
	}
	if err != nil {
		s.markStale()
		return fmt.Errorf("back up store %q: %w", s.path(), err)
	}
	return nil
}

func copyTo(tx *bolt.Tx, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = tx.WriteTo(f)
	return errors.Join(err, f.Sync(), f.Close())
}
