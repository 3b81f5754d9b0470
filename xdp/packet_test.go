package xdp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
	"github.com/sluice-lb/sluice/xdp/xdptest"
)

// The configuration of the packet table: every pool but the special ones has one backend, so that a row can say where
// its packet goes.
var tableConfig = lb.Config{
	Pools: append([]lb.Pool{
		xdptest.Pool("one4", 1, false),
		xdptest.Pool("one6", 1, true),
		{Name: "empty4"},
		{Name: "empty6"},
		special("unrouted4", "10.2.0.1"), special("unrouted6", "fd00:2::1"),
		special("unresolved4", "10.2.0.2"), special("unresolved6", "fd00:2::2"),
		special("elsewhere4", "10.2.0.3"), special("elsewhere6", "fd00:2::3"),
	}, wayPools...),
	VIPs: append([]lb.VIP{
		tableVIP("web4", "198.51.100.10", lb.TCP, "one4", 80, 443), tableVIP("web6", "2001:db8::10", lb.TCP, "one6", 80, 443),
		tableVIP("dns4", "198.51.100.10", lb.UDP, "one4", 53), tableVIP("dns6", "2001:db8::10", lb.UDP, "one6", 53),
		tableVIP("empty4", "198.51.100.11", lb.TCP, "empty4", 80), tableVIP("empty6", "2001:db8::11", lb.TCP, "empty6", 80),
		tableVIP("unrouted4", "198.51.100.12", lb.TCP, "unrouted4", 80), tableVIP("unrouted6", "2001:db8::12", lb.TCP, "unrouted6", 80),
		tableVIP("unresolved4", "198.51.100.13", lb.TCP, "unresolved4", 80), tableVIP("unresolved6", "2001:db8::13", lb.TCP, "unresolved6", 80),
		tableVIP("elsewhere4", "198.51.100.14", lb.TCP, "elsewhere4", 80), tableVIP("elsewhere6", "2001:db8::14", lb.TCP, "elsewhere6", 80),
	}, wayVIPs...),
}

func special(name, address string) lb.Pool {
	return lb.Pool{Name: name, Backends: []lb.Backend{{
		Name: name, Address: netip.MustParseAddr(address), Weight: lb.DefaultWeight, Scale: lb.ScaleOne,
	}}}
}

func tableVIP(name, address string, protocol lb.Protocol, pool string, ports ...uint16) lb.VIP {
	return lb.VIP{Name: name, Address: netip.MustParseAddr(address), Protocol: protocol, Ports: ports, Pool: pool}
}

func tableHops() lb.Hops {
	hops := xdptest.Hops(tableConfig, xdptest.Interface)
	for _, family := range []string{"10.2.0.", "fd00:2::"} {
		delete(hops, netip.MustParseAddr(family+"1"))
		unresolved := netip.MustParseAddr(family + "2")
		hop := hops[unresolved]
		hop.MAC = lb.MAC{}
		hops[unresolved] = hop
		elsewhere := netip.MustParseAddr(family + "3")
		hops[elsewhere] = xdptest.Hop(elsewhere, "other0")
	}
	wayHops(hops)
	return hops
}

// row is one case: a packet for each family, changed by edit after it was built.
type row struct {
	name   string
	packet xdptest.Packet // addresses are filled in by family
	last   int            // last byte of the VIP's address; 0 means 10
	port   uint16         // 0 means 80, or 53 for UDP
	edit   func(frame []byte) []byte
	only   int // 4 or 6: the family that the row makes sense for; 0: both

	verdict lb.Verdict
	newFlow bool
}

func (r row) frame(ipv6 bool) []byte {
	last, port := 10, uint16(80)
	if r.packet.UDP {
		port = 53
	}
	if r.last != 0 {
		last = r.last
	}
	if r.port != 0 {
		port = r.port
	}
	p := r.packet
	if !p.Destination.IsValid() {
		p.Source = netip.MustParseAddrPort("203.0.113.7:40000")
		p.Destination = netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", last)), port)
		if ipv6 {
			p.Source = netip.MustParseAddrPort("[2001:db8:1::7]:40000")
			p.Destination = netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", last)), port)
		}
	}
	frame := p.Frame()
	if r.edit != nil {
		frame = r.edit(frame)
	}
	return frame
}

// Offsets in an IPv4 or IPv6 frame without options or extension headers.
const (
	ip4Length, ip4TTL, ip4Protocol, tcp4 = 14 + 2, 14 + 8, 14 + 9, 14 + 20
	ip6Length, ip6Next, tcp6             = 14 + 4, 14 + 6, 14 + 40
)

func set(offset int, b ...byte) func([]byte) []byte {
	return func(frame []byte) []byte { copy(frame[offset:], b); return frame }
}

func cut(n int) func([]byte) []byte { return func(frame []byte) []byte { return frame[:len(frame)-n] } }

func pad(n int) func([]byte) []byte {
	return func(frame []byte) []byte { return append(frame, bytes.Repeat([]byte{0xaa}, n)...) }
}

// addLength adds n to the IP header's length.
func addLength(n int) func([]byte) []byte {
	return func(frame []byte) []byte {
		offset := ip4Length
		if frame[12] == 0x86 {
			offset = ip6Length
		}
		binary.BigEndian.PutUint16(frame[offset:], uint16(int(binary.BigEndian.Uint16(frame[offset:]))+n))
		return frame
	}
}

// transport edits the transport header at offset.
func transport(offset int, b ...byte) func([]byte) []byte {
	return func(frame []byte) []byte {
		start := tcp4
		if frame[12] == 0x86 {
			start = tcp6
		}
		copy(frame[start+offset:], b)
		return frame
	}
}

func extension(length int) []byte {
	return append([]byte{0, byte(length/8 - 1)}, make([]byte, length-2)...)
}

func chain(n int) ([][]byte, []uint8) {
	var headers [][]byte
	var numbers []uint8
	for range n {
		headers, numbers = append(headers, extension(8)), append(numbers, 60)
	}
	return headers, numbers
}

func chained(n int) xdptest.Packet {
	headers, numbers := chain(n)
	return xdptest.Packet{Extensions: headers, ExtensionNumbers: numbers}
}

func oneExtension(number uint8, b []byte) xdptest.Packet {
	return xdptest.Packet{Extensions: [][]byte{b}, ExtensionNumbers: []uint8{number}}
}

var rows = []row{
	{name: "tcp-syn", packet: xdptest.Packet{SYN: true}, verdict: lb.VerdictForwarded, newFlow: true},
	{name: "tcp-syn-ack", packet: xdptest.Packet{SYN: true, ACK: true}, verdict: lb.VerdictForwarded},
	{name: "tcp-ack", packet: xdptest.Packet{Payload: []byte("GET / HTTP/1.1\r\n\r\n")}, verdict: lb.VerdictForwarded},
	{name: "tcp-fin", packet: xdptest.Packet{FIN: true, ACK: true}, verdict: lb.VerdictForwarded},
	{name: "tcp-rst", packet: xdptest.Packet{RST: true}, verdict: lb.VerdictForwarded},
	{name: "tcp-second-port", port: 443, verdict: lb.VerdictForwarded},
	{name: "udp", packet: xdptest.Packet{UDP: true, Payload: []byte("query")}, verdict: lb.VerdictForwarded},
	{name: "udp-without-payload", packet: xdptest.Packet{UDP: true}, verdict: lb.VerdictForwarded},
	{name: "dscp-and-ecn-copied", packet: xdptest.Packet{TOS: 0xba}, verdict: lb.VerdictForwarded},
	{name: "ce-copied", packet: xdptest.Packet{TOS: 0x03}, verdict: lb.VerdictForwarded},
	{name: "df-copied", packet: xdptest.Packet{DF: true, ID: 0x1234}, only: 4, verdict: lb.VerdictForwarded},
	{name: "no-df-has-id", packet: xdptest.Packet{ID: 0x1234}, only: 4, verdict: lb.VerdictForwarded},
	{name: "ethernet-padding", edit: pad(6), verdict: lb.VerdictForwarded},
	{name: "odd-padding", packet: xdptest.Packet{UDP: true, Payload: []byte("x")}, edit: pad(17), verdict: lb.VerdictForwarded},
	{name: "ipv4-options", packet: xdptest.Packet{Options: make([]byte, 8)}, only: 4, verdict: lb.VerdictForwarded},
	{name: "ipv4-most-options", packet: xdptest.Packet{Options: make([]byte, 40)}, only: 4, verdict: lb.VerdictForwarded},
	{name: "ttl-one", edit: set(ip4TTL, 1), only: 4, verdict: lb.VerdictForwarded},
	{name: "hop-by-hop", packet: oneExtension(0, extension(8)), only: 6, verdict: lb.VerdictForwarded},
	{name: "destination-options", packet: oneExtension(60, extension(24)), only: 6, verdict: lb.VerdictForwarded},
	{name: "routing-without-segments-left", packet: oneExtension(43, extension(24)), only: 6, verdict: lb.VerdictForwarded},
	{name: "atomic-fragment", packet: oneExtension(44, make([]byte, 8)), only: 6, verdict: lb.VerdictForwarded},
	{name: "six-extensions", packet: chained(6), only: 6, verdict: lb.VerdictForwarded},
	{name: "long-extension", packet: oneExtension(60, extension(1024)), only: 6, verdict: lb.VerdictForwarded},
	{name: "largest-that-fits", packet: xdptest.Packet{Payload: make([]byte, 1600-20-20-20)}, only: 4, verdict: lb.VerdictForwarded},
	{name: "largest-that-fits", packet: xdptest.Packet{Payload: make([]byte, 1600-40-40-20)}, only: 6, verdict: lb.VerdictForwarded},

	{name: "too-big", packet: xdptest.Packet{Payload: make([]byte, 1600-20-20-20+1)}, only: 4, verdict: lb.VerdictTooBig},
	{name: "too-big", packet: xdptest.Packet{Payload: make([]byte, 1600-40-40-20+1)}, only: 6, verdict: lb.VerdictTooBig},
	{name: "no-backend", last: 11, verdict: lb.VerdictNoBackend},
	{name: "no-route", last: 12, verdict: lb.VerdictNoNeighbour},
	{name: "not-resolved", last: 13, verdict: lb.VerdictNoNeighbour},
	{name: "egress-elsewhere", last: 14, verdict: lb.VerdictEgressUnmanaged},

	{name: "vip-other-port", port: 81, verdict: lb.VerdictVIPNoPort},
	{name: "vip-port-of-other-protocol", packet: xdptest.Packet{UDP: true}, port: 80, verdict: lb.VerdictVIPNoPort},
	{name: "vip-port-zero", packet: xdptest.Packet{}, edit: transport(2, 0, 0), verdict: lb.VerdictVIPNoPort},
	{name: "other-address", last: 99, verdict: lb.VerdictPassNoVIP},
	{name: "address-zero", edit: func(f []byte) []byte { clear(f[30:34]); return f }, only: 4, verdict: lb.VerdictPassNoVIP},
	{name: "address-zero", edit: func(f []byte) []byte { clear(f[38:54]); return f }, only: 6, verdict: lb.VerdictPassNoVIP},

	{name: "arp", edit: set(12, 0x08, 0x06), verdict: lb.VerdictPassNotIP},
	{name: "vlan", edit: set(12, 0x81, 0x00), verdict: lb.VerdictPassNotIP},
	{name: "version-mismatch", edit: set(14, 0x00), verdict: lb.VerdictPassUnreadable},
	{name: "ihl-too-small", edit: set(14, 0x44), only: 4, verdict: lb.VerdictPassUnreadable},
	{name: "ihl-beyond-frame", edit: set(14, 0x4f), only: 4, verdict: lb.VerdictPassUnreadable},
	{name: "icmp", edit: set(ip4Protocol, 1), only: 4, verdict: lb.VerdictPassProtocol},
	{name: "icmp", edit: set(ip6Next, 58), only: 6, verdict: lb.VerdictPassProtocol},
	{name: "no-next-header", edit: set(ip6Next, 59), only: 6, verdict: lb.VerdictPassProtocol},
	{name: "ipip-to-host", edit: set(ip4Protocol, 4), only: 4, verdict: lb.VerdictPassProtocol},
	{name: "first-fragment", packet: xdptest.Packet{MoreFragments: true}, only: 4, verdict: lb.VerdictPassFragment},
	{name: "later-fragment", packet: xdptest.Packet{Fragment: 100}, only: 4, verdict: lb.VerdictPassFragment},
	{name: "fragment-for-host", packet: xdptest.Packet{Fragment: 100}, last: 99, only: 4, verdict: lb.VerdictPassFragment},
	{name: "first-fragment", packet: oneExtension(44, []byte{0, 0, 0, 1, 0, 0, 0, 9}), only: 6, verdict: lb.VerdictPassFragment},
	{name: "later-fragment", packet: oneExtension(44, []byte{0, 0, 0, 8, 0, 0, 0, 9}), only: 6, verdict: lb.VerdictPassFragment},
	{name: "segments-left", packet: oneExtension(43, []byte{0, 0, 4, 1, 0, 0, 0, 0}), only: 6, verdict: lb.VerdictPassUnreadable},
	{name: "seven-extensions", packet: chained(7), only: 6, verdict: lb.VerdictPassUnreadable},
	{name: "extension-beyond-frame", packet: oneExtension(60, []byte{0, 200, 0, 0, 0, 0, 0, 0}), only: 6, verdict: lb.VerdictPassUnreadable},
	{name: "options-to-host", packet: xdptest.Packet{Options: make([]byte, 8)}, last: 99, only: 4, verdict: lb.VerdictPassNoVIP},

	{name: "length-beyond-frame", edit: addLength(1), verdict: lb.VerdictMalformed},
	{name: "length-shorter-than-headers", edit: addLength(-1), verdict: lb.VerdictMalformed},
	{name: "length-zero", edit: set(ip4Length, 0, 0), only: 4, verdict: lb.VerdictMalformed},
	{name: "length-zero", edit: set(ip6Length, 0, 0), only: 6, verdict: lb.VerdictMalformed},
	{name: "tcp-offset-too-small", edit: transport(12, 0x40), verdict: lb.VerdictMalformed},
	{name: "tcp-offset-beyond-packet", edit: transport(12, 0xf0), verdict: lb.VerdictMalformed},
	{name: "tcp-header-cut", edit: cut(4), verdict: lb.VerdictMalformed},
	{name: "udp-length-too-small", packet: xdptest.Packet{UDP: true}, edit: transport(4, 0, 7), verdict: lb.VerdictMalformed},
	{name: "udp-length-beyond-packet", packet: xdptest.Packet{UDP: true}, edit: transport(4, 0, 9), verdict: lb.VerdictMalformed},
	{name: "udp-header-cut", packet: xdptest.Packet{UDP: true}, edit: cut(1), verdict: lb.VerdictMalformed},
	{name: "length-lies-to-host", edit: addLength(1), last: 99, verdict: lb.VerdictPassNoVIP},
	{name: "length-lies-to-other-port", edit: addLength(1), port: 81, verdict: lb.VerdictVIPNoPort},
}

func TestPacketTable(t *testing.T) {
	runTable(t, openTable(t, xdp.Options{}), tableHops())
}

func runTable(t *testing.T, d *xdp.Dataplane, hops lb.Hops) {
	t.Helper()
	state := xdptest.MustPlan(t, nil, tableConfig, hops)
	xdptest.MustPublish(t, d, state)
	twin := tableTwin(state)
	for _, r := range slices.Concat(rows, wayRows) {
		for _, family := range []int{4, 6} {
			if r.only != 0 && r.only != family {
				continue
			}
			t.Run(fmt.Sprintf("%s-ipv%d", r.name, family), func(t *testing.T) {
				checkRow(t, d, state, twin, r, r.frame(family == 6))
			})
		}
	}
}

// checkRow runs one frame and compares action, frame and every counter with the row, and all of it with the twin.
func checkRow(t *testing.T, d *xdp.Dataplane, state *lb.State, twin *lb.Twin, r row, frame []byte) {
	t.Helper()
	before := readCounters(t, d)
	action, out := xdptest.MustRun(t, d.Program(xdptest.Interface), frame)
	after := readCounters(t, d)

	if want := r.verdict.Info().Action; action != want {
		t.Errorf("action %s, expected %s", action, want)
	}
	result := twin.Process(frame)
	if result.Verdict != r.verdict {
		t.Errorf("twin: verdict %s, expected %s", result.Verdict, r.verdict)
	}
	want := frame
	if r.verdict.Sent() {
		want = expectedFrame(t, state, result, frame, out)
	}
	if !bytes.Equal(out, want) {
		t.Errorf("frame differs:\n%s", describeDifference(want, out))
	}
	if !bytes.Equal(out, result.Frame) {
		t.Errorf("twin's frame differs:\n%s", describeDifference(result.Frame, out))
	}
	checkCounters(t, state, before, after, r, result)
}

// expectedFrame is the frame in front of which gopacket puts the outer header of the backend, or whose link-layer addresses
// it changes. The fields that come from the hash (flow label, identification, source within a prefix) are taken from out,
// where their rules are checked.
func expectedFrame(t *testing.T, state *lb.State, result lb.Result, frame, out []byte) []byte {
	t.Helper()
	place := state.Layout.Backends[result.Backend]
	hop := state.Hops[place.Address]
	eth := &layers.Ethernet{SrcMAC: hop.InterfaceMAC[:], DstMAC: hop.MAC[:], EthernetType: layers.EthernetTypeIPv4}
	stack := []gopacket.SerializableLayer{eth}
	inner := innerOf(frame)
	switch {
	case place.Encap == lb.EncapL2:
		return slices.Concat(hop.MAC[:], hop.InterfaceMAC[:], frame[12:])
	case place.Address.Is4():
		source := expectedSource(t, hop, out[14+12:14+16])
		stack = append(stack, expectedIPv4(t, inner, source, place.Address, binary.BigEndian.Uint16(out[18:])))
	default:
		eth.EthernetType = layers.EthernetTypeIPv6
		source := expectedSource(t, hop, out[14+8:14+24])
		stack = append(stack, expectedIPv6(t, inner, source, place.Address, binary.BigEndian.Uint32(out[14:])&0xfffff))
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{ComputeChecksums: true},
		append(stack, gopacket.Payload(frame[14:]))...); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// inner is what an outer header says of the packet inside.
type inner struct {
	protocol layers.IPProtocol
	length   uint16
	tos      uint8
	df       bool
}

func innerOf(frame []byte) inner {
	if frame[12] == 0x86 {
		return inner{layers.IPProtocolIPv6, 40 + binary.BigEndian.Uint16(frame[ip6Length:]), frame[14]<<4 | frame[15]>>4, true}
	}
	return inner{layers.IPProtocolIPv4, binary.BigEndian.Uint16(frame[ip4Length:]), frame[15], frame[20]&0x40 != 0}
}

// expectedSource is the next hop's source, or the one in out where it lies in the next hop's prefix.
func expectedSource(t *testing.T, hop lb.NextHop, out []byte) netip.Addr {
	t.Helper()
	source, _ := netip.AddrFromSlice(out)
	prefix := netip.PrefixFrom(hop.Source, hop.Source.BitLen()-int(hop.SourceBits))
	if !prefix.Contains(source) {
		t.Errorf("outer source %s, expected one of %s", source, prefix)
	}
	return source
}

func expectedIPv4(t *testing.T, in inner, source, to netip.Addr, id uint16) *layers.IPv4 {
	t.Helper()
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: in.protocol, TOS: in.tos, SrcIP: source.AsSlice(), DstIP: to.AsSlice(), Id: id, IHL: 5,
		Length: in.length + 20,
	}
	if in.df {
		ip.Flags, ip.Id = layers.IPv4DontFragment, 0
	} else if id == 0 {
		t.Error("outer packet without DF has no id")
	}
	return ip
}

func expectedIPv6(t *testing.T, in inner, source, to netip.Addr, label uint32) *layers.IPv6 {
	t.Helper()
	if label == 0 {
		t.Error("outer packet has no flow label")
	}
	return &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: in.protocol, SrcIP: source.AsSlice(), DstIP: to.AsSlice(),
		TrafficClass: in.tos, FlowLabel: label, Length: in.length,
	}
}

type reading struct {
	lb.Counters
	seen uint64
}

func readCounters(t *testing.T, d *xdp.Dataplane) reading {
	t.Helper()
	c, err := d.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return reading{c, d.Seen(xdptest.Interface)}
}

// checkCounters compares every counter: one that the row does not list must not have moved.
func checkCounters(t *testing.T, state *lb.State, before, after reading, r row, result lb.Result) {
	t.Helper()
	if after.seen != before.seen+1 {
		t.Errorf("seen: %d more, expected 1", after.seen-before.seen)
	}
	for v := range lb.VerdictCount {
		want := uint64(0)
		if v == r.verdict {
			want = 1
		}
		if got := after.Interfaces[0].Verdicts[v] - before.Interfaces[0].Verdicts[v]; got != want {
			t.Errorf("verdict %s: %d more, expected %d", v, got, want)
		}
	}
	delta := lb.Counter{Refused: 1}
	if r.verdict.Sent() {
		delta = lb.Counter{Packets: 1, Bytes: result.Bytes}
		if r.newFlow {
			delta.NewFlows = 1
		}
	}
	checkLines(t, "vip", before.VIPs, after.VIPs, state.Layout.VIPs[result.VIP], delta)
	checkLines(t, "backend", before.Backends, after.Backends, state.Layout.Backends[result.Backend].Index, delta)
}

// checkLines expects delta in line, unless that is 0, and nothing in any other line.
func checkLines(t *testing.T, kind string, before, after []lb.Counter, line uint32, delta lb.Counter) {
	t.Helper()
	for i := range after {
		want := before[i]
		if uint32(i) == line && line != 0 {
			want.Packets += delta.Packets
			want.Bytes += delta.Bytes
			want.NewFlows += delta.NewFlows
			want.Refused += delta.Refused
		}
		if after[i] != want {
			t.Errorf("%s counter %d: %+v, expected %+v", kind, i, after[i], want)
		}
	}
}

// describeDifference shows two frames layer by layer.
func describeDifference(want, got []byte) string {
	show := func(b []byte) string {
		return gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default).String()
	}
	return "expected " + show(want) + "\ngot " + show(got)
}

func TestUnmatchedDrop(t *testing.T) {
	d := xdptest.MustOpen(t, xdp.Options{UnmatchedDrop: true})
	state := xdptest.MustPlan(t, nil, tableConfig, tableHops())
	xdptest.MustPublish(t, d, state)
	frame := row{port: 81}.frame(false)
	if action, _ := xdptest.MustRun(t, d.Program(xdptest.Interface), frame); action != lb.ActionDrop {
		t.Errorf("VIP without the port: %s, expected drop", action)
	}
	if action, _ := xdptest.MustRun(t, d.Program(xdptest.Interface), row{last: 99}.frame(false)); action != lb.ActionPass {
		t.Errorf("no VIP: %s, expected pass", action)
	}
}
