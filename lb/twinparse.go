package lb

import (
	"encoding/binary"
	"net/netip"
)

// parsed is what the twin knows of a packet before it looks for a VIP.
type parsed struct {
	flow   Flow
	length int // bytes of the IP packet by its own header
	tos    uint8
	id     uint16 // IPv4 identification, read as little-endian, as the program does
	df     bool   // IPv4 says so; IPv6 always: no router fragments it
	syn    bool
	fault  bool // lengths contradict each other
}

// maxExtensions is the number of IPv6 extension headers that are followed, maxTransportOffset the largest offset in a
// frame at which another one is read; both as in xdp/bpf/parse.h.
const (
	maxExtensions      = 6
	maxTransportOffset = 0x7fff
)

func parseFrame(frame []byte) (parsed, Verdict) {
	if len(frame) < 14 {
		return parsed{}, VerdictPassUnreadable
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		return parseIPv4(frame[14:])
	case 0x86dd:
		return parseIPv6(frame[14:])
	}
	return parsed{}, VerdictPassNotIP
}

func parseIPv4(b []byte) (parsed, Verdict) {
	var p parsed
	if len(b) < 20 || b[0]>>4 != 4 || b[0]&0xf < 5 {
		return p, VerdictPassUnreadable
	}
	p.flow.Protocol = Protocol(b[9])
	if p.flow.Protocol != TCP && p.flow.Protocol != UDP {
		return p, VerdictPassProtocol
	}
	fragment := binary.BigEndian.Uint16(b[6:])
	if fragment&0x3fff != 0 {
		return p, VerdictPassFragment
	}
	header := int(b[0]&0xf) * 4
	p.length = int(binary.BigEndian.Uint16(b[2:]))
	p.tos = b[1]
	p.id = binary.LittleEndian.Uint16(b[4:])
	p.df = fragment&0x4000 != 0
	p.fault = p.length > len(b)
	source, destination := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	if header > len(b) {
		return p, VerdictPassUnreadable
	}
	return p, p.parseTransport(b[header:], p.length-header, source, destination)
}

func parseIPv6(b []byte) (parsed, Verdict) {
	var p parsed
	if len(b) < 40 || b[0]>>4 != 6 {
		return p, VerdictPassUnreadable
	}
	p.df = true
	p.length = 40 + int(binary.BigEndian.Uint16(b[4:]))
	p.tos = uint8(binary.BigEndian.Uint16(b) >> 4)
	p.fault = p.length > len(b)
	source, destination := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	protocol, offset, verdict := skipExtensions(b)
	if verdict != VerdictNext {
		return p, verdict
	}
	p.flow.Protocol = protocol
	if offset > len(b) {
		return p, VerdictPassUnreadable
	}
	return p, p.parseTransport(b[offset:], p.length-offset, source, destination)
}

// skipExtensions follows extension headers (RFC 8200 section 4) and returns where the transport header begins.
func skipExtensions(b []byte) (Protocol, int, Verdict) {
	next, offset := b[6], 40
	for i := 0; ; i++ {
		switch next {
		case uint8(TCP), uint8(UDP):
			return Protocol(next), offset, VerdictNext
		case 0, 43, 44, 60: // hop-by-hop, routing, fragment, destination options
		default:
			return 0, 0, VerdictPassProtocol
		}
		if i == maxExtensions || offset+14 > maxTransportOffset || offset+8 > len(b) {
			return 0, 0, VerdictPassUnreadable
		}
		ext := b[offset:]
		switch {
		case next == 44 && binary.BigEndian.Uint16(ext[2:])&0xfff9 != 0:
			return 0, 0, VerdictPassFragment
		case next == 44: // an atomic fragment (RFC 6946) is a whole packet
			offset += 8
		case next == 43 && ext[3] != 0: // with segments left the destination is not the last one
			return 0, 0, VerdictPassUnreadable
		default:
			offset += 8 + int(ext[1])*8
		}
		next = ext[0]
	}
}

// parseTransport reads the ports and checks the transport header against room: the bytes that the IP header grants it.
func (p *parsed) parseTransport(b []byte, room int, source, destination netip.Addr) Verdict {
	if len(b) < 4 {
		return VerdictPassUnreadable
	}
	p.flow.Source = netip.AddrPortFrom(source, binary.BigEndian.Uint16(b))
	p.flow.Destination = netip.AddrPortFrom(destination, binary.BigEndian.Uint16(b[2:]))
	least, need := 8, 0
	if p.flow.Protocol == TCP {
		least = 20
	}
	if len(b) < least {
		p.fault = true
		return VerdictNext
	}
	if p.flow.Protocol == TCP {
		need = int(b[12]>>4) * 4
		p.syn = b[13]&0x12 == 0x02
	} else {
		need = int(binary.BigEndian.Uint16(b[4:]))
	}
	if need < least || need > room {
		p.fault = true
	}
	return VerdictNext
}
