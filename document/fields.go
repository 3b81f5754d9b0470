package document

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/lb"
)

// config reads the whole document.
func (r *reader) config(root *yaml.Node) lb.Config {
	var c lb.Config
	r.object("", root, []field{
		{"version", fmt.Sprintf("write \"version: %d\"", Version), r.version},
		{"pools", "", func(path string, n *yaml.Node) {
			r.list(path, n, func(path string, n *yaml.Node) { c.Pools = append(c.Pools, r.pool(path, n)) })
		}},
		{"vips", "", func(path string, n *yaml.Node) {
			r.list(path, n, func(path string, n *yaml.Node) { c.VIPs = append(c.VIPs, r.vip(path, n)) })
		}},
	})
	return c
}

func (r *reader) version(path string, n *yaml.Node) {
	if r.enter(path, n) && (n.Tag != "!!int" || n.Value != fmt.Sprint(Version)) {
		r.fault(n, path, "must be %d, the only version that this release reads", Version)
	}
}

func (r *reader) pool(path string, n *yaml.Node) lb.Pool {
	var p lb.Pool
	r.object(path, n, []field{
		{"name", "a name that is unique among pools", func(path string, n *yaml.Node) { p.Name, _ = r.text(path, n) }},
		{"encap", "", func(path string, n *yaml.Node) { p.Encap = word(r, path, n, lb.ParseEncap) }},
		{"slots", "", func(path string, n *yaml.Node) {
			slots, _ := r.integer(path, n, lb.MinSlots, lb.MaxSlots)
			p.Slots = uint32(slots)
		}},
		{"drain_max", "", func(path string, n *yaml.Node) { p.DrainMax = r.duration(path, n) }},
		{"drain_idle", "", func(path string, n *yaml.Node) { p.DrainIdle = r.duration(path, n) }},
		{"health", "", func(path string, n *yaml.Node) { p.Health = r.health(path, n) }},
		{"panic_threshold", "", func(path string, n *yaml.Node) { p.PanicThreshold = r.panicThreshold(path, n) }},
		{"backends", "", func(path string, n *yaml.Node) {
			r.list(path, n, func(path string, n *yaml.Node) { p.Backends = append(p.Backends, r.backend(path, n)) })
		}},
	})
	return p
}

func (r *reader) backend(path string, n *yaml.Node) lb.Backend {
	b := lb.Backend{Weight: lb.DefaultWeight, Scale: lb.ScaleOne}
	r.object(path, n, []field{
		{"name", "a name that is unique in the pool", func(path string, n *yaml.Node) { b.Name, _ = r.text(path, n) }},
		{"address", "an IPv4 or IPv6 address", func(path string, n *yaml.Node) { b.Address = r.address(path, n) }},
		{"weight", "", func(path string, n *yaml.Node) {
			weight, _ := r.integer(path, n, 0, lb.MaxWeight)
			b.Weight = uint32(weight)
		}},
		{"scale", "", func(path string, n *yaml.Node) { b.Scale = r.scale(path, n) }},
		{"admin", "", func(path string, n *yaml.Node) { b.Admin = word(r, path, n, lb.ParseAdmin) }},
		{"encap", "", func(path string, n *yaml.Node) { b.Encap = word(r, path, n, parseOverride) }},
	})
	return b
}

func parseOverride(s string) (lb.EncapOverride, error) {
	e, err := lb.ParseEncap(s)
	if err != nil {
		return 0, err
	}
	return lb.OverrideEncap(e), nil
}

func (r *reader) vip(path string, n *yaml.Node) lb.VIP {
	var v lb.VIP
	r.object(path, n, []field{
		{"name", "a name that is unique among VIPs", func(path string, n *yaml.Node) { v.Name, _ = r.text(path, n) }},
		{"address", "an IPv4 or IPv6 address", func(path string, n *yaml.Node) { v.Address = r.address(path, n) }},
		{"protocol", "tcp or udp", func(path string, n *yaml.Node) { v.Protocol = word(r, path, n, lb.ParseProtocol) }},
		{"ports", "a list such as [80, 443]", func(path string, n *yaml.Node) { v.Ports = r.ports(path, n) }},
		{"pool", "the name of a pool", func(path string, n *yaml.Node) { v.Pool, _ = r.text(path, n) }},
	})
	return v
}

func (r *reader) ports(path string, n *yaml.Node) []uint16 {
	var ports []uint16
	r.list(path, n, func(item string, n *yaml.Node) {
		port, ok := r.port(item, n)
		if !ok { // a zero in its place would be one more fault
			r.partial[path] = true
			return
		}
		ports = append(ports, port)
	})
	return ports
}
