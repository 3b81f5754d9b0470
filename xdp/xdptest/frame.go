// Package xdptest helps to test the data plane: frames to feed it, states to publish, and a data plane of its own for
// each test.
package xdptest

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Packet describes a frame from a client. The zero value of a field means its usual value.
type Packet struct {
	// Source and Destination are client and VIP, of one family.
	Source, Destination netip.AddrPort
	// UDP makes it UDP; otherwise it is TCP.
	UDP bool
	// SYN, ACK, FIN and RST are TCP's flags; ACK alone when none is set.
	SYN, ACK, FIN, RST bool
	// Payload is the application's data.
	Payload []byte
	// TOS is DSCP and ECN.
	TOS uint8
	// DF is IPv4's "don't fragment", ID its identification, Options are bytes of IPv4 options (a multiple of four).
	DF      bool
	ID      uint16
	Options []byte
	// Fragment is IPv4's offset in units of eight bytes, MoreFragments its flag.
	Fragment      uint16
	MoreFragments bool
	// Extensions are raw IPv6 extension headers, each of a multiple of eight bytes, in order. The "next header" bytes
	// are filled in; Extensions[i] has number ExtensionNumbers[i].
	Extensions       [][]byte
	ExtensionNumbers []uint8
}

// The link-layer addresses of frames: any will do, since the program does not look at them.
var (
	ClientMAC = []byte{0x02, 0, 0x5e, 0, 0x53, 0x01}
	NodeMAC   = []byte{0x02, 0, 0x5e, 0, 0x53, 0x02}
)

// Frame serializes the packet with right lengths and checksums. It panics on a description that makes no sense.
func (p Packet) Frame() []byte {
	var network gopacket.SerializableLayer
	var pseudo gopacket.NetworkLayer
	ethertype := layers.EthernetTypeIPv4
	protocol := layers.IPProtocolTCP
	if p.UDP {
		protocol = layers.IPProtocolUDP
	}
	if p.Destination.Addr().Is4() {
		ip := p.ipv4(protocol)
		network, pseudo = ip, ip
	} else {
		ethertype = layers.EthernetTypeIPv6
		ip := p.ipv6(protocol)
		network, pseudo = ip, ip
	}
	stack := []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: ClientMAC, DstMAC: NodeMAC, EthernetType: ethertype}, network,
	}
	stack = append(stack, p.extensions(protocol)...)
	stack = append(stack, p.transport(pseudo), gopacket.Payload(p.Payload))
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, stack...); err != nil {
		panic(fmt.Sprintf("packet %+v: %v", p, err))
	}
	return trim(buffer.Bytes())
}

// trim takes off the padding to 60 bytes that gopacket adds: rows that want padding add their own.
func trim(frame []byte) []byte {
	length := 14 + int(binary.BigEndian.Uint16(frame[16:]))
	if frame[12] == 0x86 {
		length = 14 + 40 + int(binary.BigEndian.Uint16(frame[18:]))
	}
	return frame[:length:length]
}

func (p Packet) ipv4(protocol layers.IPProtocol) *layers.IPv4 {
	ip := &layers.IPv4{
		Version: 4, TTL: 57, TOS: p.TOS, Id: p.ID, Protocol: protocol, FragOffset: p.Fragment,
		SrcIP: p.Source.Addr().AsSlice(), DstIP: p.Destination.Addr().AsSlice(),
	}
	if p.DF {
		ip.Flags |= layers.IPv4DontFragment
	}
	if p.MoreFragments {
		ip.Flags |= layers.IPv4MoreFragments
	}
	for i := range p.Options {
		if i == 0 { // one option of that length: a stream identifier's number with the bytes as they are
			ip.Options = append(ip.Options, layers.IPv4Option{
				OptionType: 136, OptionLength: uint8(len(p.Options)), OptionData: p.Options[2:],
			})
		}
	}
	return ip
}

func (p Packet) ipv6(protocol layers.IPProtocol) *layers.IPv6 {
	next := protocol
	if len(p.ExtensionNumbers) > 0 {
		next = layers.IPProtocol(p.ExtensionNumbers[0])
	}
	return &layers.IPv6{
		Version: 6, HopLimit: 57, TrafficClass: p.TOS, NextHeader: next,
		SrcIP: p.Source.Addr().AsSlice(), DstIP: p.Destination.Addr().AsSlice(),
	}
}

func (p Packet) extensions(protocol layers.IPProtocol) []gopacket.SerializableLayer {
	var out []gopacket.SerializableLayer
	for i, header := range p.Extensions {
		next := uint8(protocol)
		if i+1 < len(p.ExtensionNumbers) {
			next = p.ExtensionNumbers[i+1]
		}
		header = append([]byte{next}, header[1:]...)
		out = append(out, gopacket.Payload(header))
	}
	return out
}

func (p Packet) transport(pseudo gopacket.NetworkLayer) gopacket.SerializableLayer {
	source, destination := p.Source.Port(), p.Destination.Port()
	if p.UDP {
		udp := &layers.UDP{SrcPort: layers.UDPPort(source), DstPort: layers.UDPPort(destination)}
		if err := udp.SetNetworkLayerForChecksum(pseudo); err != nil {
			panic(err)
		}
		return udp
	}
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(source), DstPort: layers.TCPPort(destination), Seq: 1, Window: 65535,
		SYN: p.SYN, ACK: p.ACK || (!p.SYN && !p.FIN && !p.RST), FIN: p.FIN, RST: p.RST,
	}
	if err := tcp.SetNetworkLayerForChecksum(pseudo); err != nil {
		panic(err)
	}
	return tcp
}
