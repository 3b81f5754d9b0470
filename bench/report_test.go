package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/lb"
)

func TestTimingOf(t *testing.T) {
	got := timingOf([]uint32{40, 41, 40, 900, 39, 41, 40, 42, 1})
	// Sorted: 1 39 40 40 40 41 41 42 900; the middle half leaves out two at each end.
	want := Timing{Median: 40, Min: 1, Max: 900, Midmean: 40.4, Rounds: []uint32{40, 41, 40, 900, 39, 41, 40, 42, 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPoolShareFollowsEffectiveWeights(t *testing.T) {
	pool := lb.Pool{Name: "web", Backends: []lb.Backend{
		{Name: "a", Weight: 100, Scale: lb.ScaleOne},
		{Name: "b", Weight: 100, Scale: 2 * lb.ScaleOne},
		{Name: "c", Weight: 0, Scale: lb.ScaleOne},
	}}
	got := poolShare(pool, []uint64{50, 50, 0}, 100)
	want := PoolShare{Pool: "web", Packets: 100, MaxOverAverage: 1.5, Backends: []BackendShare{
		{Backend: "a", Packets: 50, Share: 0.5, Due: 1.0 / 3},
		{Backend: "b", Packets: 50, Share: 0.5, Due: 2.0 / 3},
		{Backend: "c"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCountRefusesLostFrames(t *testing.T) {
	target := Target{Name: "x", Counters: func() (lb.Counters, error) { return lb.Counters{}, nil }}
	after := lb.Counters{Interfaces: make([]lb.InterfaceCounters, 1)}
	after.Interfaces[0].Verdicts[lb.VerdictForwarded] = 6
	after.Interfaces[0].Verdicts[lb.VerdictMalformed] = 3
	r := &Report{Buffer: handling{Laid: 10}}
	if err := r.count(target, lb.Counters{}, after); err == nil || !strings.Contains(err.Error(), "shown 10 frames, but its verdicts count 9") {
		t.Errorf("got error %v", err)
	}
	after.Interfaces[0].Verdicts[lb.VerdictNoBackend] = 1
	r = &Report{Buffer: handling{Laid: 10}}
	if err := r.count(target, lb.Counters{}, after); err != nil {
		t.Fatal(err)
	}
	want := []VerdictCount{{"forwarded", "tx", 6}, {"malformed", "drop", 3}, {"no_backend", "drop", 1}}
	if diff := cmp.Diff(want, r.Verdicts); diff != "" {
		t.Error(diff)
	}
}

func TestTableListsLittleAndJSONAll(t *testing.T) {
	r := &Report{Target: "sluice", Received: 1, Verdicts: []VerdictCount{{"forwarded", "tx", 1}}}
	for range 20 {
		r.Pools = append(r.Pools, PoolShare{Pool: "p", Packets: 1, Backends: make([]BackendShare, 1)})
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "(and 4 more pools; -o json lists them)") {
		t.Errorf("table of 20 pools:\n%s", &table)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*r, back); diff != "" {
		t.Error(diff)
	}
}
