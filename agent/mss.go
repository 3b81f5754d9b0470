package agent

import (
	"math"
	"net/netip"
	"slices"
)

// Bytes of headers without options. TCP options are the sender's to subtract (RFC 6691).
const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	// minMSS is what every IPv4 host takes (RFC 879): a smaller clamp is a mistake.
	minMSS = 536
)

// outerHeader is the size of the largest outer header that may come from these sources: a reply does not know which of them
// its connection's packets come from. There is none without sources.
func outerHeader(from []netip.Prefix) int {
	switch {
	case slices.ContainsFunc(from, func(p netip.Prefix) bool { return p.Addr().Is6() }):
		return ipv6Header
	case len(from) > 0:
		return ipv4Header
	}
	return 0
}

// limits are the largest MSS for each family of VIPs that fits mtu bytes, the smallest MTU of the agent's interfaces,
// behind an outer header of that size.
func (m MSSClamp) limits(mtu, outer int) bpfMssLimits {
	if m.off {
		return bpfMssLimits{}
	}
	if m.fixed != 0 {
		return bpfMssLimits{MssV4: m.fixed, MssV6: m.fixed}
	}
	fit := func(inner int) uint16 { return uint16(min(max(mtu-outer-inner-tcpHeader, minMSS), math.MaxUint16)) }
	return bpfMssLimits{MssV4: fit(ipv4Header), MssV6: fit(ipv6Header)}
}
