package bench

import (
	"fmt"
	"net/netip"

	"github.com/sluice-lb/sluice/lb"
)

// Shape is the size of a made-up configuration.
type Shape struct {
	// VIPs is the number of VIPs of each kind, 1 to MaxVIPs; they use the pools of their family in turn.
	VIPs int
	// Pools is the number of pools of each family, 1 to MaxPools.
	Pools int
	// Backends is the number of backends in each pool, 1 to lb.MaxBackends.
	Backends int
}

// Bounds of Shape.
const (
	MaxVIPs  = 100_000
	MaxPools = 1000
)

func (s Shape) validate() error {
	for _, bound := range []struct {
		name       string
		value, max int
	}{{"vips", s.VIPs, MaxVIPs}, {"pools", s.Pools, MaxPools}, {"backends", s.Backends, lb.MaxBackends}} {
		if bound.value < 1 || bound.value > bound.max {
			return fmt.Errorf("%s %d: must be 1 to %d", bound.name, bound.value, bound.max)
		}
	}
	return nil
}

// Config makes a configuration with VIPs of the given kinds. VIPs have addresses for documentation (RFC 5737, RFC 3849),
// backends private ones.
func (s Shape) Config(kinds []Kind) (lb.Config, error) {
	if err := s.validate(); err != nil {
		return lb.Config{}, err
	}
	var c lb.Config
	pools := map[Family]bool{}
	for _, kind := range kinds {
		if !pools[kind.Family] {
			pools[kind.Family] = true
			for i := range s.Pools {
				c.Pools = append(c.Pools, s.pool(kind.Family, i))
			}
		}
		for i := range s.VIPs {
			c.VIPs = append(c.VIPs, s.vip(kind, i))
		}
	}
	return c.Normalize(), nil
}

func poolName(family Family, i int) string { return fmt.Sprintf("pool-v%s-%d", family, i) }

func (s Shape) pool(family Family, i int) lb.Pool {
	p := lb.Pool{Name: poolName(family, i)}
	for b := range s.Backends {
		p.Backends = append(p.Backends, lb.Backend{
			Name:    fmt.Sprintf("backend-%d", b),
			Address: backendAddress(family, i*s.Backends+b),
			Weight:  lb.DefaultWeight,
			Scale:   lb.ScaleOne,
		})
	}
	return p
}

// backendAddress is the n-th address from 10.1.0.0 or fd00:: on.
func backendAddress(family Family, n int) netip.Addr {
	if family == IPv4 {
		return netip.AddrFrom4([4]byte{10, byte(1 + n>>16), byte(n >> 8), byte(n)})
	}
	return netip.AddrFrom16([16]byte{0: 0xfd, 12: byte(1 + n>>24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)})
}

const (
	vipAddresses = 254
	firstVIPPort = 443
)

func (s Shape) vip(kind Kind, i int) lb.VIP {
	host, port := byte(1+i%vipAddresses), uint16(firstVIPPort+i/vipAddresses)
	address := netip.AddrFrom4([4]byte{198, 51, 100, host})
	if kind.Family == IPv6 {
		address = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0x51, 15: host})
	}
	return lb.VIP{
		Name:     fmt.Sprintf("vip-v%s-%s-%d", kind.Family, kind.Protocol, i),
		Address:  address,
		Protocol: kind.Protocol,
		Ports:    []uint16{port},
		Pool:     poolName(kind.Family, i%s.Pools),
	}
}

// Endpoints lists where clients may send to, by kind, in the order of the configuration.
func Endpoints(c lb.Config) map[Kind][]netip.AddrPort {
	out := map[Kind][]netip.AddrPort{}
	for _, v := range c.VIPs {
		kind := Kind{FamilyOf(v.Address), v.Protocol}
		for _, port := range v.Ports {
			out[kind] = append(out[kind], netip.AddrPortFrom(v.Address, port))
		}
	}
	return out
}

// limitsFor are the default limits, raised where the configuration needs more.
func limitsFor(c lb.Config) lb.Limits {
	entries, backends, slots := 0, 0, uint32(0)
	for _, v := range c.VIPs {
		entries += len(v.Ports) + 1 // one more for the address
	}
	for _, p := range c.Pools {
		backends += len(p.Backends)
		slots += p.SlotCount()
	}
	limits := lb.DefaultLimits
	limits.VIPs = max(limits.VIPs, roundUp(2*entries)) // twice: tables are never filled to the brim
	limits.Backends = max(limits.Backends, roundUp(backends+1))
	limits.Slots = max(limits.Slots, roundUp(int(slots)))
	return limits
}

// roundUp is the least power of two that is not below n.
func roundUp(n int) uint32 {
	p := uint32(1)
	for int(p) < n {
		p *= 2
	}
	return p
}
