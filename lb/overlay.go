package lb

import "math/bits"

// The overlay turns the base table, which knows nominal weights only, into the table that is wanted now. With p the
// nominal shares and t the wanted ones, both normalised to 1:
//
//	u(s)     keyed uniform hash of slot s in [0,1)
//	owner[s] = base[s]                                if u(s) < t_base / p_base
//	         = the b with the least -log h(s,b) / d_b  otherwise, d_b = max(0, t_b - p_b)
//
// So a backend that is scaled down gives up just the slots that its share has too many, always the same ones in the same
// order, and those that gain receive them in proportion (rendezvous hashing with weights, Schindelhauer and Schomaker,
// SPAA 2005). Scaling back returns every slot to where it was.
//
// All of it is done in integers that do not round: with P = sum of weights and T = sum of weight * scale,
//
//	t_b / p_b = weight*scale * P / (weight * T)     d_b ~ weight*scale * P - weight * T
//
// which stay below 2^59 for MaxBackends backends of MaxWeight and MaxScale. Because the differences add up to exactly 0,
// a displaced slot always has a candidate, and it is never its base: that one loses, so its d is 0.
type overlay struct {
	// keep[b] is the threshold of u for slots whose base is b; only where loses[b].
	keep  []uint64
	loses []bool
	// gain lists the candidates by name.
	gain []candidate
	// slotKey and displaceKey key the two hashes of slots.
	slotKey, displaceKey uint64
}

// candidate is a backend whose share grows.
type candidate struct {
	key uint64 // identity.overlay
	d   uint64
	// low and high enclose d at a scale at which the largest has 32 bits.
	low, high uint64
	index     uint16
}

// newOverlay returns nil where nothing is displaced; wanted is false where no backend is to own anything.
func newOverlay(seed Seed, backends []Backend, ids []identity) (o *overlay, wanted bool) {
	var sumP, sumT uint64
	for _, b := range backends {
		sumP += uint64(b.Weight)
		sumT += uint64(b.Weight) * uint64(b.Scale)
	}
	if sumT == 0 {
		return nil, false
	}
	o = &overlay{
		keep: make([]uint64, len(backends)), loses: make([]bool, len(backends)),
		slotKey: seed.key("overlay slot"), displaceKey: seed.key("overlay winner"),
	}
	for i, b := range backends {
		t := uint64(b.Weight) * uint64(b.Scale) * sumP
		p := uint64(b.Weight) * sumT
		switch {
		case t < p:
			o.keep[i], _ = bits.Div64(t, 0, p)
			o.loses[i] = true
		case t > p:
			o.gain = append(o.gain, candidate{key: ids[i].overlay, d: t - p, index: uint16(i)})
		}
	}
	if len(o.gain) == 0 {
		return nil, true
	}
	o.encloseDifferences()
	return o, true
}

// encloseDifferences sets low and high of every candidate.
func (o *overlay) encloseDifferences() {
	var all uint64
	for _, c := range o.gain {
		all |= c.d
	}
	shift := max(0, bits.Len64(all)-32)
	for i := range o.gain {
		c := &o.gain[i]
		c.low = c.d >> shift
		c.high = c.low + 1
	}
}

// apply replaces the owners of displaced slots.
func (o *overlay) apply(owners []uint16) {
	for s, base := range owners {
		if base == NoOwner || !o.loses[base] {
			continue
		}
		if scramble(o.slotKey+uint64(s)*golden) < o.keep[base] {
			continue
		}
		owners[s] = o.winner(scramble(o.displaceKey + uint64(s)*golden))
	}
}

// winner is the candidate with the least -log h / d, the first of them by name. Quotients are compared crosswise in 128
// bits, but nearly all candidates are so far from winning that one product with a rounded quotient shows it.
func (o *overlay) winner(slot uint64) uint16 {
	best := o.gain[0]
	bestLog := negLog2(scramble(slot ^ best.key))
	quotient := hopeless(bestLog, best)
	for i := 1; i < len(o.gain); i++ {
		c := &o.gain[i]
		h := scramble(slot ^ c.key)
		if hi, lo := bits.Mul64(quotient, c.high); hi == 0 && complement(h) >= lo {
			continue
		}
		limitHi, limitLo := bits.Mul64(bestLog, c.d)
		if l := negLog2(h); below(l, best.d, limitHi, limitLo) {
			best, bestLog = *c, l
			quotient = hopeless(bestLog, best)
		}
	}
	return best.index
}

// hopeless is a q such that a candidate c cannot win where complement(h) >= q * c.high: because -log2(1-y) >= 23/16 y it
// is enough that 23/16 y / c.d >= log / best.d.
func hopeless(log uint64, best candidate) uint64 {
	if best.low == 0 {
		return 1<<64 - 1
	}
	hi, lo := bits.Mul64(log, 16)
	q, _ := bits.Div64(hi, lo, 23*best.low) // hi < 16
	return q + 1
}

// below tells whether x*y < limit.
func below(x, y, limitHi, limitLo uint64) bool {
	hi, lo := bits.Mul64(x, y)
	return hi < limitHi || hi == limitHi && lo < limitLo
}

// golden spreads consecutive numbers over 64 bits: 2^64 / golden ratio, odd.
const golden = 0x9e3779b97f4a7c15

// scramble is a bijection of 64 bits in which every input bit moves every output bit (the finaliser of SplitMix64,
// variant 13 of Stafford).
func scramble(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
