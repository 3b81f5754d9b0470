package metrics

// driverBatch is how many frames of one queue a driver may have given to XDP without having counted them yet: drivers add
// up at the end of a NAPI poll, which takes at most 64 (NAPI_POLL_WEIGHT).
const driverBatch = 64

// reading is one reading of an interface, in this order: verdicts, the driver's counter, verdicts again.
type reading struct {
	before, seen, after uint64
	queues              int
}

// account checks that frames seen = sum over verdicts, under traffic too. The two counters began at different times, so
// seen less counted is some constant. Each reading bounds it: what was counted when the driver's counter was read lies
// between before and after. As long as nothing is lost all those bounds share at least one number.
type account struct {
	begun bool
	last  reading
	// low and high bound seen less counted.
	low, high int64
}

// add takes a reading and returns how many frames at least are unaccounted for: seen and not counted, or, below zero,
// counted and not seen.
func (a *account) add(r reading) int64 {
	if a.begun && (r.seen < a.last.seen || r.after < a.last.after) {
		a.begun = false // the interface or the maps are new ones
	}
	late := int64(driverBatch * r.queues)
	if a.begun && r.seen == a.last.seen && r.before == a.last.after && r.after == a.last.after {
		late = 0 // at rest: nothing moved since the last reading
	}
	a.last = r
	low, high := int64(r.seen-r.after), int64(r.seen-r.before)+late
	switch {
	case !a.begun:
		a.begun, a.low, a.high = true, low, high
	case low > a.high:
		return low - a.high
	case high < a.low:
		return high - a.low
	default:
		a.low, a.high = max(a.low, low), min(a.high, high)
	}
	return 0
}
