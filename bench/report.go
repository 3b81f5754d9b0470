package bench

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/lb"
)

// Report is what a replay found.
type Report struct {
	Target      string      `json:"target"`
	Traffic     Traffic     `json:"traffic"`
	Environment Environment `json:"environment"`
	// Form is the one in which the replayer fitted the program.
	Form string `json:"form"`
	// Repeat is the number of frames in a round.
	Repeat uint32 `json:"repeat"`

	// Timings of the empty program, the floor and the target, each with the replayer's own time.
	Empty   Timing `json:"empty"`
	Floor   Timing `json:"floor"`
	Program Timing `json:"program"`
	// FloorNet and ProgramNet are without the time of the empty program, in ns; Ratio is ProgramNet / FloorNet, 0 if the
	// floor could not be told from the empty program.
	FloorNet   float64 `json:"floor_net_ns"`
	ProgramNet float64 `json:"program_net_ns"`
	Ratio      float64 `json:"ratio"`

	// Buffer is what the replayer did while the target ran.
	Buffer handling `json:"buffer"`
	// Received is the number of frames shown to the target, Verdicts what became of them, in the order of lb.Verdict,
	// without zeroes. Empty for a target without counters.
	Received uint64         `json:"received"`
	Verdicts []VerdictCount `json:"verdicts"`
	Pools    []PoolShare    `json:"pools"`
}

// Traffic describes the stream.
type Traffic struct {
	Name    string         `json:"name"`
	Frames  int            `json:"frames"`
	Flows   int            `json:"flows"`
	Family  string         `json:"family"`
	LeftOut map[string]int `json:"left_out,omitempty"`
}

// VerdictCount is the number of frames that ended with a verdict.
type VerdictCount struct {
	Verdict string `json:"verdict"`
	Action  string `json:"action"`
	Packets uint64 `json:"packets"`
}

// PoolShare is how a pool's packets spread over its backends.
type PoolShare struct {
	Pool    string `json:"pool"`
	Packets uint64 `json:"packets"`
	// MaxOverAverage is the greatest ratio of a backend's packets to those its weight is due. It holds the traffic's
	// own unevenness too: few flows, or a few large ones, spread badly whatever the table.
	MaxOverAverage float64        `json:"max_over_average"`
	Backends       []BackendShare `json:"backends"`
}

// BackendShare is one backend's part.
type BackendShare struct {
	Backend string `json:"backend"`
	Packets uint64 `json:"packets"`
	// Share of the pool's packets, and the one its effective weight is due, 0 to 1.
	Share float64 `json:"share"`
	Due   float64 `json:"due"`
}

func newReport(t Target, s *Stream, o Options, cpu int, form Form) *Report {
	return &Report{
		Target:      t.Name,
		Traffic:     Traffic{Name: s.Name, Frames: s.Len(), Flows: s.Flows, Family: s.Family.String(), LeftOut: s.LeftOut},
		Environment: environment(cpu),
		Form:        form.String(),
		Repeat:      o.Repeat,
	}
}

// count fills in verdicts and shares from the counters before and after.
func (r *Report) count(t Target, before, after lb.Counters) error {
	if t.Counters == nil {
		return nil
	}
	r.Received = r.Buffer.Laid
	verdicts := sumVerdicts(after)
	total := uint64(0)
	for v, n := range sumVerdicts(before) {
		verdicts[v] -= n
		total += verdicts[v]
		if verdicts[v] > 0 {
			info := lb.Verdict(v).Info()
			r.Verdicts = append(r.Verdicts, VerdictCount{info.Name, info.Action.String(), verdicts[v]})
		}
	}
	if total != r.Received {
		return fmt.Errorf("replay: %s was shown %d frames, but its verdicts count %d", t.Name, r.Received, total)
	}
	if t.State != nil {
		r.Pools = poolShares(t.State, before.Backends, after.Backends)
	}
	return nil
}

func sumVerdicts(c lb.Counters) [lb.VerdictCount]uint64 {
	var sum [lb.VerdictCount]uint64
	for _, i := range c.Interfaces {
		for v, n := range i.Verdicts {
			sum[v] += n
		}
	}
	return sum
}

func poolShares(state *lb.State, before, after []lb.Counter) []PoolShare {
	var shares []PoolShare
	for _, pool := range state.Config.Pools {
		packets := make([]uint64, len(pool.Backends))
		total := uint64(0)
		for i, b := range pool.Backends {
			index := state.Layout.Backends[lb.BackendKey(pool.Name, b.Name)].Index
			if int(index) < len(after) {
				packets[i] = after[index].Packets
			}
			if int(index) < len(before) {
				packets[i] -= before[index].Packets
			}
			total += packets[i]
		}
		if total > 0 {
			shares = append(shares, poolShare(pool, packets, total))
		}
	}
	return shares
}

func poolShare(pool lb.Pool, packets []uint64, total uint64) PoolShare {
	weights := uint64(0)
	for _, b := range pool.Backends {
		weights += uint64(b.EffectiveWeight())
	}
	s := PoolShare{Pool: pool.Name, Packets: total}
	for i, b := range pool.Backends {
		share := BackendShare{Backend: b.Name, Packets: packets[i], Share: float64(packets[i]) / float64(total)}
		if weights > 0 {
			share.Due = float64(b.EffectiveWeight()) / float64(weights)
		}
		if share.Due > 0 {
			s.MaxOverAverage = max(s.MaxOverAverage, share.Share/share.Due)
		}
		s.Backends = append(s.Backends, share)
	}
	slices.SortStableFunc(s.Backends, func(a, b BackendShare) int { return strings.Compare(a.Backend, b.Backend) })
	return s
}
