package lb

import "encoding/binary"

// Frame is a packet of the flow in an Ethernet frame, with right lengths and checksums and without data: a SYN where it is
// the first one of a TCP connection, an ACK where it is another. Its link-layer addresses are zero.
func (f Flow) Frame(first bool) []byte {
	transport := f.transport(first)
	source, destination := f.Source.Addr(), f.Destination.Addr()
	pseudo := append(source.AsSlice(), destination.AsSlice()...) // RFC 9293 section 3.1 and RFC 8200 section 8.1
	pseudo = append(pseudo, 0, byte(f.Protocol))
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(transport)))
	sum := internetChecksum(append(pseudo, transport...))
	checksumAt := 16
	if f.Protocol == UDP {
		checksumAt = 6
		if sum == 0 { // RFC 768: zero means that there is none
			sum = 0xffff
		}
	}
	binary.BigEndian.PutUint16(transport[checksumAt:], sum)

	frame := make([]byte, 12, 128)
	if source.Is4() {
		ip := make([]byte, 20)
		ip[0], ip[6], ip[8], ip[9] = 0x45, 0x40, 64, byte(f.Protocol) // don't fragment
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(transport)))
		copy(ip[12:], source.AsSlice())
		copy(ip[16:], destination.AsSlice())
		binary.BigEndian.PutUint16(ip[10:], internetChecksum(ip))
		frame = append(append(frame, 0x08, 0x00), ip...)
	} else {
		ip := make([]byte, 40)
		ip[0], ip[6], ip[7] = 0x60, byte(f.Protocol), 64
		binary.BigEndian.PutUint16(ip[4:], uint16(len(transport)))
		copy(ip[8:], source.AsSlice())
		copy(ip[24:], destination.AsSlice())
		frame = append(append(frame, 0x86, 0xdd), ip...)
	}
	return append(frame, transport...)
}

// transport is the transport header, without its checksum.
func (f Flow) transport(first bool) []byte {
	b := binary.BigEndian.AppendUint16(nil, f.Source.Port())
	b = binary.BigEndian.AppendUint16(b, f.Destination.Port())
	if f.Protocol == UDP {
		return append(b, 0, 8, 0, 0)
	}
	flags := byte(0x10) // ACK
	if first {
		flags = 0x02 // SYN
	}
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 0, 5<<4, flags, 0xff, 0xff)
	return append(b, 0, 0, 0, 0)
}
