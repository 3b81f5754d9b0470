package bench

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/lb"
)

// Form is what a program array demands of all its programs: the expected attach type and whether they take frames in
// fragments. The replayer must have the form of the program under test, or it cannot tail-call it.
type Form struct {
	// AttachXDP tells whether the expected attach type is BPF_XDP; else it is 0, as older loaders leave it.
	AttachXDP bool
	// Frags tells whether the program was loaded with BPF_F_XDP_HAS_FRAGS.
	Frags bool
}

// Forms are tried in this order.
var Forms = []Form{{AttachXDP: true}, {}, {AttachXDP: true, Frags: true}, {Frags: true}}

// String names the section and, where it is not set, the attach type.
func (f Form) String() string {
	name := "xdp"
	if f.Frags {
		name = "xdp.frags"
	}
	if !f.AttachXDP {
		name += ", expected attach type 0"
	}
	return name
}

func (f Form) shape(programs map[string]*ebpf.ProgramSpec) {
	for _, p := range programs {
		p.AttachType = ebpf.AttachNone
		if f.AttachXDP {
			p.AttachType = ebpf.AttachXDP
		}
		p.Flags &^= unix.BPF_F_XDP_HAS_FRAGS
		if f.Frags {
			p.Flags |= unix.BPF_F_XDP_HAS_FRAGS
		}
	}
}

// replayer feeds a stream to a program.
type replayer struct {
	objects replayObjects
	stream  *Stream
	form    Form
}

// fit finds the form of the replayer that may tail-call the program.
func fit(program *ebpf.Program) (Form, error) {
	var tried []error
	probe := &Stream{Family: IPv4, frames: make([]replayFrame, 1)}
	for _, form := range Forms {
		r, err := newReplayer(probe, form)
		if err == nil {
			err = errors.Join(r.aim(program), r.Close())
		}
		if err == nil {
			return form, nil
		}
		tried = append(tried, fmt.Errorf("as %q: %w", form, err))
	}
	return Form{}, fmt.Errorf("fit the replayer to %s: %w", program, errors.Join(tried...))
}

func newReplayer(s *Stream, form Form) (*replayer, error) {
	// Before 5.11 maps count against RLIMIT_MEMLOCK.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raise memlock: %w (needs root or CAP_SYS_RESOURCE)", err)
	}
	spec, err := loadReplay()
	if err != nil {
		return nil, err
	}
	form.shape(spec.Programs)
	spec.Maps[replayMapFrames].MaxEntries = uint32(max(len(s.frames), 1))
	spec.Maps[replayMapPackets].MaxEntries = uint32(max(len(s.packets), 1))
	spec.Maps[replayMapOutlines].MaxEntries = uint32(max(len(s.outlines), 1))
	err = errors.Join(
		spec.Variables[replayVarRecords].Set(uint32(s.Len())),
		spec.Variables[replayVarIpv6].Set(s.Family == IPv6),
		spec.Variables[replayVarUdp].Set(s.protocol == lb.UDP))
	if err != nil {
		return nil, fmt.Errorf("set the replayer's knobs: %w", err)
	}
	r := &replayer{stream: s, form: form}
	if err := spec.LoadAndAssign(&r.objects, nil); err != nil {
		return nil, fmt.Errorf("load the replayer: %w", err)
	}
	err = errors.Join(fill(r.objects.Frames, s.frames), fill(r.objects.Packets, s.packets), fill(r.objects.Outlines, s.outlines))
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close frees the replayer's maps and programs.
func (r *replayer) Close() error { return r.objects.Close() }

// fill writes all records of an array map, a batch at a time.
func fill[T any](m *ebpf.Map, values []T) error {
	const batch = 1 << 16
	keys := make([]uint32, min(batch, len(values)))
	for from := 0; from < len(values); from += batch {
		part := values[from:min(from+batch, len(values))]
		for i := range part {
			keys[i] = uint32(from + i)
		}
		if _, err := m.BatchUpdate(keys[:len(part)], part, nil); err != nil {
			return fmt.Errorf("write the replayer's %s: %w", m, err)
		}
	}
	return nil
}

// aim chooses the program that the frames are shown to.
func (r *replayer) aim(p *ebpf.Program) error {
	if err := r.objects.Target.Put(uint32(0), p); err != nil {
		return fmt.Errorf("aim the replayer at %s: %w", p, err)
	}
	return nil
}

func (r *replayer) program() *ebpf.Program {
	if r.stream.whole != nil {
		return r.objects.ReplayFrames
	}
	return r.objects.ReplayPackets
}

// handling is what the replayer had to do to its buffer.
type handling struct {
	Laid     uint64 `json:"laid"`
	Restored uint64 `json:"restored"`
	Resized  uint64 `json:"resized"`
}

// time shows the program under test `repeat` frames from the start of the stream on and returns the kernel's average
// for one, in whole nanoseconds, rounded down.
func (r *replayer) time(repeat uint32) (ns uint32, h handling, err error) {
	h, err = r.from(0, func(first []byte, rewind func() error) error {
		var interrupted error
		_, average, err := r.program().Benchmark(first, int(repeat), func() { interrupted = errors.Join(interrupted, rewind()) })
		ns = uint32(average.Nanoseconds())
		return errors.Join(err, interrupted)
	})
	return ns, h, err
}

// show shows the program under test `repeat` frames from a place on and returns its last action and the frame after it,
// which lies in the buffer.
func (r *replayer) show(place int, repeat uint32, buffer []byte) (action lb.Action, out []byte, h handling, err error) {
	h, err = r.from(place, func(first []byte, rewind func() error) error {
		var interrupted error
		o := &ebpf.RunOptions{Data: first, DataOut: buffer, Repeat: repeat}
		//nolint:staticcheck // Deprecated, but nothing else tells that the kernel starts over.
		o.Reset = func() { interrupted = errors.Join(interrupted, rewind()) }
		returned, err := r.program().Run(o)
		action, out = lb.Action(returned), o.DataOut
		return errors.Join(err, interrupted)
	})
	return action, out, h, err
}

// from calls run with the replayer set to a place in the stream. The kernel starts over, with the first frame, when a
// signal interrupts it: the replayer must then be rewound.
func (r *replayer) from(place int, run func(first []byte, rewind func() error) error) (handling, error) {
	first := r.stream.Frame(place)
	rewind := func() error {
		err := errors.Join(r.objects.Next.Set(uint32(place)), r.objects.Length.Set(uint32(len(first))))
		if err != nil {
			return fmt.Errorf("rewind the replayer: %w", err)
		}
		return nil
	}
	before, err := r.handled()
	if err != nil {
		return handling{}, err
	}
	if err := rewind(); err != nil {
		return handling{}, err
	}
	if err := run(first, rewind); err != nil {
		return handling{}, fmt.Errorf("replay %s: %w", r.stream.Name, err)
	}
	after, err := r.handled()
	return after.since(before), err
}

func (h handling) since(before handling) handling {
	return handling{h.Laid - before.Laid, h.Restored - before.Restored, h.Resized - before.Resized}
}

// handled reads the counters, and fails if a single frame was not laid as it should be.
func (r *replayer) handled() (handling, error) {
	var h handling
	var failed, missing uint64
	err := errors.Join(
		r.objects.Laid.Get(&h.Laid), r.objects.Restored.Get(&h.Restored), r.objects.Resized.Get(&h.Resized),
		r.objects.Failed.Get(&failed), r.objects.Missing.Get(&missing))
	if err != nil {
		return h, fmt.Errorf("read the replayer's counters: %w", err)
	}
	if failed != 0 {
		return h, fmt.Errorf("replay: the buffer could not be restored after %d of %d frames (the program under test moves the end of frames, or moves their head by more than the kernel leaves room for)", failed, h.Laid+failed)
	}
	if missing != 0 {
		return h, fmt.Errorf("replay: %d of %d frames reached no program (the tail call failed)", missing, h.Laid)
	}
	return h, nil
}
