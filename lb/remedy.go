package lb

var remedies = map[Verdict]string{
	VerdictPassNotIP: "Nothing, if it is ARP or the like: that is the host's. A VLAN-tagged frame has to lose its tag before it " +
		"comes in by this interface.",
	VerdictPassUnreadable: "Look at what sends it: the frame is cut, or has more than six IPv6 extension headers.",
	VerdictPassProtocol:   "Nothing: only TCP and UDP are balanced; the host answers the rest, ICMP included.",
	VerdictPassFragment: "Make the sender's packets fit: lower its MTU or clamp its MSS. Only a whole packet has the ports that " +
		"choose a backend.",
	VerdictPassNoVIP: "Nothing, if the packet is for the host. Otherwise create a VIP with this address (lbctl create vip), or " +
		"correct the address (lbctl get vips).",
	VerdictVIPNoPort: "Add the port to the VIP, or create another VIP with this address, protocol and port (lbctl get vips shows " +
		"what there is).",
	VerdictMalformed: "Look at what sends it. In a capture that was cut (tcpdump -s) whole packets look like this too.",
	VerdictNoBackend: "Give a backend of the pool weight, enable it or mend it (lbctl get backends shows weight, admin state and " +
		"health).",
	VerdictNoNeighbour: "Give the node a route to the backend and make its next hop answer ARP or neighbour discovery " +
		"(lbctl describe backend shows route and state).",
	VerdictEgressUnmanaged: "Add the interface that the route leads out of to `interfaces` of the node.",
	VerdictOffSegment: "Use encap ipip for this backend, or move it to a segment that the node is on: with l2 there can be no " +
		"router in between.",
	VerdictTooBig: "Raise the MTU towards the backends by the size of the outer header, or lower the MSS that the agents " +
		"announce (lbagent clamps it unless told otherwise).",
	VerdictNoHeadroom: "Use generic mode (--mode generic), or a driver that leaves 256 bytes in front of frames.",
	VerdictBadTable:   "Report it, with what lbctl status and lbctl export print; a restart of lbd writes the tables anew.",
}

// Remedy is what an operator can do about a packet that ended so, in a sentence or two; empty where all is well.
func (v Verdict) Remedy() string { return remedies[v] }
