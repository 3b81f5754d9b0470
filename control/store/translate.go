package store

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/sluice-lb/sluice/lb"
)

// formOf translates a state into its stored form. Everything is sorted, so equal states have equal bytes.
func formOf(s *lb.State) formState {
	f := formState{Publication: s.Publication, Revision: s.Revision}
	f.formConfig = formOfConfig(s.Config)
	for _, a := range slices.SortedFunc(maps.Keys(s.Hops), netip.Addr.Compare) {
		f.Hops = append(f.Hops, formOfHop(a, s.Hops[a]))
	}
	f.Changing = formOfChanging(s.Changing)
	for vip, moved := range s.Moved {
		if f.Moved == nil {
			f.Moved = map[string]formMoved{}
		}
		f.Moved[vip] = formMoved(moved)
	}
	for key, end := range s.Drained {
		if f.Drained == nil {
			f.Drained = map[string]uint8{}
		}
		f.Drained[key] = uint8(end)
	}
	for key, c := range s.Conditions {
		if f.Conditions == nil {
			f.Conditions = map[string]uint8{}
		}
		f.Conditions[key] = uint8(c)
	}
	f.Layout = formLayout{Copy: s.Layout.Copy, VIPs: s.Layout.VIPs,
		Pools: map[string]formPlace{}, Backends: map[string]formDescr{}}
	for name, p := range s.Layout.Pools {
		f.Layout.Pools[name] = formPlace(p)
	}
	for key, b := range s.Layout.Backends {
		f.Layout.Backends[key] = formDescr{b.Index, b.Encap.String(), formOfHop(b.Address, b.Hop)}
	}
	return f
}

func formOfConfig(c lb.Config) formConfig {
	var f formConfig
	for _, p := range c.Pools {
		f.Pools = append(f.Pools, formOfPool(p))
	}
	for _, v := range c.VIPs {
		f.VIPs = append(f.VIPs, formVIP{v.Name, v.Address, v.Protocol.String(), v.Ports, v.Pool})
	}
	return f
}

func formOfPool(p lb.Pool) formPool {
	f := formPool{
		Name: p.Name, Encap: p.Encap.String(), Slots: p.Slots, DrainMax: p.DrainMax, DrainIdle: p.DrainIdle,
		Health: formOfHealth(p.Health), Panic: int8(p.PanicThreshold),
	}
	for _, b := range p.Backends {
		f.Backends = append(f.Backends, formBackendOf(b))
	}
	return f
}

// formOfChanging groups slots by state: a drain is one state for hundreds of them.
func formOfChanging(changing map[string]lb.SlotStates) []formSlots {
	var out []formSlots
	for _, pool := range slices.Sorted(maps.Keys(changing)) {
		groups := map[lb.SlotState]int{}
		for _, slot := range slices.Sorted(maps.Keys(changing[pool])) {
			state := changing[pool][slot]
			i, ok := groups[state]
			if !ok {
				i = len(out)
				groups[state] = i
				out = append(out, formSlots{Pool: pool, Kind: uint8(state.Kind), Previous: state.Previous, Since: state.Since})
			}
			out[i].Slots = append(out[i].Slots, slot)
		}
	}
	return out
}

func changingOf(groups []formSlots) map[string]lb.SlotStates {
	out := map[string]lb.SlotStates{}
	for _, g := range groups {
		if out[g.Pool] == nil {
			out[g.Pool] = lb.SlotStates{}
		}
		for _, slot := range g.Slots {
			out[g.Pool][slot] = lb.SlotState{Kind: lb.SlotKind(g.Kind), Previous: g.Previous, Since: g.Since}
		}
	}
	return out
}

func formBackendOf(b lb.Backend) formBackend {
	f := formBackend{Name: b.Name, Address: b.Address, Weight: b.Weight, Scale: uint32(b.Scale), Encap: b.Encap.String()}
	if b.Admin != lb.AdminEnabled {
		f.Admin = b.Admin.String()
	}
	return f
}

func (f formBackend) backend() (lb.Backend, error) {
	b := lb.Backend{Name: f.Name, Address: f.Address, Weight: f.Weight, Scale: lb.Scale(f.Scale)}
	var err error
	if f.Admin != "" {
		if b.Admin, err = lb.ParseAdmin(f.Admin); err != nil {
			return b, err
		}
	}
	if f.Encap != "" {
		encap, err := lb.ParseEncap(f.Encap)
		if err != nil {
			return b, fmt.Errorf("backend %q: %w", f.Name, err)
		}
		b.Encap = lb.OverrideEncap(encap)
	}
	return b, nil
}

func formOfHop(address netip.Addr, h lb.NextHop) formHop {
	return formHop{address, h.Interface, formMAC(h.InterfaceMAC), h.Source, h.SourceBits, h.Direct, h.MTU, formMAC(h.MAC)}
}

func (f formHop) hop() lb.NextHop {
	return lb.NextHop{Interface: f.Interface, InterfaceMAC: lb.MAC(f.InterfaceMAC), Source: f.Source, SourceBits: f.SourceBits,
		Direct: f.Direct, MTU: f.MTU, MAC: lb.MAC(f.MAC)}
}

// state translates back. The tables are the caller's to build.
func (f formState) state() (*lb.State, error) {
	cfg, err := f.config()
	if err != nil {
		return nil, err
	}
	s := &lb.State{Publication: f.Publication, Revision: f.Revision, Config: cfg, Conditions: lb.Conditions{},
		Changing: changingOf(f.Changing), Drained: map[string]lb.DrainEnd{}, Moved: map[string]lb.MovedVIP{}}
	for vip, moved := range f.Moved {
		s.Moved[vip] = lb.MovedVIP(moved)
	}
	for key, end := range f.Drained {
		s.Drained[key] = lb.DrainEnd(end)
	}
	for key, c := range f.Conditions {
		s.Conditions[key] = lb.Condition(c)
	}
	s.Hops = lb.Hops{}
	for _, h := range f.Hops {
		s.Hops[h.Address] = h.hop()
	}
	layout, err := f.Layout.layout()
	s.Layout = layout
	return s, err
}

func (f formConfig) config() (lb.Config, error) {
	var c lb.Config
	for _, p := range f.Pools {
		pool, err := p.pool()
		if err != nil {
			return c, err
		}
		c.Pools = append(c.Pools, pool)
	}
	for _, v := range f.VIPs {
		protocol, err := lb.ParseProtocol(v.Protocol)
		if err != nil {
			return c, fmt.Errorf("vip %q: %w", v.Name, err)
		}
		c.VIPs = append(c.VIPs, lb.VIP{Name: v.Name, Address: v.Address, Protocol: protocol, Ports: v.Ports, Pool: v.Pool})
	}
	return c, nil
}

func (f formPool) pool() (lb.Pool, error) {
	encap, err := lb.ParseEncap(f.Encap)
	if err != nil {
		return lb.Pool{}, fmt.Errorf("pool %q: %w", f.Name, err)
	}
	p := lb.Pool{
		Name: f.Name, Encap: encap, Slots: f.Slots, DrainMax: f.DrainMax, DrainIdle: f.DrainIdle,
		PanicThreshold: lb.PanicThreshold(f.Panic),
	}
	if p.Health, err = f.Health.health(); err != nil {
		return lb.Pool{}, fmt.Errorf("pool %q: health: %w", f.Name, err)
	}
	for _, b := range f.Backends {
		backend, err := b.backend()
		if err != nil {
			return p, err
		}
		p.Backends = append(p.Backends, backend)
	}
	return p, nil
}

func (f formLayout) layout() (lb.Layout, error) {
	l := lb.Layout{Copy: f.Copy, VIPs: map[string]uint32{}, Pools: map[string]lb.PoolPlace{}, Backends: map[string]lb.BackendPlace{}}
	maps.Copy(l.VIPs, f.VIPs)
	for name, p := range f.Pools {
		l.Pools[name] = lb.PoolPlace(p)
	}
	for _, key := range slices.SortedFunc(maps.Keys(f.Backends), cmp.Compare[string]) {
		d := f.Backends[key]
		encap, err := lb.ParseEncap(d.Encap)
		if err != nil {
			return l, fmt.Errorf("backend %q: %w", key, err)
		}
		l.Backends[key] = lb.BackendPlace{Index: d.Index, Address: d.Hop.Address, Encap: encap, Hop: d.Hop.hop()}
	}
	return l, nil
}
