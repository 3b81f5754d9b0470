package xdp

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

// vipKeys is how many keys of the bucket hash are tried before a VIP table is given up. At the loads that lb.VIPBuckets
// allows the first nearly always fits.
const vipKeys = 64

// graceRetry is the pause before a grace period that could not be waited for (no memory) is tried again.
const graceRetry = 10 * time.Millisecond

// selected is the root's word that chooses the copy and carries the publication's number.
func (t *tables) selected() uint64 { return atomic.LoadUint64(&t.root.values[0].Select) }

// Publish makes state the one that packets see. Everything is built where no packet looks, then one store shows it all.
// When it returns nil, no packet sees the old state any more; when it returns an error, packets see the old one.
func (d *Dataplane) Publish(state *lb.State) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.publish(state); err != nil {
		return fmt.Errorf("publishing %d: %w", state.Publication, err)
	}
	return nil
}

func (d *Dataplane) publish(state *lb.State) error {
	t := d.tables
	if err := d.fits(state); err != nil {
		return err
	}
	copyOf, err := d.buildVIPs(state)
	if err != nil {
		return err
	}
	d.writeBackends(state)
	d.writePools(state)
	d.clearNewVIPs(state)
	old := d.state
	copyOf.PoolBase = state.Layout.Copy * d.options.Limits.Pools()
	t.root.values[0].Copy[state.Layout.Copy] = copyOf

	atomic.StoreUint64(&t.root.values[0].Select, state.Publication<<1|uint64(state.Layout.Copy))
	d.state = state
	// The flip cannot be taken back: a failure to wait is not a failure to publish. Without the wait an old region
	// might be reused too early, so wait again, if need be for ever, before the next one.
	for d.grace.wait() != nil {
		time.Sleep(graceRetry)
	}
	if old != nil {
		d.carryStamps(old, state)
		d.readdressFlows(old, state)
	}
	return nil
}

// fits checks everything that could be wrong with a state, before anything is written.
func (d *Dataplane) fits(state *lb.State) error {
	if d.state != nil && state.Layout.Copy == d.state.Layout.Copy {
		return fmt.Errorf("layout: copy %d is in use", state.Layout.Copy)
	}
	if d.state != nil && state.Publication <= d.state.Publication {
		return fmt.Errorf("publication %d is live already", d.state.Publication)
	}
	return d.fitsLimits(state)
}

// fitsLimits checks that every place of the layout lies within its map.
func (d *Dataplane) fitsLimits(state *lb.State) error {
	limits := d.options.Limits
	if state.Layout.Copy > 1 {
		return fmt.Errorf("layout: copy %d", state.Layout.Copy)
	}
	for name, line := range state.Layout.VIPs {
		if line == 0 || line > limits.VIPs {
			return fmt.Errorf("vip %q: counter line %d is over the limit (limits.vips: %d)", name, line, limits.VIPs)
		}
	}
	for key, place := range state.Layout.Backends {
		if place.Index == 0 || place.Index > limits.Backends {
			return fmt.Errorf("backend %q: index %d is over the limit (limits.backends: %d)", key, place.Index, limits.Backends)
		}
	}
	for name, place := range state.Layout.Pools {
		table := state.Tables[name]
		if table == nil || uint32(len(table.Owners)) != place.Slots {
			return fmt.Errorf("pool %q: no slot table of %d slots", name, place.Slots)
		}
		if uint64(place.Base)+uint64(place.Slots) > uint64(limits.Slots) || place.Base%lb.SlotsPerLine != 0 {
			return fmt.Errorf("pool %q: slots %d to %d are over the limit (limits.slots: %d)",
				name, place.Base, place.Base+place.Slots, limits.Slots)
		}
		if place.Index >= limits.Pools() {
			return fmt.Errorf("pool %q: index %d is over the limit (limits.slots: %d)", name, place.Index, limits.Slots)
		}
	}
	return nil
}

// buildVIPs writes the VIP tables of the state's copy and returns its half of the root.
func (d *Dataplane) buildVIPs(state *lb.State) (rootCopy, error) {
	v4, v6 := state.VIPEntries()
	n4, n6 := lb.VIPBuckets(len(v4), int(bpfSizesVIP4WAYS)), lb.VIPBuckets(len(v6), int(bpfSizesVIP6WAYS))
	room4, room6 := len(d.tables.vip4.values)/2, len(d.tables.vip6.values)/2
	if n4 > room4 || n6 > room6 {
		return rootCopy{}, fmt.Errorf("%d IPv4 and %d IPv6 VIP entries: more than fit (limits.vips: %d)",
			len(v4), len(v6), d.options.Limits.VIPs)
	}
	var err error
	for attempt := range uint64(vipKeys) {
		key := (state.Publication*vipKeys + attempt + 1) * 0x9e3779b97f4a7c15
		var b4, b6 [][]lb.VIPEntry
		if b4, err = lb.PlaceVIPs(v4, key, n4, int(bpfSizesVIP4WAYS)); err != nil {
			continue
		}
		if b6, err = lb.PlaceVIPs(v6, key, n6, int(bpfSizesVIP6WAYS)); err != nil {
			continue
		}
		base4, base6 := int(state.Layout.Copy)*room4, int(state.Layout.Copy)*room6
		for i, bucket := range b4 {
			d.tables.vip4.values[base4+i] = vip4Entries(bucket)
		}
		for i, bucket := range b6 {
			d.tables.vip6.values[base6+i] = vip6Entries(bucket)
		}
		return rootCopy{
			VipKey:   key,
			Vip4Base: uint32(base4), Vip4Mask: uint32(n4 - 1),
			Vip6Base: uint32(base6), Vip6Mask: uint32(n6 - 1),
		}, nil
	}
	return rootCopy{}, err
}

// writeBackends writes the descriptors of new indexes. A descriptor that is live differs at most in its MAC.
func (d *Dataplane) writeBackends(state *lb.State) {
	live := map[uint32]bool{}
	if d.state != nil {
		for _, place := range d.state.Layout.Backends {
			live[place.Index] = true
		}
	}
	for key, place := range state.Layout.Backends {
		mac := state.Hops[place.Address].MAC
		if live[place.Index] {
			d.tables.storeMAC(place.Index, mac)
			atomic.StoreUint32(&d.tables.backends.values[place.Index].Dead, deadKnob(state.Dead(key)))
			continue
		}
		d.tables.backends.values[place.Index] = descriptor(place, d.egressNumber(place), mac)
		d.tables.backends.values[place.Index].Dead = deadKnob(state.Dead(key))
		for i := int(place.Index); i < len(d.tables.backendCounters.values); i += int(backendStride(d.options.Limits)) {
			d.tables.backendCounters.values[i] = bpfCounter{}
		}
	}
}

func deadKnob(dead bool) uint32 {
	if dead {
		return 1
	}
	return 0
}

// egressNumber is the number of the next hop's interface in descriptors, or why there is none.
func (d *Dataplane) egressNumber(place lb.BackendPlace) uint8 {
	hop := place.Hop
	if !hop.Routed() {
		return uint8(bpfSizesINTERFACE_NONE)
	}
	number, ok := d.tables.number(hop.Interface)
	if !ok || !slices.Contains(d.options.Interfaces, hop.Interface) {
		return uint8(bpfSizesINTERFACE_UNMANAGED)
	}
	if place.Encap == lb.EncapL2 && !hop.Direct {
		return uint8(bpfSizesINTERFACE_OFF_SEGMENT)
	}
	return number
}

// storeMAC replaces the destination of a live descriptor: one aligned store, which no packet reads in half.
func (t *tables) storeMAC(index uint32, mac lb.MAC) {
	word := &t.backends.values[index].Header[0]
	atomic.StoreUint64(word, macWord(atomic.LoadUint64(word), mac))
}

// SetMAC replaces the next hop's address in the descriptors of these indexes. It fails, and changes nothing, where an
// index is not live.
func (d *Dataplane) SetMAC(indexes []uint32, mac lb.MAC) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	live := map[uint32]bool{}
	if d.state != nil {
		for _, place := range d.state.Layout.Backends {
			live[place.Index] = true
		}
	}
	for _, index := range indexes {
		if !live[index] {
			return fmt.Errorf("setting MAC %s: no backend has index %d", mac, index)
		}
	}
	for _, index := range indexes {
		d.tables.storeMAC(index, mac)
	}
	return nil
}

// writePools writes the descriptors of the state's copy, and the slots of pools that lie where none was before.
func (d *Dataplane) writePools(state *lb.State) {
	base := state.Layout.Copy * d.options.Limits.Pools()
	for name, place := range state.Layout.Pools {
		d.tables.pools.values[base+place.Index] = bpfPool{Base: place.Base, Mask: place.Slots - 1}
		if d.state != nil && d.state.Layout.Pools[name].Base == place.Base && d.state.Layout.Pools[name].Slots == place.Slots {
			continue
		}
		words, previous := state.SlotWords(name)
		writeWords(d.tables.slots, place, words)
		writeWords(d.tables.previous, place, previous)
		writeWords(d.tables.stamps, place, make([]uint32, place.Slots))
	}
}

// writeWords writes one word for each slot of a pool.
func writeWords(to array[bpfSlotLine], place lb.PoolPlace, words []uint32) {
	for i := range place.Slots / lb.SlotsPerLine {
		to.values[place.Base/lb.SlotsPerLine+i].Word = [lb.SlotsPerLine]uint32(words[i*lb.SlotsPerLine:])
	}
}

// clearNewVIPs zeroes the counter lines that the live state does not use.
func (d *Dataplane) clearNewVIPs(state *lb.State) {
	live := map[uint32]bool{}
	if d.state != nil {
		for _, line := range d.state.Layout.VIPs {
			live[line] = true
		}
	}
	for _, line := range state.Layout.VIPs {
		if live[line] {
			continue
		}
		for i := int(line); i < len(d.tables.vipCounters.values); i += int(vipStride(d.options.Limits)) {
			d.tables.vipCounters.values[i] = bpfCounter{}
		}
	}
}
