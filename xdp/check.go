package xdp

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/sluice-lb/sluice/lb"
)

// Check compares the maps with a state, which must be the one that is live, word by word. The link-layer addresses of
// next hops are not compared: they change without a publication. It returns every kind of difference, joined.
func (d *Dataplane) Check(state *lb.State) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.checkLocked(state)
}

func (d *Dataplane) checkLocked(state *lb.State) error {
	if want, got := state.Publication<<1|uint64(state.Layout.Copy), d.tables.selected(); want != got {
		return fmt.Errorf("root: publication %d, copy %d, expected %d, %d", got>>1, got&1, want>>1, want&1)
	}
	if err := d.fitsLimits(state); err != nil {
		return err
	}
	return errors.Join(d.checkVIPs(state), d.checkPools(state), d.checkBackends(state))
}

func (d *Dataplane) checkVIPs(state *lb.State) error {
	half := d.tables.root.values[0].Copy[state.Layout.Copy]
	if int(half.Vip4Base)+int(half.Vip4Mask) >= len(d.tables.vip4.values) ||
		int(half.Vip6Base)+int(half.Vip6Mask) >= len(d.tables.vip6.values) {
		return errors.New("root: a VIP table lies outside its map")
	}
	v4, v6 := state.VIPEntries()
	b4, err4 := lb.PlaceVIPs(v4, half.VipKey, int(half.Vip4Mask)+1, int(bpfSizesVIP4WAYS))
	b6, err6 := lb.PlaceVIPs(v6, half.VipKey, int(half.Vip6Mask)+1, int(bpfSizesVIP6WAYS))
	if err := errors.Join(err4, err6); err != nil {
		return err
	}
	for i, bucket := range b4 {
		if d.tables.vip4.values[int(half.Vip4Base)+i] != vip4Entries(bucket) {
			return fmt.Errorf("vip4: bucket %d differs", int(half.Vip4Base)+i)
		}
	}
	for i, bucket := range b6 {
		if d.tables.vip6.values[int(half.Vip6Base)+i] != vip6Entries(bucket) {
			return fmt.Errorf("vip6: bucket %d differs", int(half.Vip6Base)+i)
		}
	}
	return nil
}

func (d *Dataplane) checkPools(state *lb.State) error {
	base := d.tables.root.values[0].Copy[state.Layout.Copy].PoolBase
	if base != state.Layout.Copy*d.options.Limits.Pools() {
		return fmt.Errorf("root: pool descriptors begin at %d", base)
	}
	for name, place := range state.Layout.Pools {
		if got := d.tables.pools.values[base+place.Index]; got != (bpfPool{Base: place.Base, Mask: place.Slots - 1}) {
			return fmt.Errorf("pool %q: descriptor is base %d, mask %d", name, got.Base, got.Mask)
		}
		words, previous := state.SlotWords(name)
		if err := errors.Join(checkWords("slot", d.tables.slots, place, words),
			checkWords("previous owner of slot", d.tables.previous, place, previous)); err != nil {
			return fmt.Errorf("pool %q: %w", name, err)
		}
	}
	return nil
}

// checkWords compares one word for each slot of a pool.
func checkWords(what string, got array[bpfSlotLine], place lb.PoolPlace, words []uint32) error {
	for i, want := range words {
		slot := place.Base + uint32(i)
		if word := got.values[slot/lb.SlotsPerLine].Word[slot%lb.SlotsPerLine]; word != want {
			return fmt.Errorf("%s %d is %#x, expected %#x", what, i, word, want)
		}
	}
	return nil
}

func (d *Dataplane) checkBackends(state *lb.State) error {
	for key, place := range state.Layout.Backends {
		got := d.tables.backends.values[place.Index]
		want := descriptor(place, d.egressNumber(place), lb.MAC{})
		want.Dead = deadKnob(state.Dead(key))
		got.Header[0] = macWord(got.Header[0], lb.MAC{})
		// An interface that is newly managed or no longer is differs until the next publication.
		got.Interface = want.Interface
		if got != want {
			return fmt.Errorf("backend %q: descriptor %d differs", key, place.Index)
		}
	}
	return nil
}

// MACs returns the link-layer address in the descriptor of every backend of the live state, by lb.BackendKey.
func (d *Dataplane) MACs() map[string]lb.MAC {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]lb.MAC{}
	if d.state == nil {
		return out
	}
	for key, place := range d.state.Layout.Backends {
		out[key] = d.tables.mac(place.Index)
	}
	return out
}

// mac is the link-layer address in a descriptor.
func (t *tables) mac(index uint32) lb.MAC {
	word := atomic.LoadUint64(&t.backends.values[index].Header[0])
	var mac lb.MAC
	for i := range mac {
		mac[i] = byte(word >> (8 * i))
	}
	return mac
}
