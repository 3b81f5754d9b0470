package lb

import "fmt"

// Verdict is what became of one packet. The values are those of enum verdict in xdp/bpf/types.h; a test walks both.
type Verdict uint8

// Every packet ends in exactly one of these. The zero value means "next step" and is never final.
const (
	VerdictNext Verdict = iota
	VerdictForwarded
	VerdictPassNotIP
	VerdictPassUnreadable
	VerdictPassProtocol
	VerdictPassFragment
	VerdictPassNoVIP
	VerdictVIPNoPort
	VerdictMalformed
	VerdictNoBackend
	VerdictNoNeighbour
	VerdictEgressUnmanaged
	VerdictTooBig
	VerdictNoHeadroom
	VerdictBadTable
	VerdictRedirected
	VerdictOffSegment
	// VerdictCount is the number of verdicts, not one of them.
	VerdictCount
)

// Action is XDP's return code.
type Action uint32

// The actions, with the kernel's values (enum xdp_action).
const (
	ActionAborted Action = iota
	ActionDrop
	ActionPass
	ActionTX
	ActionRedirect
)

var actionNames = [...]string{"aborted", "drop", "pass", "tx", "redirect"}

// String is the kernel's name for a, in lower case.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("action(%d)", uint32(a))
}

// VerdictInfo describes one verdict.
type VerdictInfo struct {
	// Name is the value of the label "verdict" and what commands print.
	Name string
	// Action is XDP's return code. VerdictVIPNoPort drops instead when the node says `unmatched: drop`.
	Action Action
	// Help is one sentence for an operator.
	Help string
}

var verdicts = [VerdictCount]VerdictInfo{
	VerdictNext:            {"next", ActionAborted, "Not final; a packet that ends here is a bug in the program."},
	VerdictForwarded:       {"forwarded", ActionTX, "Sent to a backend out of the interface that it came in by."},
	VerdictPassNotIP:       {"pass_not_ip", ActionPass, "Neither IPv4 nor IPv6 in an untagged Ethernet frame: ARP, LLDP, VLAN and so on."},
	VerdictPassUnreadable:  {"pass_unreadable", ActionPass, "Headers or ports cannot be read: too short, or more extension headers than are followed."},
	VerdictPassProtocol:    {"pass_protocol", ActionPass, "Neither TCP nor UDP, ICMP included."},
	VerdictPassFragment:    {"pass_fragment", ActionPass, "An IP fragment."},
	VerdictPassNoVIP:       {"pass_no_vip", ActionPass, "The destination address belongs to no VIP."},
	VerdictVIPNoPort:       {"vip_no_port", ActionPass, "The destination is a VIP's address, but no VIP has the protocol and port. Passed, or dropped with `unmatched: drop`."},
	VerdictMalformed:       {"malformed", ActionDrop, "For a VIP, but its lengths contradict each other or the frame."},
	VerdictNoBackend:       {"no_backend", ActionDrop, "For a VIP, but no backend of its pool has weight."},
	VerdictNoNeighbour:     {"no_neighbour", ActionDrop, "The next hop to the backend has no known link-layer address."},
	VerdictEgressUnmanaged: {"egress_unmanaged", ActionDrop, "The next hop to the backend lies behind an interface that is not managed, or that is gone."},
	VerdictTooBig:          {"too_big", ActionDrop, "Longer than the egress MTU, with the outer header if there is one."},
	VerdictNoHeadroom:      {"no_headroom", ActionDrop, "The driver left no room in front of the frame for the outer header."},
	VerdictBadTable:        {"bad_table", ActionDrop, "A table points outside another one: a bug; please report it."},
	VerdictRedirected:      {"redirected", ActionRedirect, "Sent to a backend out of another managed interface. The kernel or the driver may still drop it: see that interface's transmit errors."},
	VerdictOffSegment:      {"off_segment", ActionDrop, "The backend's encap is l2, but a router lies on the way to it."},
}

// Sent tells whether the packet left for a backend.
func (v Verdict) Sent() bool { return v == VerdictForwarded || v == VerdictRedirected }

// Info returns v's entry in the table of verdicts.
func (v Verdict) Info() VerdictInfo {
	if v < VerdictCount {
		return verdicts[v]
	}
	return VerdictInfo{Name: fmt.Sprintf("verdict(%d)", uint8(v)), Action: ActionAborted}
}

// String is the verdict's name.
func (v Verdict) String() string { return v.Info().Name }
