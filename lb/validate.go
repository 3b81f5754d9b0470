package lb

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Violation is one fault of a configuration.
type Violation struct {
	// Path leads to the value, such as "pools[0].backends[1].address"; indexes count as in the document, from 0.
	Path string
	// Message names the object, the value and, in parentheses, the remedy.
	Message string
}

// Violations are all faults of one configuration: names first, then pools, VIPs, what they share, and sizes; each in the
// document's order.
type Violations []Violation

// Error has one line "path: message" for each fault.
func (vs Violations) Error() string {
	lines := make([]string, len(vs))
	for i, v := range vs {
		lines[i] = v.Path + ": " + v.Message
	}
	return strings.Join(lines, "\n")
}

// ValidName tells whether s can name a VIP, pool or backend: [a-z0-9]([a-z0-9.-]{0,62}).
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// Validate finds every reason why c cannot be published on a node with these limits. The error is nil or Violations. c
// need not be normalized.
func (c Config) Validate(limits Limits) error {
	v := validator{config: c, limits: limits, pools: make(map[string]Pool, len(c.Pools))}
	for _, p := range c.Pools {
		v.pools[p.Name] = p
	}
	v.names()
	for i := range c.Pools {
		v.pool(i)
	}
	for i := range c.VIPs {
		v.vip(i)
	}
	v.collisions()
	v.vipsAsBackends()
	v.sizes()
	if len(v.found) == 0 {
		return nil
	}
	return v.found
}

// validator collects violations.
type validator struct {
	config Config
	limits Limits
	pools  map[string]Pool
	found  Violations
}

func (v *validator) add(path, format string, args ...any) {
	v.found = append(v.found, Violation{Path: path, Message: fmt.Sprintf(format, args...)})
}

// names checks the names of pools, backends and VIPs.
func (v *validator) names() {
	pools := newNameSpace(v, "pool")
	for i, p := range v.config.Pools {
		pools.claim(fmt.Sprintf("pools[%d].name", i), p.Name)
		backends := newNameSpace(v, fmt.Sprintf("pool %q: backend", p.Name))
		for j, b := range p.Backends {
			backends.claim(fmt.Sprintf("pools[%d].backends[%d].name", i, j), b.Name)
		}
	}
	vips := newNameSpace(v, "vip")
	for i, vip := range v.config.VIPs {
		vips.claim(fmt.Sprintf("vips[%d].name", i), vip.Name)
	}
}

// nameSpace finds names that are taken twice.
type nameSpace struct {
	v     *validator
	kind  string
	taken map[string]string
}

func newNameSpace(v *validator, kind string) *nameSpace {
	return &nameSpace{v: v, kind: kind, taken: map[string]string{}}
}

func (n *nameSpace) claim(path, name string) {
	if !ValidName(name) {
		n.v.add(path, "%s name %q is not valid (use 1 to 63 of a-z, 0-9, '.' and '-', the first a letter or digit)", n.kind, name)
		return
	}
	if first, ok := n.taken[name]; ok {
		n.v.add(path, "%s %q exists already at %s (rename or remove one)", n.kind, name, strings.TrimSuffix(first, ".name"))
		return
	}
	n.taken[name] = path
}

// pool checks everything of one pool but its name.
func (v *validator) pool(i int) {
	p := v.config.Pools[i]
	path := fmt.Sprintf("pools[%d]", i)
	if !slices.Contains(Encaps, p.Encap) {
		v.add(path+".encap", "pool %q: %s is not known (use ipip or l2)", p.Name, p.Encap)
	}
	if len(p.Backends) > MaxBackends {
		v.add(path+".backends", "pool %q has %d backends, a pool takes at most %d (split the pool)", p.Name, len(p.Backends), MaxBackends)
	}
	v.slots(path+".slots", p)
	v.drain(path+".drain_max", p, p.DrainMax)
	v.drain(path+".drain_idle", p, p.DrainIdle)
	v.health(path, p)
	byAddress := map[netip.Addr]string{}
	for j, b := range p.Backends {
		at := fmt.Sprintf("%s.backends[%d]", path, j)
		who := fmt.Sprintf("backend %q of pool %q", b.Name, p.Name)
		if fault := addressFault(b.Address); fault != "" {
			v.add(at+".address", "%s: %s", who, fault)
		} else if other, ok := byAddress[b.Address]; ok {
			v.add(at+".address", "%s has the address %s of backend %q (remove one; use weight for a larger share)", who, b.Address, other)
		} else {
			byAddress[b.Address] = b.Name
		}
		if b.Weight > MaxWeight {
			v.add(at+".weight", "%s: weight %d is out of range (use 0 to %d)", who, b.Weight, MaxWeight)
		}
		if own, ok := b.Encap.Get(); ok && !slices.Contains(Encaps, own) {
			v.add(at+".encap", "%s: %s is not known (use ipip or l2, or leave it out)", who, own)
		}
		if b.Scale > MaxScale {
			v.add(at+".scale", "%s: scale %s is out of range (use 0 to %s)", who, formatScale(b.Scale), formatScale(MaxScale))
		}
	}
}

// slots checks the size of a pool's slot table.
func (v *validator) slots(path string, p Pool) {
	n := p.Slots
	switch {
	case n == 0:
	case n < MinSlots || n > MaxSlots || bits.OnesCount32(n) != 1:
		v.add(path, "pool %q: slots %d must be a power of two from %d to %d (or leave it out)", p.Name, n, MinSlots, MaxSlots)
	case uint64(n) < uint64(len(p.Backends)):
		v.add(path, "pool %q: slots %d is less than its %d backends (use %d, or leave it out)",
			p.Name, n, len(p.Backends), Pool{Backends: p.Backends}.SlotCount())
	}
}

// addressFault says why a is not the address of a VIP or a backend; empty if it can be.
func addressFault(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "address is missing or not valid (use an IPv4 or IPv6 address)"
	case a.Is4In6():
		return fmt.Sprintf("address %s is IPv4 in IPv6 form (use %s)", a, a.Unmap().WithZone(""))
	case a.Zone() != "":
		return fmt.Sprintf("address %s has a zone (use an address that is not link-local)", a)
	case a.IsUnspecified():
		return fmt.Sprintf("address %s is unspecified (use a unicast address)", a)
	case a.IsLoopback():
		return fmt.Sprintf("address %s is a loopback address (use one that other hosts reach)", a)
	case a.IsMulticast():
		return fmt.Sprintf("address %s is multicast (use a unicast address)", a)
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Sprintf("address %s is broadcast (use a unicast address)", a)
	}
	return ""
}

// vip checks everything of one VIP but its name and what it shares with others.
func (v *validator) vip(i int) {
	vip := v.config.VIPs[i]
	path := fmt.Sprintf("vips[%d]", i)
	if fault := addressFault(vip.Address); fault != "" {
		v.add(path+".address", "vip %q: %s", vip.Name, fault)
	}
	if !slices.Contains(Protocols, vip.Protocol) {
		v.add(path+".protocol", "vip %q: %s is not known (use tcp or udp)", vip.Name, vip.Protocol)
	}
	if len(vip.Ports) == 0 {
		v.add(path+".ports", "vip %q has no ports (name at least one from 1 to 65535)", vip.Name)
	}
	seen := map[uint16]bool{}
	for k, port := range vip.Ports {
		at := fmt.Sprintf("%s.ports[%d]", path, k)
		if port == 0 {
			v.add(at, "vip %q: port 0 is out of range (use 1 to 65535)", vip.Name)
		} else if seen[port] {
			v.add(at, "vip %q names port %d twice (remove one)", vip.Name, port)
		}
		seen[port] = true
	}
	if _, ok := v.pools[vip.Pool]; !ok {
		v.add(path+".pool", "vip %q: pool %q does not exist%s", vip.Name, vip.Pool, v.suggestPool(vip.Pool))
	}
}

func familyName(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// collisions finds VIPs that claim the same address, protocol and port.
func (v *validator) collisions() {
	type triple struct {
		address  netip.Addr
		protocol Protocol
		port     uint16
	}
	owner := map[triple]int{}
	for i, vip := range v.config.VIPs {
		for k, port := range vip.Ports {
			key := triple{vip.Address, vip.Protocol, port}
			first, taken := owner[key]
			switch {
			case !taken:
				owner[key] = i
			case first != i: // twice in one VIP is reported by vip
				v.add(fmt.Sprintf("vips[%d].ports[%d]", i, k), "vips %q and %q both claim %s %s (change the port of one)",
					v.config.VIPs[first].Name, vip.Name, vip.Protocol, netip.AddrPortFrom(vip.Address, port))
			}
		}
	}
}

// vipsAsBackends refuses backends whose address is a VIP: their packets would come back to a load balancer for ever.
func (v *validator) vipsAsBackends() {
	vips := map[netip.Addr]string{}
	for _, vip := range v.config.VIPs {
		if _, ok := vips[vip.Address]; !ok && vip.Address.IsValid() {
			vips[vip.Address] = vip.Name
		}
	}
	for i, p := range v.config.Pools {
		for j, b := range p.Backends {
			if name, ok := vips[b.Address]; ok {
				v.add(fmt.Sprintf("pools[%d].backends[%d].address", i, j),
					"backend %q of pool %q has the address %s of vip %q (use the address of the server itself)", b.Name, p.Name, b.Address, name)
			}
		}
	}
}

// drain checks a duration of a pool; 0 is its default.
func (v *validator) drain(path string, p Pool, d time.Duration) {
	if d != 0 && (d < MinDrain || d > MaxDrain) {
		v.add(path, "pool %q: %s is out of range (use %s to %s)", p.Name, d, MinDrain, MaxDrain)
	}
}

// sizes compares what is configured with the node's limits.
func (v *validator) sizes() {
	var backends, slots uint64
	for _, p := range v.config.Pools {
		backends += uint64(len(p.Backends))
		slots += uint64(p.SlotCount())
	}
	v4, v6 := vipEntries(v.config.VIPs)
	v.limit("vips", uint64(len(v.config.VIPs)), uint64(v.limits.VIPs), "VIPs", "vips", v.limits.VIPs)
	v.limit("vips", uint64(v4), uint64(v.limits.VIPEntries()), "IPv4 entries, one for each port of a VIP and one for each address", "vips", v.limits.VIPs)
	v.limit("vips", uint64(v6), uint64(v.limits.VIPEntries()), "IPv6 entries, one for each port of a VIP and one for each address", "vips", v.limits.VIPs)
	v.limit("pools", backends, uint64(v.limits.Backends), "backends", "backends", v.limits.Backends)
	v.limit("pools", slots, uint64(v.limits.Slots), "slots", "slots", v.limits.Slots)
}

func (v *validator) limit(path string, used, room uint64, what, setting string, configured uint32) {
	if used > room {
		v.add(path, "%d %s, but the node setting limits.%s is %d and has room for %d (raise limits.%s)", used, what, setting, configured, room, setting)
	}
}

// Warnings lists what an operator should know of a valid configuration, sorted by pool.
func (c Config) Warnings() []string {
	var out []string
	used := map[string]bool{}
	for _, vip := range c.VIPs {
		used[vip.Pool] = true
	}
	for _, p := range c.Normalize().Pools {
		out = append(out, p.warnings()...)
		if !used[p.Name] {
			out = append(out, fmt.Sprintf("pool %q: no vip uses it", p.Name))
		}
	}
	return out
}

func (p Pool) warnings() []string {
	if len(p.Backends) == 0 {
		return []string{fmt.Sprintf("pool %q has no backends: packets to its vips are dropped", p.Name)}
	}
	var out []string
	if !slices.ContainsFunc(p.Backends, func(b Backend) bool { return b.EffectiveWeight() > 0 }) {
		out = append(out, fmt.Sprintf("pool %q: the weights of all %d backends are 0: packets to its vips are dropped", p.Name, len(p.Backends)))
	}
	if want := uint64(len(p.Backends)) * SlotsPerBackend; uint64(p.SlotCount()) < want {
		out = append(out, fmt.Sprintf("pool %q: %d slots for %d backends are fewer than %d each: shares will be uneven (use %d slots, or leave slots out)",
			p.Name, p.SlotCount(), len(p.Backends), SlotsPerBackend, Pool{Backends: p.Backends}.SlotCount()))
	}
	return out
}

// suggestPool is the remedy for a pool that does not exist.
func (v *validator) suggestPool(name string) string {
	best, distance := "", 3
	for _, p := range v.config.Pools {
		if d := editDistance(name, p.Name); d < distance && d < len(name) {
			best, distance = p.Name, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf(" (did you mean %q?)", best)
	case len(v.config.Pools) == 0:
		return " (there are no pools: create it first)"
	}
	return " (create it, or name one that exists)"
}

// editDistance counts the insertions, deletions and replacements between two names (Levenshtein). Names too long or too
// different in length to be a typing error are as far apart as they are long.
func editDistance(a, b string) int {
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 || len(a) > 63 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
