package bench

import (
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// Timing is the time of one packet over several rounds, in nanoseconds, the replayer's own included.
type Timing struct {
	// Median, least and greatest round. The kernel reports whole nanoseconds, rounded down.
	Median float64 `json:"median_ns"`
	Min    float64 `json:"min_ns"`
	Max    float64 `json:"max_ns"`
	// Midmean is the mean of the middle half of the rounds: as deaf to outliers as the median, but not bound to whole
	// nanoseconds. Differences and ratios are made from it.
	Midmean float64 `json:"midmean_ns"`
	// Rounds are all rounds in the order in which they ran.
	Rounds []uint32 `json:"rounds_ns"`
}

func timingOf(rounds []uint32) Timing {
	sorted := slices.Sorted(slices.Values(rounds))
	n := len(sorted)
	t := Timing{Rounds: rounds, Min: float64(sorted[0]), Max: float64(sorted[n-1])}
	t.Median = float64(sorted[(n-1)/2]+sorted[n/2]) / 2
	middle := sorted[n/4 : n-n/4]
	for _, v := range middle {
		t.Midmean += float64(v)
	}
	t.Midmean /= float64(len(middle))
	return t
}

// pin keeps the calling goroutine on one CPU until the returned function is called. A negative cpu chooses the last one
// that the process may use: the first has most of a machine's interrupts.
func pin(cpu int) (chosen int, unpin func(), err error) {
	runtime.LockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		runtime.UnlockOSThread()
		return 0, nil, fmt.Errorf("read the CPU affinity: %w", err)
	}
	if cpu < 0 {
		cpu = lastOf(&before)
	}
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		runtime.UnlockOSThread()
		return 0, nil, fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	return cpu, func() {
		// Fails only for CPUs that went away meanwhile; the thread is then where it should be anyway.
		_ = unix.SchedSetaffinity(0, &before)
		runtime.UnlockOSThread()
	}, nil
}

func lastOf(set *unix.CPUSet) int {
	last := 0
	for cpu, seen := 0, 0; seen < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			last, seen = cpu, seen+1
		}
	}
	return last
}
