package xdp

import (
	"fmt"
	"sync/atomic"

	"github.com/vishvananda/netlink"

	"github.com/sluice-lb/sluice/lb"
)

// add sums one CPU's line. Each word is read whole; the words of a line may be of different moments.
func add(to *lb.Counter, line *bpfCounter) {
	to.Packets += atomic.LoadUint64(&line.Packets)
	to.Bytes += atomic.LoadUint64(&line.Bytes)
	to.NewFlows += atomic.LoadUint64(&line.NewFlows)
	to.Refused += atomic.LoadUint64(&line.Refused)
	to.Held += atomic.LoadUint64(&line.Held)
}

// sumLines adds up the CPUs' lines for the indexes up to last.
func sumLines(lines []bpfCounter, stride, last uint32) []lb.Counter {
	out := make([]lb.Counter, last+1)
	for cpu := 0; cpu < len(lines); cpu += int(stride) {
		for i := range out {
			add(&out[i], &lines[cpu+i])
		}
	}
	return out
}

// Counters reads all counters.
func (d *Dataplane) Counters() (lb.Counters, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out lb.Counters
	for _, name := range d.options.Interfaces {
		c := lb.InterfaceCounters{Interface: name}
		number, _ := d.tables.number(name)
		d.eachVerdictLine(number, func(line *bpfVerdictLine) {
			for v := range c.Verdicts {
				c.Verdicts[v] += atomic.LoadUint64(&line.Packets[v])
			}
		})
		out.Interfaces = append(out.Interfaces, c)
	}
	var lastVIP, lastBackend uint32
	if d.state != nil {
		for _, line := range d.state.Layout.VIPs {
			lastVIP = max(lastVIP, line)
		}
		for _, place := range d.state.Layout.Backends {
			lastBackend = max(lastBackend, place.Index)
		}
	}
	for i := range d.tables.trackCounters.values {
		line := &d.tables.trackCounters.values[i]
		out.Tracking.Lookups += atomic.LoadUint64(&line.Lookups)
		out.Tracking.Hits += atomic.LoadUint64(&line.Hits)
		out.Tracking.Inserts += atomic.LoadUint64(&line.Inserts)
		out.Tracking.Held += atomic.LoadUint64(&line.Held)
		out.Tracking.Bypassed += atomic.LoadUint64(&line.Bypassed)
	}
	out.VIPs = sumLines(d.tables.vipCounters.values, vipStride(d.options.Limits), lastVIP)
	out.Backends = sumLines(d.tables.backendCounters.values, backendStride(d.options.Limits), lastBackend)
	return out, nil
}

func (d *Dataplane) eachVerdictLine(number uint8, f func(*bpfVerdictLine)) {
	for i := int(number); i < len(d.tables.verdictCounters.values); i += MaxInterfaces {
		f(&d.tables.verdictCounters.values[i])
	}
}

// Seen is the number of frames that came in by an interface, counted at entry; always 0 without Options.CountSeen.
func (d *Dataplane) Seen(iface string) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	var sum uint64
	if number, ok := d.tables.number(iface); ok {
		d.eachVerdictLine(number, func(line *bpfVerdictLine) {
			sum += atomic.LoadUint64(&line.Packets[bpfSizesVERDICT_SEEN])
		})
	}
	return sum
}

// Info describes the interfaces and the maps.
func (d *Dataplane) Info() (lb.DataplaneInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info := lb.DataplaneInfo{MapMemory: d.tables.memory(), Limits: d.options.Limits, Unmatched: "pass"}
	if d.options.UnmatchedDrop {
		info.Unmatched = "drop"
	}
	for _, a := range d.attached {
		i := lb.InterfaceInfo{Name: a.name, Mode: a.mode.String(), Index: a.index, Fault: a.fault}
		program, err := d.programs[a.name].Info()
		if err != nil {
			return info, fmt.Errorf("program of interface %q: %w", a.name, err)
		}
		id, _ := program.ID()
		i.ProgramID, i.ProgramTag = uint32(id), program.Tag
		if l, err := netlink.LinkByIndex(a.index); err == nil {
			i.MTU = l.Attrs().MTU
		}
		info.Interfaces = append(info.Interfaces, i)
	}
	return info, nil
}
