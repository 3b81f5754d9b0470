package lb

// Counter is one 64-byte counter line of a VIP or a backend, summed over all CPUs.
type Counter struct {
	// Packets and Bytes were forwarded; bytes are those of the client's IP packets, without Ethernet or outer header.
	Packets, Bytes uint64
	// NewFlows are forwarded TCP segments with SYN and without ACK.
	NewFlows uint64
	// Refused are packets for the VIP that were dropped, whatever the verdict. For a backend: those dropped after it
	// was selected.
	Refused uint64
	// Held are first packets that stayed with their slot's previous owner, because no entry could be made for them.
	Held uint64
}

// Tracking counts what the flow tables did, summed over all CPUs.
type Tracking struct {
	// Lookups are packets whose slot asked for the table, Hits those that had an entry.
	Lookups, Hits uint64
	// Inserts are entries made; Held first packets that got none and stayed with the previous owner; Bypassed those that
	// got none and went to the current owner, because the previous one fails.
	Inserts, Held, Bypassed uint64
}

// InterfaceCounters are the verdicts of one interface, summed over all CPUs.
type InterfaceCounters struct {
	// Interface is its name.
	Interface string
	// Verdicts counts packets by Verdict.
	Verdicts [VerdictCount]uint64
}

// Counters is one reading of the data plane's counters.
type Counters struct {
	Interfaces []InterfaceCounters
	// VIPs is indexed by counter line (Layout.VIPs), Backends by descriptor index (BackendPlace.Index).
	VIPs, Backends []Counter
	Tracking       Tracking
}

// DataplaneInfo describes what is loaded.
type DataplaneInfo struct {
	Interfaces []InterfaceInfo
	// MapMemory is the kernel memory of the maps in bytes.
	MapMemory uint64
	// Unmatched is "pass" or "drop": what becomes of VerdictVIPNoPort.
	Unmatched string
	// Limits are the sizes of the maps.
	Limits Limits
}

// InterfaceInfo is one managed interface.
type InterfaceInfo struct {
	// Name is the interface's, Mode is "native" or "generic".
	Name, Mode string
	Index      int
	// ProgramID and ProgramTag identify the program that is live.
	ProgramID  uint32
	ProgramTag string
	MTU        int
	// Fault says what is wrong with the interface; empty when nothing is.
	Fault string
}
