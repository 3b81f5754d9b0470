package store

import (
	"errors"

	bolt "go.etcd.io/bbolt"
)

const (
	// leastElement is the size in bytes of the smallest element of a page: a file cannot have more keys than its size
	// divided by it.
	leastElement = 16
	// mostNested is how deep buckets may lie in buckets; ours do not.
	mostNested = 4
)

// walk reads everything in a store. It ends in a damaged one, too, whose pages may refer to each other in a circle.
type walk struct {
	left int64 // keys that the file may still have
	sum  byte  // of all values, so that they are read
}

func (w *walk) buckets(tx *bolt.Tx) error {
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return w.bucket(b, mostNested) })
}

func (w *walk) bucket(b *bolt.Bucket, depth int) error {
	if depth == 0 {
		return errors.New("buckets lie in buckets without end")
	}
	return b.ForEach(func(key, value []byte) error {
		if w.left--; w.left < 0 {
			return errors.New("there are more keys than the file has room for")
		}
		if value == nil {
			if nested := b.Bucket(key); nested != nil {
				return w.bucket(nested, depth-1)
			}
		}
		for _, c := range value {
			w.sum ^= c
		}
		return nil
	})
}
