package lb

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// Seed is the cluster's secret: nodes with the same seed send the same flow to the same backend, and nobody without it
// can aim flows at one slot.
type Seed [16]byte

// ParseSeed reads 32 hex digits, with white space around them ignored.
func ParseSeed(s string) (Seed, error) {
	var seed Seed
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(b) != len(seed) {
		return seed, fmt.Errorf("seed: must be 32 hex digits, got %d characters", len(strings.TrimSpace(s)))
	}
	copy(seed[:], b)
	return seed, nil
}

// Fingerprint identifies the seed without giving it away: the first 8 bytes of its SHA-256, in hex.
func (s Seed) Fingerprint() string {
	sum := sha256.Sum256(append([]byte("sluice seed "), s[:]...))
	return hex.EncodeToString(sum[:8])
}

// key derives an independent 64-bit key for one purpose.
func (s Seed) key(purpose string) uint64 {
	sum := sha256.Sum256(append([]byte("sluice "+purpose+" "), s[:]...))
	return binary.LittleEndian.Uint64(sum[:8])
}
