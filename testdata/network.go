package main

import (
	"net"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// network is a client and a server that see each other through one router. Addresses are those for documentation
// (RFC 5737, RFC 3849, RFC 7042).
type network struct {
	clients [4]net.IP
	server  net.IP
}

var (
	v4 = network{
		clients: [4]net.IP{{203, 0, 113, 10}, {203, 0, 113, 11}, {203, 0, 113, 77}, {203, 0, 113, 200}},
		server:  net.IP{192, 0, 2, 80},
	}
	v6 = network{
		clients: [4]net.IP{net.ParseIP("2001:db8:c::10"), net.ParseIP("2001:db8:c:1::11"), net.ParseIP("2001:db8:c:2:f00::77"), net.ParseIP("2001:db8:c:ffff::200")},
		server:  net.ParseIP("2001:db8:80::80"),
	}

	clientMAC = net.HardwareAddr{0x00, 0x00, 0x5e, 0x00, 0x53, 0x02}
	serverMAC = net.HardwareAddr{0x00, 0x00, 0x5e, 0x00, 0x53, 0x01}
)

// below is Ethernet and IP from client number i to the server, or back.
func (n network) below(i int, toServer bool, protocol layers.IPProtocol) []gopacket.SerializableLayer {
	source, destination := n.clients[i%len(n.clients)], n.server
	ethernet := &layers.Ethernet{SrcMAC: clientMAC, DstMAC: serverMAC, EthernetType: layers.EthernetTypeIPv4}
	if !toServer {
		source, destination = destination, source
		ethernet.SrcMAC, ethernet.DstMAC = ethernet.DstMAC, ethernet.SrcMAC
	}
	if len(source) == net.IPv4len {
		return []gopacket.SerializableLayer{ethernet, &layers.IPv4{
			Version: 4, TTL: 60, Flags: layers.IPv4DontFragment, Protocol: protocol, SrcIP: source, DstIP: destination,
		}}
	}
	ethernet.EthernetType = layers.EthernetTypeIPv6
	return []gopacket.SerializableLayer{ethernet, &layers.IPv6{
		Version: 6, HopLimit: 60, NextHeader: protocol, SrcIP: source, DstIP: destination,
	}}
}

// networkLayer is the layer that a transport checksum covers.
func networkLayer(below []gopacket.SerializableLayer) gopacket.NetworkLayer {
	return below[1].(gopacket.NetworkLayer)
}
