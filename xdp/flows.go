package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/lb"
)

// flowTick is the unit of bpfFlowEntry.Seen and of slot stamps: FLOW_CLOCK_SHIFT in bpf/config.h.
const flowTick = time.Duration(1) << 30

// monotonic is the clock of the program, CLOCK_MONOTONIC, as if it had begun in 1970: the time of day may step.
func monotonic() (time.Time, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Time{}, fmt.Errorf("monotonic clock: %w", err)
	}
	return time.Unix(0, ts.Nano()).UTC(), nil
}

// age is how long ago a tick was. The program on another CPU may be a tick ahead.
func age(tick, now uint32) time.Duration { return time.Duration(max(0, int32(now-tick))) * flowTick }

// Activity reads the flow tables, and when slots last sent packets to their previous owners. In the steady state it reads
// next to nothing: the tables are empty.
func (d *Dataplane) Activity() (*lb.Activity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clock, err := monotonic()
	if err != nil {
		return nil, err
	}
	out := &lb.Activity{Now: clock, LastDefault: map[string]map[uint32]time.Time{}}
	now := uint32(clock.UnixNano() >> 30)
	if out.Flows, err = d.flows(now); err != nil {
		return nil, err
	}
	if d.state == nil {
		return out, nil
	}
	for pool, states := range d.state.Changing {
		base := d.state.Layout.Pools[pool].Base
		last := map[uint32]time.Time{}
		for slot := range states {
			at := base + slot
			if stamp := d.tables.stamps.values[at/lb.SlotsPerLine].Word[at%lb.SlotsPerLine]; stamp != 0 {
				last[slot] = clock.Add(-age(stamp, now))
			}
		}
		out.LastDefault[pool] = last
	}
	return out, nil
}

func (d *Dataplane) flows(now uint32) ([]lb.FlowEntry, error) {
	var out []lb.FlowEntry
	err := errors.Join(
		eachEntry(d.tables.maps["flows4"], func(k bpfFlow4Key, v bpfFlowEntry) { out = append(out, flowEntry(k.flow(), v, now)) }),
		eachEntry(d.tables.maps["flows6"], func(k bpfFlow6Key, v bpfFlowEntry) { out = append(out, flowEntry(k.flow(), v, now)) }),
	)
	return out, err
}

// batchSize is the number of entries that one system call reads.
const batchSize = 4096

// eachEntry walks a hash map. Entries that are made or deleted meanwhile may be seen or not.
func eachEntry[K, V any](m *ebpf.Map, f func(K, V)) error {
	keys, values := make([]K, batchSize), make([]V, batchSize)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			f(keys[i], values[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading map %s: %w", m, err)
		}
	}
}

func flowEntry(flow lb.Flow, v bpfFlowEntry, now uint32) lb.FlowEntry {
	return lb.FlowEntry{Flow: flow, VIP: v.Vip, Backend: v.Backend, State: lb.FlowState(v.State), Age: age(v.Seen, now)}
}

// port turns a port as it lies in the packet into a number.
func port(b uint16) uint16 { return b<<8 | b>>8 }

func (k bpfFlow4Key) flow() lb.Flow {
	var source, destination [4]byte
	binary.LittleEndian.PutUint32(source[:], k.Source)
	binary.LittleEndian.PutUint32(destination[:], k.Destination)
	return lb.Flow{
		Source:      netip.AddrPortFrom(netip.AddrFrom4(source), port(k.SourcePort)),
		Destination: netip.AddrPortFrom(netip.AddrFrom4(destination), port(k.DestinationPort)),
		Protocol:    lb.Protocol(k.Protocol),
	}
}

func (k bpfFlow6Key) flow() lb.Flow {
	var source, destination [16]byte
	for i := range 2 {
		binary.LittleEndian.PutUint64(source[8*i:], k.Source[i])
		binary.LittleEndian.PutUint64(destination[8*i:], k.Destination[i])
	}
	return lb.Flow{
		Source:      netip.AddrPortFrom(netip.AddrFrom16(source), port(k.SourcePort)),
		Destination: netip.AddrPortFrom(netip.AddrFrom16(destination), port(k.DestinationPort)),
		Protocol:    lb.Protocol(k.Protocol),
	}
}

func flow4Key(f lb.Flow) bpfFlow4Key {
	source, destination := f.Source.Addr().As4(), f.Destination.Addr().As4()
	return bpfFlow4Key{
		Source: binary.LittleEndian.Uint32(source[:]), Destination: binary.LittleEndian.Uint32(destination[:]),
		SourcePort: port(f.Source.Port()), DestinationPort: port(f.Destination.Port()), Protocol: uint32(f.Protocol),
	}
}

func flow6Key(f lb.Flow) bpfFlow6Key {
	source, destination := f.Source.Addr().As16(), f.Destination.Addr().As16()
	k := bpfFlow6Key{SourcePort: port(f.Source.Port()), DestinationPort: port(f.Destination.Port()), Protocol: uint32(f.Protocol)}
	for i := range 2 {
		k.Source[i] = binary.LittleEndian.Uint64(source[8*i:])
		k.Destination[i] = binary.LittleEndian.Uint64(destination[8*i:])
	}
	return k
}

// DropFlows deletes the entries of these flows. One that is not there any more is no error.
func (d *Dataplane) DropFlows(flows []lb.Flow) error {
	for _, f := range flows {
		var err error
		if f.Source.Addr().Is4() {
			err = d.tables.maps["flows4"].Delete(flow4Key(f))
		} else {
			err = d.tables.maps["flows6"].Delete(flow6Key(f))
		}
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("deleting the entry of a flow from %s: %w", f.Source, err)
		}
	}
	return nil
}

// carryStamps takes the stamps of pools that got another region along. A packet that was stamped in the old region after
// the flip is seen here, too: the grace period is over.
func (d *Dataplane) carryStamps(old, state *lb.State) {
	for pool, states := range state.Changing {
		from, to := old.Layout.Pools[pool], state.Layout.Pools[pool]
		if from.Slots != to.Slots || from.Base == to.Base {
			continue
		}
		for slot, s := range states {
			if was := old.Changing[pool][slot]; was.Kind != s.Kind || !was.Since.Equal(s.Since) {
				continue
			}
			at, before := to.Base+slot, from.Base+slot
			word := &d.tables.stamps.values[at/lb.SlotsPerLine].Word[at%lb.SlotsPerLine]
			*word = max(*word, d.tables.stamps.values[before/lb.SlotsPerLine].Word[before%lb.SlotsPerLine])
		}
	}
}

// readdressFlows brings entries up to date whose backend got another index, because its next hop changed. Until then they
// lead to the old descriptor, which nobody has overwritten yet.
func (d *Dataplane) readdressFlows(old, state *lb.State) {
	moved := map[uint32]uint32{}
	for key, place := range state.Layout.Backends {
		if was, ok := old.Layout.Same(key, place.Address); ok && was.Index != place.Index {
			moved[was.Index] = place.Index
		}
	}
	if len(moved) == 0 {
		return
	}
	err := errors.Join(readdress[bpfFlow4Key](d.tables.maps["flows4"], moved), readdress[bpfFlow6Key](d.tables.maps["flows6"], moved))
	if err != nil {
		d.log.Error("flows keep an old next hop", "err", err)
	}
}

func readdress[K any](m *ebpf.Map, moved map[uint32]uint32) error {
	type entry struct {
		key   K
		value bpfFlowEntry
	}
	var stale []entry
	err := eachEntry(m, func(k K, v bpfFlowEntry) {
		if index, ok := moved[v.Backend]; ok {
			v.Backend = index
			stale = append(stale, entry{k, v})
		}
	})
	for _, e := range stale {
		if put := m.Update(e.key, e.value, ebpf.UpdateExist); put != nil && !errors.Is(put, ebpf.ErrKeyNotExist) {
			err = errors.Join(err, put)
		}
	}
	return err
}
