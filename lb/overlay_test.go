package lb

import (
	"math/bits"
	"math/rand/v2"
	"testing"
)

// TestWinner: sparing logarithms does not change the winner.
func TestWinner(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for range 300 {
		o := &overlay{}
		for i := range 1 + rng.IntN(200) {
			o.gain = append(o.gain, candidate{key: rng.Uint64(), d: 1 + rng.Uint64N(1<<59)>>rng.IntN(50), index: uint16(i)})
		}
		o.encloseDifferences()
		for range 20 {
			slot := rng.Uint64()
			best, bestLog := o.gain[0], negLog2(scramble(slot^o.gain[0].key))
			for _, c := range o.gain[1:] {
				l := negLog2(scramble(slot ^ c.key))
				hi, lo := bits.Mul64(bestLog, c.d)
				if below(l, best.d, hi, lo) {
					best, bestLog = c, l
				}
			}
			if got := o.winner(slot); got != best.index {
				t.Fatalf("winner %d, want %d", got, best.index)
			}
		}
	}
}
