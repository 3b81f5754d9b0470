package xdp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/sluice-lb/sluice/lb"
)

// explainedMap is the map that the instance with the knob `explain` writes.
const explainedMap = "explained"

// explainer is that instance, attached nowhere, and the map's memory.
type explainer struct {
	program *ebpf.Program
	tag     string
	record  array[bpfExplanation]
}

// MinFrame and MaxFrame bound the frames that Explain takes, in bytes: BPF_PROG_RUN wants a whole Ethernet header, and has
// one page for the frame, XDP's headroom and the kernel's tail room.
const (
	MinFrame = ethernetHeader
	MaxFrame = largestLinearMTU + ethernetHeader
)

// noInterface is the number of the instance that explains: that of no interface.
const noInterface = ^uint32(0)

// outerRoom is more than any outer header takes.
const outerRoom = 128

// ErrFrame says that a frame cannot be explained, and why.
var ErrFrame = errors.New("frame cannot be explained")

// ErrInterface says that an interface is not managed.
var ErrInterface = errors.New("interface is not managed")

// loadExplainer loads the program once more, over the same maps.
func (d *Dataplane) loadExplainer(spec *ebpf.CollectionSpec) error {
	var x explainer
	var err error
	if x.program, err = d.loadInstance(spec, map[string]any{"explain": uint8(1), "interface_number": noInterface}); err != nil {
		return fmt.Errorf("loading program that explains: %w", err)
	}
	d.explain = &x
	info, err := x.program.Info()
	if err != nil {
		return fmt.Errorf("program that explains: %w", err)
	}
	x.tag = info.Tag
	return mapInto(&x.record, d.explained)
}

func (x *explainer) close() error { return errors.Join(x.record.unmap(), x.program.Close()) }

// Explain says what would become of an Ethernet frame that came in by an interface now: the same program over the same
// maps decides. Nothing changes: no counter, no flow, no slot. A frame that is too short or too long is ErrFrame, an
// interface that is not managed ErrInterface.
func (d *Dataplane) Explain(frame []byte, iface string) (lb.Explanation, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	number, ok := d.tables.number(iface)
	switch {
	case d.state == nil:
		return lb.Explanation{}, errors.New("explaining a packet: no state is published")
	case !ok || !slices.Contains(d.options.Interfaces, iface):
		return lb.Explanation{}, fmt.Errorf("%w: %q (choose one of %q)", ErrInterface, iface, d.options.Interfaces)
	case len(frame) < MinFrame || len(frame) > MaxFrame:
		return lb.Explanation{}, fmt.Errorf("%w: %d bytes long (must be %d to %d)", ErrFrame, len(frame), MinFrame, MaxFrame)
	}
	e, err := d.explainLocked(frame, number)
	if err != nil {
		return lb.Explanation{}, fmt.Errorf("explaining a packet: %w", err)
	}
	e.Interface, e.ProgramTag, e.LiveTag = iface, d.explain.tag, d.liveTagLocked(iface)
	return e, nil
}

// explainLocked runs the frame, and once more where it would get an entry: whether the table has room for it only user
// space can tell.
func (d *Dataplane) explainLocked(frame []byte, number uint8) (lb.Explanation, error) {
	action, out, err := d.runExplainer(frame, bpfExplanation{Interface: uint16(number)})
	if err != nil {
		return lb.Explanation{}, err
	}
	if lb.Path(d.explain.record.values[0].Steps).Has(lb.StepInsert) {
		full, err := d.flowsFull(frame)
		if err != nil {
			return lb.Explanation{}, err
		}
		if full {
			if action, out, err = d.runExplainer(frame, bpfExplanation{Interface: uint16(number), Full: 1}); err != nil {
				return lb.Explanation{}, err
			}
		}
	}
	return d.explanation(frame, out, action)
}

func (d *Dataplane) runExplainer(frame []byte, record bpfExplanation) (lb.Action, []byte, error) {
	d.explain.record.values[0] = record
	o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+outerRoom)}
	action, err := d.explain.program.Run(&o)
	return lb.Action(action), o.DataOut, err
}

// flowsFull tells whether the flow table of the frame's family has no room.
func (d *Dataplane) flowsFull(frame []byte) (bool, error) {
	n := uint32(0)
	if frame[12] == 0x86 {
		err := eachEntry(d.tables.maps["flows6"], func(bpfFlow6Key, bpfFlowEntry) { n++ })
		return n >= d.tables.maps["flows6"].MaxEntries(), err
	}
	err := eachEntry(d.tables.maps["flows4"], func(bpfFlow4Key, bpfFlowEntry) { n++ })
	return n >= d.tables.maps["flows4"].MaxEntries(), err
}

// explanation puts names to the record's numbers.
func (d *Dataplane) explanation(frame, out []byte, action lb.Action) (lb.Explanation, error) {
	record := d.explain.record.values[0]
	e := lb.Explanation{
		Path: lb.Path(record.Steps), Verdict: lb.Verdict(record.Verdict), Action: action, Hash: record.Hash,
		Word: record.Word, PreviousWord: record.Previous, State: lb.SlotKindOf(record.Word), Frame: out,
	}
	e.Read(frame)
	for _, vip := range d.state.Config.VIPs {
		if d.state.Layout.VIPs[vip.Name] == record.Vip {
			e.VIP, e.Pool = vip.Name, vip.Pool
		}
	}
	if e.Path.Has(lb.StepSlot) {
		place := d.state.Layout.Pools[e.Pool]
		e.Slot, e.Slots = record.Slot-place.Base, place.Slots
		e.Owner = d.keyAt(record.Word & lb.MaxBackendIndex)
		e.Previous = d.keyAt(record.Previous & lb.MaxBackendIndex)
	}
	if e.Path.Has(lb.StepMoved) {
		e.PreviousPool = d.state.Moved[e.VIP].Previous
	}
	if e.Path.Has(lb.StepEntry) {
		clock, err := monotonic()
		if err != nil {
			return e, err
		}
		now := uint32(clock.UnixNano() >> 30)
		e.Entry = lb.ExplainedEntry{
			Backend: d.keyAt(record.EntryBackend), State: lb.FlowState(record.EntryState), Age: age(record.EntrySeen, now),
		}
	}
	if key := d.keyAt(record.Backend); key != "" {
		e.Select(d.state, key)
		e.Hop.MAC = d.tables.mac(record.Backend)
	}
	return e, nil
}

// keyAt is the key of the backend that an index stands for; empty where none does.
func (d *Dataplane) keyAt(index uint32) string {
	for key, place := range d.state.Layout.Backends {
		if place.Index == index {
			return key
		}
	}
	return ""
}

// liveTagLocked is the tag of the program that an interface runs; empty where it runs none. Nearly always that is the
// instance of this process. Opening another takes CAP_SYS_ADMIN, which lbd gives up: then its id stands for the tag.
func (d *Dataplane) liveTagLocked(iface string) string {
	l, err := netlink.LinkByName(iface)
	if err != nil || l.Attrs().Xdp == nil || !l.Attrs().Xdp.Attached {
		return ""
	}
	live := ebpf.ProgramID(l.Attrs().Xdp.ProgId)
	program := d.programs[iface]
	info, err := program.Info()
	if err == nil {
		if id, ok := info.ID(); ok && id == live {
			return info.Tag
		}
	}
	if program, err = ebpf.NewProgramFromID(live); err != nil {
		return fmt.Sprintf("(program %d)", live)
	}
	defer program.Close()
	if info, err = program.Info(); err != nil {
		return fmt.Sprintf("(program %d)", live)
	}
	return info.Tag
}
