package xdp

import (
	"encoding/binary"
	"net/netip"
	"structs"

	"github.com/sluice-lb/sluice/lb"
)

// Bytes of the outer headers.
const (
	ethernetHeader = 14
	ipv4Header     = 20
	ipv6Header     = 40
	outerTTL       = 64
)

// descriptor is the map value for one backend. A backend that is not routed gets one without a MAC, so that its packets
// end as no_neighbour.
func descriptor(place lb.BackendPlace, number uint8, mac lb.MAC) bpfBackend {
	hop := place.Hop
	d := bpfBackend{Interface: number, SourceMask: sourceMask(hop.SourceBits)}
	var overhead uint32
	switch {
	case place.Encap == lb.EncapL2:
		d.Encap = uint8(bpfEncapENCAP_L2)
	case place.Address.Is4():
		d.Encap, overhead = uint8(bpfEncapENCAP_IPIP4), ipv4Header
	default:
		d.Encap, overhead = uint8(bpfEncapENCAP_IPIP6), ipv6Header
	}
	header := make([]byte, 8*len(d.Header))
	if hop.Routed() {
		copy(header, mac[:])
		copy(header[6:], hop.InterfaceMAC[:])
		if overhead > 0 {
			outerHeader(header[12:], hop.Source, place.Address)
		}
	}
	if hop.MTU > overhead {
		d.MaxInner = uint16(min(hop.MTU-overhead, 0xffff))
	}
	if overhead == ipv4Header {
		d.Checksum = sumWords(header[ethernetHeader : ethernetHeader+ipv4Header])
	}
	for i := range d.Header {
		d.Header[i] = binary.LittleEndian.Uint64(header[8*i:])
	}
	return d
}

// outerHeader writes the ethertype and the IP header, with every field zero that depends on the packet.
func outerHeader(b []byte, source, destination netip.Addr) {
	if destination.Is4() {
		binary.BigEndian.PutUint16(b, 0x0800)
		ip := b[2:]
		ip[0], ip[8] = 0x45, outerTTL // version and length
		copy(ip[12:], source.AsSlice())
		copy(ip[16:], destination.AsSlice())
		return
	}
	binary.BigEndian.PutUint16(b, 0x86dd)
	ip := b[2:]
	ip[0], ip[7] = 0x60, outerTTL // version
	copy(ip[8:], source.AsSlice())
	copy(ip[24:], destination.AsSlice())
}

// sourceMask is the mask of an address's last bits, as the program reads its last four bytes.
func sourceMask(bits uint8) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(uint64(1)<<bits-1))
	return binary.LittleEndian.Uint32(b[:])
}

// sumWords adds 16-bit words as a little-endian machine reads them. RFC 1071's sum does not depend on the byte order as
// long as it is the same throughout.
func sumWords(b []byte) uint32 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.LittleEndian.Uint16(b[i:]))
	}
	return sum
}

// macWord is the first word of a descriptor's header with another destination.
func macWord(old uint64, mac lb.MAC) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], old)
	copy(b[:], mac[:])
	return binary.LittleEndian.Uint64(b[:])
}

// vip4Entries converts one bucket.
func vip4Entries(entries []lb.VIPEntry) bpfVip4Bucket {
	var out bpfVip4Bucket
	for i, e := range entries {
		a, word := e.Address.As4(), e.PortWord()
		to := &out.Entry[i]
		to.Address = binary.LittleEndian.Uint32(a[:])
		to.Port, to.Protocol, to.Marker = uint16(word), uint8(word>>16), uint8(word>>24)
		to.Vip, to.Pool, to.PreviousPool = e.VIP, uint16(e.Pool), uint16(e.PreviousPool)
	}
	return out
}

// vip6Entries converts one bucket.
func vip6Entries(entries []lb.VIPEntry) bpfVip6Bucket {
	var out bpfVip6Bucket
	for i, e := range entries {
		a, word := e.Address.As16(), e.PortWord()
		to := &out.Entry[i]
		for w := range to.Address {
			to.Address[w] = binary.LittleEndian.Uint32(a[4*w:])
		}
		to.Port, to.Protocol, to.Marker = uint16(word), uint8(word>>16), uint8(word>>24)
		to.Vip, to.Pool, to.PreviousPool = e.VIP, uint16(e.Pool), uint16(e.PreviousPool)
	}
	return out
}

// rootCopy is one half of the root.
type rootCopy = struct {
	_        structs.HostLayout
	VipKey   uint64
	Vip4Base uint32
	Vip4Mask uint32
	Vip6Base uint32
	Vip6Mask uint32
	PoolBase uint32
	Reserved [9]uint32
}
