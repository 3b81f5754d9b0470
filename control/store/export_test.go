package store

import bolt "go.etcd.io/bbolt"

// Prune prunes with bounds of its own.
func (s *Store) Prune(keep int, maxBytes int64) error {
	return s.db.Update(func(tx *bolt.Tx) error { return prune(tx, keep, maxBytes) })
}

// Damage overwrites one half of a revision's entry.
func (s *Store) Damage(bucket string, revision uint64) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucket)).Put(revisionKey(revision), []byte("rubbish"))
	})
}
