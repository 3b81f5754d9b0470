package lb

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestNegLog2Vectors holds values of an independent computation with 80 digits, rounded up.
func TestNegLog2Vectors(t *testing.T) {
	for _, row := range []struct{ h, want uint64 }{
		{0, math.MaxUint64}, // as 1
		{1, math.MaxUint64}, // 64 itself does not fit
		{2, 63 << log2Fraction},
		{1 << 32, 32 << log2Fraction},
		{1 << 63, 1 << log2Fraction},
		{3, 0x7cd47fcb8c0852f1},
		{5, 0x7b5b2c3da19723a9},
		{0x123456789abcdef0, 0x07a0a7eda4c112d2},
		{0xffffff0000000000, 0x00000002e2a8ee17},
		{math.MaxUint64, 1},
	} {
		if got := negLog2(row.h); got != row.want {
			t.Errorf("negLog2(%#x) = %#x, want %#x", row.h, got, row.want)
		}
	}
}

// TestNegLog2Exact goes back: with L = negLog2(h) in units of 2^-57, h/2^64 lies between 2^-L and 2^-(L-2). Both are
// computed with 300 bits from the digits of L by square roots.
func TestNegLog2Exact(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	values := []uint64{3, 5, 1<<63 + 1, 1<<63 - 1, math.MaxUint64, math.MaxUint64 - 1, math.MaxUint64 - 1<<10, math.MaxUint64 - 1<<30}
	for range 300 {
		values = append(values, rng.Uint64()>>rng.IntN(60)|2)
	}
	for _, h := range values {
		l := negLog2(h)
		exact := new(big.Float).SetPrec(300).SetUint64(h)
		if exact.Cmp(power(t, l)) < 0 {
			t.Errorf("negLog2(%#x) = %#x is too small", h, l)
		}
		if l > 2 && exact.Cmp(power(t, l-2)) > 0 {
			t.Errorf("negLog2(%#x) = %#x is too large by more than 2 units", h, l)
		}
	}
}

// power is 2^64 * 2^-(l/2^57).
func power(t *testing.T, l uint64) *big.Float {
	t.Helper()
	one := new(big.Float).SetPrec(300).SetUint64(1)
	out := new(big.Float).SetMantExp(one, 64-int(l>>log2Fraction)) // takes one's precision
	root := new(big.Float).SetPrec(300).SetFloat64(0.5)
	for bit := log2Fraction - 1; bit >= 0; bit-- {
		root.Sqrt(root)
		if l>>bit&1 != 0 {
			out.Mul(out, root)
		}
	}
	return out
}

// TestComplement: were 23/16 of it ever above the logarithm, the overlay would skip winners; were it far below where h is
// large, it would spare no logarithms.
func TestComplement(t *testing.T) {
	check := func(h uint64) {
		y := complement(h)
		if bound, l := y+y/16*7+y%16*7/16, negLog2(h); bound > l {
			t.Fatalf("23/16 complement(%#x) = %#x is above negLog2 = %#x", h, bound, l)
		}
	}
	for i := range uint64(5000) {
		check(-i)
		check(i)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for range 100_000 {
		h := rng.Uint64()
		check(h)
		check(-(h >> rng.IntN(64)))
	}
	near := uint64(math.MaxUint64) / 1000 * 999
	if y, l := float64(complement(near)), float64(negLog2(near)); y*23/16 < 0.99*l {
		t.Errorf("for 0.999 the bound is %g of the logarithm", y*23/16/l)
	}
}

func BenchmarkNegLog2(b *testing.B) {
	h := uint64(1)
	for b.Loop() {
		h += negLog2(h)
	}
}
