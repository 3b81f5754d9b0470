package lb

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Config is what an operator configures: the declarative document, without its surface syntax. The zero value is the
// empty configuration, which is valid.
type Config struct {
	Pools []Pool
	VIPs  []VIP
}

// VIP is an address, a protocol and the ports that clients dial.
type VIP struct {
	// Name is unique among VIPs; see ValidName.
	Name string
	// Address is a unicast IPv4 or IPv6 address.
	Address netip.Addr
	// Protocol is TCP or UDP.
	Protocol Protocol
	// Ports are 1 to 65535, ascending after Normalize, at least one.
	Ports []uint16
	// Pool names the pool that answers.
	Pool string
}

// Pool is a named set of backends with one slot table, shared by any number of VIPs.
type Pool struct {
	// Name is unique among pools; see ValidName.
	Name string
	// Encap is how packets travel to the pool's backends; the zero value is EncapIPIP.
	Encap Encap
	// Slots is the size of the slot table, a power of two from MinSlots to MaxSlots. 0 chooses the smallest that gives
	// every configured backend SlotsPerBackend slots.
	Slots uint32
	// DrainMax is how long a slot keeps the flows of its previous owner at most, MinDrain to MaxDrain; 0 means
	// DefaultDrainMax.
	DrainMax time.Duration
	// DrainIdle is after how much silence the flows that a slot's previous owner may still have are taken for gone,
	// MinDrain to MaxDrain; 0 means DefaultDrainIdle.
	DrainIdle time.Duration
	// Backends may be empty: every packet then ends as VerdictNoBackend.
	Backends []Backend
	// Health is how the backends are checked; the zero value checks nothing.
	Health Health
	// PanicThreshold is how few backends may be up before health is ignored.
	PanicThreshold PanicThreshold
}

// Backend is one real server.
type Backend struct {
	// Name is unique in its pool; see ValidName.
	Name string
	// Address is where the outer header goes; unique in its pool.
	Address netip.Addr
	// Weight is the nominal share of slots, 0 to MaxWeight; 0 takes no new flows.
	Weight uint32
	// Scale multiplies the weight without touching the base table.
	Scale Scale
	// Encap overrides the pool's; the zero value does not.
	Encap EncapOverride
	// Admin is what an operator ordered; the zero value is AdminEnabled.
	Admin Admin
}

// Limits of configured values.
const (
	// DefaultWeight is the weight of a backend whose document names none.
	DefaultWeight = 100
	// MaxWeight bounds Backend.Weight.
	MaxWeight = 65535
	// SlotsPerBackend is the least number of slots per configured backend that keeps max/avg near 1.01.
	SlotsPerBackend = 256
	// MinSlots and MaxSlots bound Pool.Slots.
	MinSlots = 1 << 10
	MaxSlots = 1 << 18
	// MaxBackends bounds the backends of one pool: MaxSlots / SlotsPerBackend.
	MaxBackends = MaxSlots / SlotsPerBackend
)

// Scale is a factor in thousandths, 0 to MaxScale. ScaleOne leaves a weight as it is.
type Scale uint32

const (
	// ScaleOne is the factor 1.
	ScaleOne Scale = 1000
	// MaxScale is the factor 100.
	MaxScale Scale = 100 * ScaleOne
)

// EffectiveWeight is Weight times Scale, rounded to the nearest integer. A product above zero never rounds to zero.
func (b Backend) EffectiveWeight() uint32 {
	product := uint64(b.Weight) * uint64(b.Scale)
	rounded := (product + uint64(ScaleOne)/2) / uint64(ScaleOne)
	if product > 0 && rounded == 0 {
		return 1
	}
	return uint32(rounded)
}

// SlotCount is the size of the pool's slot table: Slots, or the default for the number of configured backends.
func (p Pool) SlotCount() uint32 {
	if p.Slots != 0 {
		return p.Slots
	}
	n := uint32(MinSlots)
	for n < uint32(len(p.Backends))*SlotsPerBackend && n < MaxSlots {
		n *= 2
	}
	return n
}

// Backend finds a backend by name.
func (p Pool) Backend(name string) (Backend, bool) {
	i := slices.IndexFunc(p.Backends, func(b Backend) bool { return b.Name == name })
	if i < 0 {
		return Backend{}, false
	}
	return p.Backends[i], true
}

// Pool finds a pool by name.
func (c Config) Pool(name string) (Pool, bool) {
	i := slices.IndexFunc(c.Pools, func(p Pool) bool { return p.Name == name })
	if i < 0 {
		return Pool{}, false
	}
	return c.Pools[i], true
}

// VIP finds a VIP by name.
func (c Config) VIP(name string) (VIP, bool) {
	i := slices.IndexFunc(c.VIPs, func(v VIP) bool { return v.Name == name })
	if i < 0 {
		return VIP{}, false
	}
	return c.VIPs[i], true
}

// Normalize returns a deep copy in canonical form: pools, backends and VIPs sorted by name, ports ascending, health
// checks with their defaults. Two configurations that mean the same are equal after it (reflect.DeepEqual).
func (c Config) Normalize() Config {
	out := Config{Pools: slices.Clone(c.Pools), VIPs: slices.Clone(c.VIPs)}
	for i := range out.Pools {
		p := &out.Pools[i]
		p.Backends = slices.Clone(p.Backends)
		p.Health = p.Health.WithDefaults()
		slices.SortStableFunc(p.Backends, func(a, b Backend) int { return strings.Compare(a.Name, b.Name) })
	}
	for i := range out.VIPs {
		v := &out.VIPs[i]
		v.Ports = slices.Clone(v.Ports)
		slices.Sort(v.Ports)
	}
	slices.SortStableFunc(out.Pools, func(a, b Pool) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(out.VIPs, func(a, b VIP) int { return strings.Compare(a.Name, b.Name) })
	return out
}
