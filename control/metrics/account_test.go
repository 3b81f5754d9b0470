package metrics

import (
	"math/rand/v2"
	"testing"
)

func TestAccount(t *testing.T) {
	// Every row is readings {before, seen, after} of one queue, one after the other, and what the last one tells.
	for _, row := range []struct {
		name     string
		readings [][3]uint64
		want     int64
	}{
		{"first", [][3]uint64{{10, 5000, 10}}, 0},
		{"nothing-lost", [][3]uint64{{10, 5000, 10}, {110, 5100, 110}}, 0},
		{"driver-late", [][3]uint64{{10, 5000, 10}, {10, 5000, 10}, {74, 5000, 74}}, 0},
		{"under-traffic", [][3]uint64{{0, 120, 200}, {300, 420, 500}, {900, 1001, 1100}}, 0},
		{"one-lost", [][3]uint64{{10, 5000, 10}, {10, 5000, 10}, {20, 5011, 20}, {20, 5011, 20}}, 1},
		{"lost-and-stays", [][3]uint64{{10, 5000, 10}, {10, 5000, 10}, {10, 5007, 10}, {60, 5057, 60}, {60, 5057, 60}}, 7},
		{"lost-grows", [][3]uint64{{10, 5000, 10}, {10, 5000, 10}, {10, 5007, 10}, {10, 5012, 10}}, 12},
		{"counted-too-often", [][3]uint64{{10, 5000, 10}, {10, 5000, 10}, {13, 5000, 13}, {13, 5000, 13}}, -3},
		{"interface-is-new", [][3]uint64{{10, 5000, 10}, {10, 5000, 10}, {20, 3, 20}, {20, 3, 20}}, 0},
		{"maps-are-new", [][3]uint64{{10, 5000, 10}, {10, 5000, 10}, {4, 5100, 4}, {4, 5100, 4}}, 0},
		{"driver-ahead", [][3]uint64{{5000, 10, 5000}, {5000, 10, 5000}, {5001, 12, 5001}, {5001, 12, 5001}}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			var a account
			var got int64
			for _, r := range row.readings {
				got = a.add(reading{before: r[0], seen: r[1], after: r[2], queues: 1})
			}
			if got != row.want {
				t.Errorf("unaccounted %d, want %d", got, row.want)
			}
		})
	}
}

// TestAccountUnderTraffic reads two counters at random moments of a random run that starts and ends at rest: it never tells
// more than was lost, and at the end exactly that.
func TestAccountUnderTraffic(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var a account
		counted, driver := r.Uint64N(1000), r.Uint64N(1000) // whose difference means nothing
		pending, lost := uint64(0), uint64(0)
		run := func() {
			for range r.IntN(300) {
				if seed%2 == 1 && r.IntN(500) == 0 {
					lost++
				} else {
					counted++
				}
				if pending++; pending == driverBatch || r.IntN(10) == 0 {
					driver, pending = driver+pending, 0
				}
			}
		}
		rest := func() int64 {
			driver, pending = driver+pending, 0
			still := reading{before: counted, seen: driver, after: counted, queues: 1}
			a.add(still)
			return a.add(still)
		}
		rest()
		for range 50 {
			run()
			before := counted
			run()
			seen := driver
			run()
			if got := a.add(reading{before: before, seen: seen, after: counted, queues: 1}); got < 0 || got > int64(lost) {
				t.Fatalf("seed %d: %d are unaccounted for, %d were lost", seed, got, lost)
			}
		}
		if got := rest(); got != int64(lost) {
			t.Errorf("seed %d: %d are unaccounted for at rest, %d were lost", seed, got, lost)
		}
	}
}
