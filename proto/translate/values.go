package translate

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// ProtocolToProto translates a protocol; one that lb does not know becomes PROTOCOL_UNSPECIFIED.
func ProtocolToProto(p lb.Protocol) sluicev1.Protocol {
	switch p {
	case lb.TCP:
		return sluicev1.Protocol_PROTOCOL_TCP
	case lb.UDP:
		return sluicev1.Protocol_PROTOCOL_UDP
	}
	return sluicev1.Protocol_PROTOCOL_UNSPECIFIED
}

// EncapToProto translates an encap; one that lb does not know becomes ENCAP_UNSPECIFIED.
func EncapToProto(e lb.Encap) sluicev1.Encap {
	switch e {
	case lb.EncapIPIP:
		return sluicev1.Encap_ENCAP_IPIP
	case lb.EncapL2:
		return sluicev1.Encap_ENCAP_L2
	}
	return sluicev1.Encap_ENCAP_UNSPECIFIED
}

// PortsToProto prints ports as the wire's text.
func PortsToProto(ports []uint16) []string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = strconv.Itoa(int(p))
	}
	return out
}

// ScaleToProto is the factor that s stands for.
func ScaleToProto(s lb.Scale) float64 { return float64(s) / float64(lb.ScaleOne) }

func (f *faults) protocol(path string, p sluicev1.Protocol) lb.Protocol {
	switch p {
	case sluicev1.Protocol_PROTOCOL_TCP:
		return lb.TCP
	case sluicev1.Protocol_PROTOCOL_UDP:
		return lb.UDP
	case sluicev1.Protocol_PROTOCOL_UNSPECIFIED:
		f.add(path, "required (tcp or udp)")
	default:
		f.add(path, "protocol %d is unknown (use tcp or udp)", p)
	}
	return 0
}

func (f *faults) encap(path string, e sluicev1.Encap) lb.Encap {
	switch e {
	case sluicev1.Encap_ENCAP_UNSPECIFIED, sluicev1.Encap_ENCAP_IPIP:
	case sluicev1.Encap_ENCAP_L2:
		return lb.EncapL2
	default:
		f.add(path, "encap %d is unknown (use ipip or l2)", e)
	}
	return lb.EncapIPIP
}

func (f *faults) override(path string, e sluicev1.Encap) lb.EncapOverride {
	if e == sluicev1.Encap_ENCAP_UNSPECIFIED {
		return 0
	}
	return lb.OverrideEncap(f.encap(path, e))
}

func (f *faults) address(path, text string) netip.Addr {
	if text == "" {
		f.add(path, "required (an IPv4 or IPv6 address)")
		return netip.Addr{}
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		f.add(path, "%q is not an IPv4 or IPv6 address", text)
	}
	return address
}

func (f *faults) port(path, text string) uint16 {
	n, err := strconv.ParseUint(text, 10, 16)
	switch {
	case err == nil && n > 0:
		return uint16(n)
	case text == "any", strings.Contains(text, "-"):
		f.add(path, "port %q: ranges and any are not in this release (list each port)", text)
	default:
		f.add(path, "port %q: must be 1 to 65535", text)
	}
	return 0
}

// scale accepts what is within a millionth of a whole number of thousandths: 0.1 has no exact binary form.
func (f *faults) scale(path string, factor float64) lb.Scale {
	thousandths := factor * float64(lb.ScaleOne)
	rounded := math.Round(thousandths)
	switch {
	case !(factor >= 0 && rounded <= float64(lb.MaxScale)): // also refuses NaN
		f.add(path, "scale %v: must be 0 to %d", factor, lb.MaxScale/lb.ScaleOne)
		return lb.ScaleOne
	case math.Abs(thousandths-rounded) > 1e-6:
		f.add(path, "scale %v: must have at most three decimals", factor)
		return lb.ScaleOne
	}
	return lb.Scale(rounded)
}
