package lb

import (
	"fmt"
	"net/netip"
)

// MaxSourceBits is the most bits of an outer source address that vary with the flow.
const MaxSourceBits = 32

// OuterSources are the prefixes that outer headers take their source from: the node setting encap_source. The address
// within the prefix follows from the flow, so that routers and NICs that hash outer addresses spread the flows. An
// invalid (zero) prefix leaves the egress interface's own address as source.
//
// The prefix must be routed to the node: ICMP errors about outer packets go there, and strict reverse path filters on the
// way ask for it.
type OuterSources struct {
	V4, V6 netip.Prefix
}

// Validate names what cannot be a source. The error speaks of "encap_source.v4" or "encap_source.v6".
func (s OuterSources) Validate() error {
	if s.V4.IsValid() {
		if err := validSource(s.V4, true, 8); err != nil {
			return fmt.Errorf("encap_source.v4: %w", err)
		}
	}
	if s.V6.IsValid() {
		if err := validSource(s.V6, false, 32); err != nil {
			return fmt.Errorf("encap_source.v6: %w", err)
		}
	}
	return nil
}

func validSource(p netip.Prefix, v4 bool, shortest int) error {
	a := p.Addr()
	switch {
	case a.Is4() != v4:
		return fmt.Errorf("prefix %q: is %s (use the other field)", p, familyName(a))
	case p != p.Masked():
		return fmt.Errorf("prefix %q: has host bits (write %q)", p, p.Masked())
	case p.Bits() < shortest:
		return fmt.Errorf("prefix %q: is shorter than /%d (use a part of it)", p, shortest)
	case addressFault(a) != "" || a.IsLinkLocalUnicast():
		return fmt.Errorf("prefix %q: not an address that a packet can come from (use a unicast prefix that is routed to this node)", p)
	}
	return nil
}

// Apply returns the hop with the source that its family's prefix says. A hop that is not routed stays so.
func (s OuterSources) Apply(h NextHop) NextHop {
	prefix := s.V4
	if h.Source.Is6() {
		prefix = s.V6
	}
	if !h.Routed() || !prefix.IsValid() {
		return h
	}
	h.Source = prefix.Addr()
	h.SourceBits = uint8(min(prefix.Addr().BitLen()-prefix.Bits(), MaxSourceBits))
	return h
}

// FlowSource is the outer source of a flow: Source with its lowest SourceBits from the hash, of which the slot takes
// other bits.
func (h NextHop) FlowSource(hash uint64) netip.Addr {
	if h.SourceBits == 0 {
		return h.Source
	}
	b := h.Source.AsSlice()
	mask := uint32(uint64(1)<<h.SourceBits - 1)
	low := b[len(b)-4:]
	bits := uint32(hash>>32) & mask
	for i := range low {
		low[i] |= byte(bits >> (8 * (3 - i)))
	}
	source, _ := netip.AddrFromSlice(b)
	return source
}
