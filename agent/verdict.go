package agent

import "fmt"

// Verdict is what became of one packet in one of the agent's two programs. The values are those of enum verdict in
// bpf/types.h.
type Verdict uint32

// Every packet ends in exactly one of these.
const (
	VerdictDecapsulatedV4      = Verdict(bpfVerdictVERDICT_DECAPSULATED_V4)
	VerdictDecapsulatedV6      = Verdict(bpfVerdictVERDICT_DECAPSULATED_V6)
	VerdictRefusedSource       = Verdict(bpfVerdictVERDICT_REFUSED_SOURCE)
	VerdictCEDropped           = Verdict(bpfVerdictVERDICT_CE_DROPPED)
	VerdictMalformed           = Verdict(bpfVerdictVERDICT_MALFORMED)
	VerdictDecapFailed         = Verdict(bpfVerdictVERDICT_DECAP_FAILED)
	VerdictPassNotEncapsulated = Verdict(bpfVerdictVERDICT_PASS_NOT_ENCAPSULATED)
	VerdictPassOuterFragment   = Verdict(bpfVerdictVERDICT_PASS_OUTER_FRAGMENT)
	VerdictPassUnreadable      = Verdict(bpfVerdictVERDICT_PASS_UNREADABLE)
	VerdictPassNotVIP          = Verdict(bpfVerdictVERDICT_PASS_NOT_VIP)
	VerdictPassEgress          = Verdict(bpfVerdictVERDICT_PASS_EGRESS)
	VerdictMSSKept             = Verdict(bpfVerdictVERDICT_MSS_KEPT)
	VerdictMSSClamped          = Verdict(bpfVerdictVERDICT_MSS_CLAMPED)
	VerdictMSSFailed           = Verdict(bpfVerdictVERDICT_MSS_FAILED)
	VerdictDecapsulatedV6InV4  = Verdict(bpfVerdictVERDICT_DECAPSULATED_V6IN_V4)
	VerdictDecapsulatedV4InV6  = Verdict(bpfVerdictVERDICT_DECAPSULATED_V4IN_V6)
	// VerdictCount is one more than the last verdict; zero is none either.
	VerdictCount = Verdict(bpfVerdictVERDICT_COUNT)
)

// VerdictInfo describes one verdict.
type VerdictInfo struct {
	// Name is what commands print.
	Name string
	// Drop says that the packet ends here. All others go on, to the next program of the hook or to the host.
	Drop bool
	// Help is one sentence for an operator.
	Help string
}

var verdicts = [VerdictCount]VerdictInfo{
	bpfVerdictVERDICT_NEXT:     {"next", true, "Not final; a packet that ends here is a bug in the program."},
	VerdictDecapsulatedV4:      {"decapsulated_v4", false, "IPv4 in IPv4 to a VIP: the outer header was taken off."},
	VerdictDecapsulatedV6:      {"decapsulated_v6", false, "IPv6 in IPv6 to a VIP: the outer header was taken off."},
	VerdictRefusedSource:       {"refused_source", true, "To a VIP, but the outer source is in no --from prefix."},
	VerdictCEDropped:           {"ce_dropped", true, "Congestion was marked outside, and the sender inside does not understand the mark (RFC 6040)."},
	VerdictMalformed:           {"malformed", true, "To a VIP, but the lengths contradict each other or the frame."},
	VerdictDecapFailed:         {"decap_failed", true, "To a VIP, but the kernel could not take the outer header off: no memory, or a bug."},
	VerdictPassNotEncapsulated: {"pass_not_encapsulated", false, "Anything but IPv4 or IPv6 in a plain IPv4 or IPv6 header."},
	VerdictPassOuterFragment:   {"pass_outer_fragment", false, "A fragment of an outer packet: the MTU between load balancer and backend is too small."},
	VerdictPassUnreadable:      {"pass_unreadable", false, "An outer header with less than a whole inner one behind it."},
	VerdictPassNotVIP:          {"pass_not_vip", false, "Encapsulated, but not to a VIP of this agent."},
	VerdictPassEgress:          {"pass_egress", false, "Leaving, and not a TCP SYN or SYN-ACK from a VIP."},
	VerdictMSSKept:             {"mss_kept", false, "A SYN or SYN-ACK from a VIP whose MSS already fits, or that has none."},
	VerdictMSSClamped:          {"mss_clamped", false, "A SYN or SYN-ACK from a VIP whose MSS was lowered."},
	VerdictMSSFailed:           {"mss_failed", false, "A SYN or SYN-ACK from a VIP whose MSS could not be lowered: no memory, or a bug."},
	VerdictDecapsulatedV6InV4:  {"decapsulated_v6_in_v4", false, "IPv6 in IPv4 to a VIP: the outer header was taken off."},
	VerdictDecapsulatedV4InV6:  {"decapsulated_v4_in_v6", false, "IPv4 in IPv6 to a VIP: the outer header was taken off."},
}

// Info returns v's entry in the table of verdicts.
func (v Verdict) Info() VerdictInfo {
	if v < VerdictCount {
		return verdicts[v]
	}
	return VerdictInfo{Name: fmt.Sprintf("verdict(%d)", uint32(v)), Help: "Unknown to this version."}
}

// String is v's name.
func (v Verdict) String() string { return v.Info().Name }
