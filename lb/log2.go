package lb

import "math/bits"

// log2Fraction is the number of fraction bits of negLog2's result: values up to 64 fit in a uint64.
const log2Fraction = 57

// negLog2 is -log2(h / 2^64) in units of 2^-57, rounded up by at most 2 units; h = 0 counts as 1.
//
// The digits come from repeated squaring, in integers: every architecture computes the same bits, which floating point
// does not promise (fused multiply-add). Squaring truncates at 2^-63, and the error it adds to a digit counts the less
// the later the digit, so that all 57 are good. It is slow for a logarithm, but overlay.go calls it a few times for each
// displaced slot only: complement settles the rest.
func negLog2(h uint64) uint64 {
	if h == 0 {
		h = 1
	}
	exponent := uint64(63 - bits.LeadingZeros64(h))
	m := h << (63 - exponent) // 1.0 <= m < 2.0 in units of 2^-63
	var fraction uint64
	for range log2Fraction {
		hi, lo := bits.Mul64(m, m) // 1.0 <= m*m < 4.0 in units of 2^-126
		fraction <<= 1
		if hi>>63 != 0 {
			fraction |= 1
			m = hi
		} else {
			m = hi<<1 | lo>>63
		}
	}
	if exponent == 0 && fraction == 0 {
		return 1<<64 - 1 // 64 itself does not fit
	}
	return (64-exponent)<<log2Fraction - fraction
}

// complement is y = 1 - h/2^64 in the units of negLog2, rounded down. negLog2(h) >= y/ln 2 > 23/16 y, which is close to
// equal where h is large.
func complement(h uint64) uint64 { return -h >> (64 - log2Fraction) }
