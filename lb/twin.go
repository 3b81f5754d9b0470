package lb

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Twin is the data plane in plain Go: the same frame in, the same verdict, backend and frame out. It is written for
// reading, from the tables of a State and not from the maps, so that a fault of either side shows as a difference.
type Twin struct {
	// Interface is the interface that frames come in by.
	Interface string
	// Managed are the other interfaces that carry the program: a backend behind one is reached by redirect.
	Managed []string
	// UnmatchedDrop is the node setting `unmatched: drop`.
	UnmatchedDrop bool

	state     *State
	hasher    FlowHasher
	vips      map[vipKey]*VIP
	addresses map[netip.Addr]bool
}

type vipKey struct {
	address  netip.Addr
	protocol Protocol
	port     uint16
}

// Result is what became of one frame.
type Result struct {
	Verdict Verdict
	Action  Action
	// VIP names the VIP that the packet was for; empty where there is none.
	VIP string
	// Backend is the key (BackendKey) of the backend that was selected; empty where none was.
	Backend string
	// Slot is the slot that the flow's hash chose, where a VIP was found and the packet is whole.
	Slot uint32
	// Bytes is what the counters of a forwarded packet grow by; NewFlow tells whether it counts as a new flow.
	Bytes   uint64
	NewFlow bool
	// Frame is the frame afterwards: the one that came in unless it was forwarded.
	Frame []byte
}

// NewTwin makes the twin of a program that has state published and came in by the named interface.
func NewTwin(state *State, seed Seed, ingress string) *Twin {
	t := &Twin{
		Interface: ingress,
		state:     state,
		hasher:    seed.FlowHasher(),
		vips:      map[vipKey]*VIP{},
		addresses: map[netip.Addr]bool{},
	}
	for i := range state.Config.VIPs {
		vip := &state.Config.VIPs[i]
		t.addresses[vip.Address] = true
		for _, port := range vip.Ports {
			t.vips[vipKey{vip.Address, vip.Protocol, port}] = vip
		}
	}
	return t
}

// Process runs one Ethernet frame.
func (t *Twin) Process(frame []byte) Result {
	r := Result{Frame: frame}
	r.Verdict = t.process(frame, &r)
	r.Action = r.Verdict.Info().Action
	if r.Verdict == VerdictVIPNoPort && t.UnmatchedDrop {
		r.Action = ActionDrop
	}
	return r
}

func (t *Twin) process(frame []byte, r *Result) Verdict {
	p, verdict := parseFrame(frame)
	if verdict != VerdictNext {
		return verdict
	}
	vip := t.vips[vipKey{p.flow.Destination.Addr(), p.flow.Protocol, p.flow.Destination.Port()}]
	switch {
	case vip == nil && t.addresses[p.flow.Destination.Addr()]:
		return VerdictVIPNoPort
	case vip == nil:
		return VerdictPassNoVIP
	}
	r.VIP = vip.Name
	if p.fault {
		return VerdictMalformed
	}
	hash := t.hasher.Hash(p.flow)
	r.Slot = t.slot(vip.Pool, hash)
	r.Backend = t.owner(vip.Pool, r.Slot)
	if p.flow.Protocol == TCP && !p.syn {
		// The twin has no flow table: every flow is one from before.
		if before, changing := t.before(vip, hash); changing {
			r.Backend = before
		}
	}
	if r.Backend == "" {
		return VerdictNoBackend
	}
	return t.forward(frame, p, hash, t.state.Layout.Backends[r.Backend], r)
}

// slot is the slot that a hash chooses in a pool.
func (t *Twin) slot(pool string, hash uint64) uint32 {
	return uint32(hash) & uint32(len(t.state.Tables[pool].Owners)-1)
}

// owner is the key of the backend that owns a slot; empty where nobody does.
func (t *Twin) owner(pool string, slot uint32) string {
	owner := t.state.Tables[pool].Owners[slot]
	if owner == NoOwner {
		return ""
	}
	p, _ := t.state.Config.Pool(pool)
	return BackendKey(pool, p.Backends[owner].Name)
}

// before is the key of the backend that has the flows which a slot, or the VIP in another pool, had before; false where
// there is none to be asked for.
func (t *Twin) before(vip *VIP, hash uint64) (string, bool) {
	pool := vip.Pool
	moved, isMoved := t.state.Moved[vip.Name]
	if isMoved {
		pool = moved.Previous
	}
	slot := t.slot(pool, hash)
	if s := t.state.Changing[pool][slot]; s.Kind == SlotTransition {
		return s.Previous, true
	}
	if owner := t.owner(pool, slot); isMoved && owner != "" {
		return owner, true
	}
	return t.owner(vip.Pool, t.slot(vip.Pool, hash)), isMoved
}

// forward checks the way to the backend and sends the packet. The place holds the next hop without its MAC, the state's
// Hops hold the MAC.
func (t *Twin) forward(frame []byte, p parsed, hash uint64, place BackendPlace, r *Result) Verdict {
	hop, mac := place.Hop, t.state.Hops[place.Address].MAC
	sent := VerdictForwarded
	if hop.Interface != t.Interface {
		sent = VerdictRedirected
	}
	switch {
	case !hop.Routed():
		return VerdictNoNeighbour
	case hop.Interface != t.Interface && !slices.Contains(t.Managed, hop.Interface):
		return VerdictEgressUnmanaged
	case place.Encap == EncapL2 && !hop.Direct:
		return VerdictOffSegment
	case mac.IsZero():
		return VerdictNoNeighbour
	case p.length+place.overhead() > int(hop.MTU):
		return VerdictTooBig
	}
	out := append([]byte{}, mac[:]...)
	out = append(out, hop.InterfaceMAC[:]...)
	switch {
	case place.Encap == EncapL2:
		out = append(out, frame[12:14]...)
	case place.Address.Is4():
		out = appendOuterIPv4(append(out, 0x08, 0x00), p, hash, hop.FlowSource(hash), place.Address)
	default:
		out = appendOuterIPv6(append(out, 0x86, 0xdd), p, hash, hop.FlowSource(hash), place.Address)
	}
	r.Frame = append(out, frame[14:]...)
	r.Bytes, r.NewFlow = uint64(p.length), p.syn
	return sent
}

// overhead is the bytes that the encap puts in front of a packet.
func (b BackendPlace) overhead() int {
	switch {
	case b.Encap == EncapL2:
		return 0
	case b.Address.Is4():
		return 20
	}
	return 40
}

// innerProtocol is the number that an outer header gives the packet inside: IPv4 or IPv6.
func innerProtocol(p parsed) byte {
	if p.flow.Destination.Addr().Is4() {
		return 4
	}
	return 41
}

// appendOuterIPv4 is RFC 2003 and RFC 4213, with DSCP and ECN copied (RFC 6040 section 4.1).
func appendOuterIPv4(out []byte, p parsed, hash uint64, source, to netip.Addr) []byte {
	header := make([]byte, 20)
	header[0], header[1] = 0x45, p.tos
	binary.BigEndian.PutUint16(header[2:], uint16(p.length+20))
	if p.df {
		header[6] = 0x40
	} else {
		id := p.id ^ uint16(hash>>48)
		if id == 0 {
			id = 1
		}
		binary.LittleEndian.PutUint16(header[4:], id)
	}
	header[8], header[9] = 64, innerProtocol(p)
	copy(header[12:], source.AsSlice())
	copy(header[16:], to.AsSlice())
	binary.BigEndian.PutUint16(header[10:], internetChecksum(header))
	return append(out, header...)
}

// appendOuterIPv6 is RFC 2473, with a flow label from the hash (RFC 6438).
func appendOuterIPv6(out []byte, p parsed, hash uint64, source, to netip.Addr) []byte {
	header := make([]byte, 40)
	label := uint32(hash>>40) & 0xfffff
	binary.BigEndian.PutUint32(header, 6<<28|uint32(p.tos)<<20|label)
	binary.BigEndian.PutUint16(header[4:], uint16(p.length))
	header[6], header[7] = innerProtocol(p), 64
	copy(header[8:], source.AsSlice())
	copy(header[24:], to.AsSlice())
	return append(out, header...)
}

// internetChecksum is RFC 1071's, of an even number of bytes.
func internetChecksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
