package agent

import "math"

// Bytes in front of the TCP payload of a packet that the load balancer encapsulated, IPv4 in IPv4 and IPv6 in IPv6.
// TCP options are the sender's to subtract (RFC 6691).
const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	overheadV4 = ipv4Header + ipv4Header + tcpHeader
	overheadV6 = ipv6Header + ipv6Header + tcpHeader
	// minMSS is what every IPv4 host takes (RFC 879): a smaller clamp is a mistake.
	minMSS = 536
)

// limits are the largest MSS for each family that fits mtu bytes, the smallest MTU of the agent's interfaces.
func (m MSSClamp) limits(mtu int) bpfMssLimits {
	if m.off {
		return bpfMssLimits{}
	}
	if m.fixed != 0 {
		return bpfMssLimits{MssV4: m.fixed, MssV6: m.fixed}
	}
	fit := func(overhead int) uint16 { return uint16(min(max(mtu-overhead, minMSS), math.MaxUint16)) }
	return bpfMssLimits{MssV4: fit(overheadV4), MssV6: fit(overheadV6)}
}
