package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluice-lb/sluice/lb"
)

// loadSeed reads the seed from file or, where file is empty, from the state directory. There it is generated on first
// use, that is while no fingerprint is known. A seed with another fingerprint than the known one is refused: it would
// send most flows to other backends.
func loadSeed(dir, file, fingerprint string) (lb.Seed, error) {
	path := file
	if path == "" {
		path = filepath.Join(dir, "seed")
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && file == "" && fingerprint == "" {
		return generateSeed(path)
	}
	if err != nil {
		return lb.Seed{}, fmt.Errorf("read seed: %w (fingerprint %q is wanted)", err, fingerprint)
	}
	seed, err := lb.ParseSeed(string(data))
	if err != nil {
		return seed, fmt.Errorf("read seed %q: %w (make one with: openssl rand -hex 16)", path, err)
	}
	if got := seed.Fingerprint(); fingerprint != "" && got != fingerprint {
		return seed, fmt.Errorf("seed in %q has fingerprint %q, the store was made with %q (bring the old seed back, or start over with another --state-dir after lbd --detach, which breaks connections)", path, got, fingerprint)
	}
	return seed, nil
}

func generateSeed(path string) (lb.Seed, error) {
	var seed lb.Seed
	_, _ = rand.Read(seed[:]) // never fails, see crypto/rand
	if err := writeFile(path, []byte(hex.EncodeToString(seed[:])+"\n")); err != nil {
		return seed, fmt.Errorf("store seed: %w", err)
	}
	return seed, nil
}

// writeFile writes a file whole or not at all, and durably.
func writeFile(path string, data []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return rename(tmp, path)
}

// rename puts a finished file in its place and makes that durable.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
