package main

import (
	"net"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// mixed writes what a load balancer's port sees besides its VIPs' traffic.
func mixed(c *capture) {
	arp(c)
	ping(c)
	echo(c, v4, 20)
	fragments(c)
	tagged(c)
	echo(c, v6, 20)
	questions(c, v4, 10)
	headers(c)
}

func arp(c *capture) {
	c.frame(
		&layers.Ethernet{SrcMAC: clientMAC, DstMAC: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: layers.ARPRequest, SourceHwAddress: clientMAC, SourceProtAddress: v4.clients[0],
			DstHwAddress: make([]byte, 6), DstProtAddress: v4.server,
		})
}

func ping(c *capture) {
	c.frame(append(v4.below(0, true, layers.IPProtocolICMPv4),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 1},
		gopacket.Payload("ping"))...)
	below := v6.below(0, true, layers.IPProtocolICMPv6)
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
	must(icmp.SetNetworkLayerForChecksum(networkLayer(below)))
	c.frame(append(below, icmp, &layers.ICMPv6Echo{Identifier: 1, SeqNumber: 1}, gopacket.Payload("ping"))...)
}

// fragments writes a UDP datagram in two pieces.
func fragments(c *capture) {
	whole := gopacket.NewSerializeBuffer()
	udp := &layers.UDP{SrcPort: 50000, DstPort: 5353}
	must(udp.SetNetworkLayerForChecksum(networkLayer(v4.below(1, true, layers.IPProtocolUDP))))
	must(gopacket.SerializeLayers(whole, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		udp, gopacket.Payload(make([]byte, 1200))))
	const cut = 800 // bytes; a multiple of 8
	for _, part := range []struct {
		offset uint16
		more   layers.IPv4Flag
		data   []byte
	}{
		{0, layers.IPv4MoreFragments, whole.Bytes()[:cut]},
		{cut / 8, 0, whole.Bytes()[cut:]},
	} {
		below := v4.below(1, true, layers.IPProtocolUDP)
		ip := below[1].(*layers.IPv4)
		ip.Id, ip.FragOffset, ip.Flags = 4711, part.offset, part.more
		c.frame(append(below, gopacket.Payload(part.data))...)
	}
}

// tagged writes a TCP segment in VLAN 100.
func tagged(c *capture) {
	below := v4.below(2, true, layers.IPProtocolTCP)
	below[0].(*layers.Ethernet).EthernetType = layers.EthernetTypeDot1Q
	tcp := &layers.TCP{SrcPort: 50001, DstPort: 7, ACK: true, Window: 64240}
	must(tcp.SetNetworkLayerForChecksum(networkLayer(below)))
	c.frame(below[0], &layers.Dot1Q{VLANIdentifier: 100, Type: layers.EthernetTypeIPv4}, below[1], tcp)
}

// headers writes packets with IPv4 options and with IPv6 extension headers before TCP.
func headers(c *capture) {
	below := v4.below(3, true, layers.IPProtocolTCP)
	below[1].(*layers.IPv4).Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}} // router alert
	tcp := &layers.TCP{SrcPort: 50002, DstPort: 7, ACK: true, Window: 64240}
	must(tcp.SetNetworkLayerForChecksum(networkLayer(below)))
	c.frame(append(below, tcp)...)

	below = v6.below(3, true, layers.IPProtocolIPv6Destination)
	destination := &layers.IPv6Destination{Options: []*layers.IPv6DestinationOption{{OptionType: 1, OptionLength: 4, OptionData: make([]byte, 4)}}}
	destination.NextHeader = layers.IPProtocolTCP
	tcp = &layers.TCP{SrcPort: 50003, DstPort: 7, ACK: true, Window: 64240}
	must(tcp.SetNetworkLayerForChecksum(networkLayer(below)))
	c.frame(append(below, destination, tcp)...)
}
