package bench

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/cilium/ebpf"

	"github.com/sluice-lb/sluice/lb"
)

// Target is the program under test and what it is known by.
type Target struct {
	// Name is what the report calls it.
	Name string
	// Program is the XDP program.
	Program *ebpf.Program
	// Counters reads the program's counters; nil if it has none. With them, a replay fails unless every frame it laid
	// ended in one verdict.
	Counters func() (lb.Counters, error)
	// State is what the program was told; nil if it takes no such thing. Backends are named by it.
	State *lb.State
}

// Options of a replay. The zero value is sensible.
type Options struct {
	// Rounds is how often empty, floor and target are measured in turn; at least MinRounds, 0 means DefaultRounds.
	Rounds int
	// Repeat is the number of frames in a round; at least MinRepeat, 0 means one lap of the stream, but at least
	// DefaultRepeat.
	Repeat uint32
	// CPU is the one to run on, from 0. Negative: the last one that the process may use.
	CPU int
}

// Bounds and defaults of Options.
const (
	MinRounds     = 9
	DefaultRounds = 15
	MinRepeat     = 100_000
	DefaultRepeat = 1 << 20
)

// Validate refuses options that give no trustworthy figure.
func (o Options) Validate() error {
	switch {
	case o.Rounds != 0 && o.Rounds < MinRounds:
		return fmt.Errorf("rounds %d: must be at least %d", o.Rounds, MinRounds)
	case o.Repeat != 0 && o.Repeat < MinRepeat:
		return fmt.Errorf("repeat %d: must be at least %d", o.Repeat, MinRepeat)
	}
	return nil
}

func (o Options) withDefaults(s *Stream) Options {
	if o.Rounds == 0 {
		o.Rounds = DefaultRounds
	}
	if o.Repeat == 0 {
		o.Repeat = uint32(max(s.Len(), DefaultRepeat))
	}
	return o
}

// Replay shows the stream to the target, to the floor program and to an empty one, in turn, and reports time and
// verdicts. It needs root. When ctx is done it stops after the round of one program that is under way.
func Replay(ctx context.Context, t Target, s *Stream, o Options) (report *Report, err error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	if s.Len() == 0 {
		return nil, fmt.Errorf("replay: no frames in %s", s.Name)
	}
	o = o.withDefaults(s)
	cpu, unpin, err := pin(o.CPU)
	if err != nil {
		return nil, err
	}
	defer unpin()
	form, err := fit(t.Program)
	if err != nil {
		return nil, err
	}
	replayer, err := newReplayer(s, form)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, replayer.Close()) }()
	floors, err := newFloor(s.Family, form)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, floors.Close()) }()

	report = newReport(t, s, o, cpu, form)
	m := &measurement{target: t, options: o, replayer: replayer, floors: floors}
	return report, m.into(ctx, report)
}

// measurement is one replay under way.
type measurement struct {
	target   Target
	options  Options
	replayer *replayer
	floors   *floorPrograms
	handled  handling // while the target ran
}

func (m *measurement) into(ctx context.Context, report *Report) error {
	before, err := m.counters()
	if err != nil {
		return err
	}
	var empty, floor, target []uint32
	// Round 0 warms the caches up and is not counted.
	for round := 0; round <= m.options.Rounds; round++ {
		var ns [3]uint32
		for i, p := range []*ebpf.Program{m.floors.Empty, m.floors.Encap, m.target.Program} {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("replay %s: %w", m.replayer.stream.Name, err)
			}
			if ns[i], err = m.time(p); err != nil {
				return err
			}
		}
		if round > 0 {
			empty, floor, target = append(empty, ns[0]), append(floor, ns[1]), append(target, ns[2])
		}
	}
	after, err := m.counters()
	if err != nil {
		return err
	}
	report.Empty, report.Floor, report.Program = timingOf(empty), timingOf(floor), timingOf(target)
	report.FloorNet = report.Floor.Midmean - report.Empty.Midmean
	report.ProgramNet = report.Program.Midmean - report.Empty.Midmean
	if report.FloorNet > 0 {
		report.Ratio = math.Round(report.ProgramNet/report.FloorNet*100) / 100
	}
	report.Buffer = m.handled
	return report.count(m.target, before, after)
}

func (m *measurement) counters() (lb.Counters, error) {
	if m.target.Counters == nil {
		return lb.Counters{}, nil
	}
	c, err := m.target.Counters()
	if err != nil {
		return c, fmt.Errorf("replay: read the counters of %s: %w", m.target.Name, err)
	}
	return c, nil
}

// time runs one round of one program.
func (m *measurement) time(p *ebpf.Program) (ns uint32, err error) {
	if err := m.replayer.aim(p); err != nil {
		return 0, err
	}
	ns, handled, err := m.replayer.time(m.options.Repeat)
	if err != nil {
		return 0, err
	}
	if p == m.target.Program {
		m.handled.Laid += handled.Laid
		m.handled.Restored += handled.Restored
		m.handled.Resized += handled.Resized
	}
	return ns, nil
}
