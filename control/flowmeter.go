package control

import (
	"slices"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

const (
	// flowSampleInterval is how often new flows are noted, flowMemory how long.
	flowSampleInterval = 10 * time.Second
	flowMemory         = time.Minute
)

// FlowMove is an lb.Move with what the counters say about it. The node keeps no table of the flows that are alive, so it
// cannot count those: it knows which share of them moves, and how many flows began a short while ago.
type FlowMove struct {
	lb.Move
	// NewFlows began within Within before now; both are 0 where nothing was measured yet. Only TCP is counted.
	NewFlows uint64
	Within   time.Duration
}

// flowMeter remembers the counters of new flows for a minute.
type flowMeter struct {
	mu      sync.Mutex
	samples []flowSample // oldest first
}

type flowSample struct {
	at time.Time
	// lines is Layout.VIPs of the state at that time.
	lines map[string]uint32
	vips  []lb.Counter
}

// note adds a sample and forgets those that are too old.
func (m *flowMeter) note(s flowSample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples = slices.DeleteFunc(m.samples, func(old flowSample) bool { return s.at.Sub(old.at) > flowMemory })
	m.samples = append(m.samples, s)
}

// since returns the flows of a VIP that began after the oldest sample that has it in the same counter line.
func (m *flowMeter) since(vip string, now flowSample) (flows uint64, within time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	line := now.lines[vip]
	if line == 0 || int(line) >= len(now.vips) {
		return 0, 0
	}
	for _, s := range m.samples {
		age := now.at.Sub(s.at)
		if age > flowMemory+flowSampleInterval || s.lines[vip] != line || int(line) >= len(s.vips) {
			continue
		}
		if was, is := s.vips[line].NewFlows, now.vips[line].NewFlows; is >= was {
			return is - was, age
		}
	}
	return 0, 0
}

func (e *Engine) sampleFlows() {
	counters, err := e.dp.Counters()
	if err != nil {
		e.log.Debug("reading counters of new flows failed", "err", err)
		return
	}
	e.flows.note(flowSample{time.Now(), e.state.Load().Layout.VIPs, counters.VIPs})
}

// movesLocked says what becoming next does to flows.
func (e *Engine) movesLocked(prev, next *lb.State) []FlowMove {
	moves := lb.Moves(prev.Config, next.Config, prev.Tables, next.Tables)
	if len(moves) == 0 {
		return nil
	}
	now := flowSample{at: time.Now(), lines: prev.Layout.VIPs}
	if counters, err := e.dp.Counters(); err == nil {
		now.vips = counters.VIPs
	}
	out := make([]FlowMove, len(moves))
	for i, m := range moves {
		out[i].Move = m
		out[i].NewFlows, out[i].Within = e.flows.since(m.VIP, now)
	}
	return out
}
