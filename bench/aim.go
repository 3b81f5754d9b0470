package bench

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluice-lb/sluice/lb"
)

// Aim makes a stream of the packets that clients sent, rewritten to go to the endpoints of their family and protocol;
// conversations take these in turn. Structure, sizes, flags and order stay as recorded. Everything else is left out and
// counted.
func (c *Capture) Aim(endpoints map[Kind][]netip.AddrPort) (*Stream, error) {
	clients := c.clients()
	chosen := map[conversation]netip.AddrPort{}
	taken := map[Kind]int{}
	flows := map[lb.Flow]bool{}
	s := &Stream{Name: c.Path, LeftOut: map[string]int{}}
	for _, p := range c.packets {
		h := p.header
		key := h.conversation()
		reason := p.reason
		if reason == "" && clients[key] != h.source {
			reason = reasonToClient
		}
		if reason == "" && len(endpoints[h.kind]) == 0 {
			reason = reasonNoVIP
		}
		if reason != "" {
			s.LeftOut[reason]++
			continue
		}
		to, known := chosen[key]
		if !known {
			to = endpoints[h.kind][taken[h.kind]%len(endpoints[h.kind])]
			chosen[key] = to
			taken[h.kind]++
		}
		flows[lb.Flow{Source: h.source, Destination: to, Protocol: h.kind.Protocol}] = true
		s.add(redirect(p.frame, h, to), h.kind.Family)
	}
	if s.Len() == 0 {
		return nil, fmt.Errorf("capture %q: no packet from a client (left out: %v)", c.Path, s.LeftOut)
	}
	s.Flows = len(flows)
	return s, nil
}

// Unchanged makes a stream of all frames as they were recorded.
func (c *Capture) Unchanged() (*Stream, error) {
	s := &Stream{Name: c.Path + " (unchanged)", LeftOut: map[string]int{}}
	flows := map[lb.Flow]bool{}
	for _, p := range c.packets {
		if p.reason == reasonTooLong {
			s.LeftOut[p.reason]++
			continue
		}
		if p.reason == "" {
			flows[lb.Flow{Source: p.header.source, Destination: p.header.destination, Protocol: p.header.kind.Protocol}] = true
		}
		s.add(p.frame, p.header.kind.Family)
	}
	if s.Len() == 0 {
		return nil, fmt.Errorf("capture %q: no frames (left out: %v)", c.Path, s.LeftOut)
	}
	s.Flows = len(flows)
	return s, nil
}

// add appends a recorded frame.
func (s *Stream) add(frame []byte, family Family) {
	if len(s.whole) == 0 {
		s.Family = family
	} else if s.Family != family {
		s.Family = Mixed
	}
	s.whole = append(s.whole, frame)
	s.frames = append(s.frames, record(frame))
}

// redirect returns a copy of the frame with another destination. Checksums are updated, not computed anew (RFC 1624):
// right ones stay right although the capture may lack the payload, wrong ones stay wrong.
func redirect(frame []byte, h header, to netip.AddrPort) []byte {
	out := slices.Clone(frame)
	address := out[h.ip+24 : h.ip+40]
	if h.kind.Family == IPv4 {
		address = out[h.ip+16 : h.ip+20]
		update(out[h.ip+10:], address, to.Addr().AsSlice())
	}
	check := out[h.transport+16:]
	if h.kind.Protocol == lb.UDP {
		check = out[h.transport+6:]
	}
	port := out[h.transport+2 : h.transport+4]
	newPort := binary.BigEndian.AppendUint16(nil, to.Port())
	none := h.kind.Protocol == lb.UDP && binary.BigEndian.Uint16(check) == 0
	if !none {
		update(check, address, to.Addr().AsSlice())
		update(check, port, newPort)
		if h.kind.Protocol == lb.UDP && binary.BigEndian.Uint16(check) == 0 {
			binary.BigEndian.PutUint16(check, 0xffff) // zero would mean "no checksum" (RFC 768)
		}
	}
	copy(address, to.Addr().AsSlice())
	copy(port, newPort)
	return out
}

// update corrects a checksum for bytes that change: HC' = ~(~HC + ~m + m'), RFC 1624 equation 3.
func update(check, before, after []byte) {
	sum := ^binary.BigEndian.Uint16(check)
	for i := 0; i < len(before); i += 2 {
		sum = onesSum(sum, []byte{^before[i], ^before[i+1]})
	}
	binary.BigEndian.PutUint16(check, ^onesSum(sum, after))
}
