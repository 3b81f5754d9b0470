package xdp_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
	"github.com/sluice-lb/sluice/xdp/xdptest"
)

// The interfaces of the table's data planes, beside xdptest.Interface. The kernel redirects only to an interface that
// exists: the loopback is one that every machine has, and BPF_PROG_RUN sends nothing there. goneInterface is managed but
// not there.
const (
	secondInterface = "lo"
	goneInterface   = "gone0"
)

var tableInterfaces = []string{xdptest.Interface, secondInterface, goneInterface}

// tableSources are prefixes that the network of a test machine does not have.
var tableSources = lb.OuterSources{V4: netip.MustParsePrefix("198.18.0.0/17"), V6: netip.MustParsePrefix("fd00:198:18::/64")}

// flat is a pool of one l2 backend.
func flat(name, address string) lb.Pool {
	pool := special(name, address)
	pool.Encap = lb.EncapL2
	return pool
}

// flatBackend is a pool of ipip whose backend is l2.
func flatBackend(name, address string) lb.Pool {
	pool := special(name, address)
	pool.Backends[0].Encap = lb.OverrideEncap(lb.EncapL2)
	return pool
}

// The part of the packet table's configuration that is about ways to a backend.
var (
	wayPools = []lb.Pool{
		xdptest.Pool("crossed4", 1, true), xdptest.Pool("crossed6", 1, false), // the other family than the VIPs'
		flat("flat4", "10.2.0.4"), flat("flat6", "fd00:2::4"),
		flat("routed4", "10.2.0.5"), flat("routed6", "fd00:2::5"),
		special("second4", "10.2.0.6"), special("second6", "fd00:2::6"),
		special("gone4", "10.2.0.7"), special("gone6", "fd00:2::7"),
		flatBackend("own4", "fd00:2::8"), flatBackend("own6", "10.2.0.8"),
		special("secondcrossed4", "fd00:2::9"), special("secondcrossed6", "10.2.0.9"),
	}
	wayVIPs = []lb.VIP{
		tableVIP("crossed4", "198.51.100.15", lb.TCP, "crossed4", 80), tableVIP("crossed6", "2001:db8::15", lb.TCP, "crossed6", 80),
		tableVIP("crossedudp4", "198.51.100.15", lb.UDP, "crossed4", 53), tableVIP("crossedudp6", "2001:db8::15", lb.UDP, "crossed6", 53),
		tableVIP("flat4", "198.51.100.16", lb.TCP, "flat4", 80), tableVIP("flat6", "2001:db8::16", lb.TCP, "flat6", 80),
		tableVIP("routed4", "198.51.100.17", lb.TCP, "routed4", 80), tableVIP("routed6", "2001:db8::17", lb.TCP, "routed6", 80),
		tableVIP("second4", "198.51.100.18", lb.TCP, "second4", 80), tableVIP("second6", "2001:db8::18", lb.TCP, "second6", 80),
		tableVIP("gone4", "198.51.100.19", lb.TCP, "gone4", 80), tableVIP("gone6", "2001:db8::19", lb.TCP, "gone6", 80),
		tableVIP("own4", "198.51.100.21", lb.TCP, "own4", 80), tableVIP("own6", "2001:db8::21", lb.TCP, "own6", 80),
		tableVIP("secondcrossed4", "198.51.100.22", lb.TCP, "secondcrossed4", 80),
		tableVIP("secondcrossed6", "2001:db8::22", lb.TCP, "secondcrossed6", 80),
	}
)

// wayHops changes the next hops of wayPools' backends to what their names say.
func wayHops(hops lb.Hops) {
	for _, family := range []string{"10.2.0.", "fd00:2::"} {
		at := func(last string) netip.Addr { return netip.MustParseAddr(family + last) }
		for _, last := range []string{"4", "8"} {
			hop := hops[at(last)]
			hop.Direct = true
			hops[at(last)] = hop
		}
		hops[at("6")] = xdptest.Hop(at("6"), secondInterface)
		hops[at("7")] = xdptest.Hop(at("7"), goneInterface)
		hops[at("9")] = xdptest.Hop(at("9"), secondInterface)
	}
}

// The rows of the packet table about ways to a backend. They run for an IPv4 and an IPv6 packet each.
var wayRows = []row{
	{name: "crossed", last: 15, verdict: lb.VerdictForwarded},
	{name: "crossed-syn", packet: xdptest.Packet{SYN: true}, last: 15, verdict: lb.VerdictForwarded, newFlow: true},
	{name: "crossed-udp", packet: xdptest.Packet{UDP: true, Payload: []byte("query")}, last: 15, verdict: lb.VerdictForwarded},
	{name: "crossed-dscp-and-ecn", packet: xdptest.Packet{TOS: 0xba}, last: 15, verdict: lb.VerdictForwarded},
	{name: "crossed-ce", packet: xdptest.Packet{TOS: 0x03}, last: 15, verdict: lb.VerdictForwarded},
	{name: "crossed-df", packet: xdptest.Packet{DF: true, ID: 0x1234}, last: 15, verdict: lb.VerdictForwarded},
	{name: "crossed-padding", edit: pad(9), last: 15, verdict: lb.VerdictForwarded},
	{name: "crossed-options", packet: xdptest.Packet{Options: make([]byte, 8)}, last: 15, only: 4, verdict: lb.VerdictForwarded},
	{name: "crossed-extension", packet: oneExtension(60, extension(24)), last: 15, only: 6, verdict: lb.VerdictForwarded},
	{name: "crossed-largest-that-fits", packet: xdptest.Packet{Payload: make([]byte, 1600-40-20-20)}, last: 15, only: 4, verdict: lb.VerdictForwarded},
	{name: "crossed-largest-that-fits", packet: xdptest.Packet{Payload: make([]byte, 1600-20-40-20)}, last: 15, only: 6, verdict: lb.VerdictForwarded},
	{name: "crossed-too-big", packet: xdptest.Packet{Payload: make([]byte, 1600-40-20-20+1)}, last: 15, only: 4, verdict: lb.VerdictTooBig},
	{name: "crossed-too-big", packet: xdptest.Packet{Payload: make([]byte, 1600-20-40-20+1)}, last: 15, only: 6, verdict: lb.VerdictTooBig},
	{name: "l2", last: 16, verdict: lb.VerdictForwarded},
	{name: "l2-syn", packet: xdptest.Packet{SYN: true, TOS: 0xba}, last: 16, verdict: lb.VerdictForwarded, newFlow: true},
	{name: "l2-padding", edit: pad(6), last: 16, verdict: lb.VerdictForwarded},
	{name: "l2-largest-that-fits", packet: xdptest.Packet{Payload: make([]byte, 1600-20-20)}, last: 16, only: 4, verdict: lb.VerdictForwarded},
	{name: "l2-largest-that-fits", packet: xdptest.Packet{Payload: make([]byte, 1600-40-20)}, last: 16, only: 6, verdict: lb.VerdictForwarded},
	{name: "l2-too-big", packet: xdptest.Packet{Payload: make([]byte, 1600-20-20+1)}, last: 16, only: 4, verdict: lb.VerdictTooBig},
	{name: "l2-too-big", packet: xdptest.Packet{Payload: make([]byte, 1600-40-20+1)}, last: 16, only: 6, verdict: lb.VerdictTooBig},
	{name: "l2-of-the-backend", last: 21, verdict: lb.VerdictForwarded},
	{name: "l2-behind-router", last: 17, verdict: lb.VerdictOffSegment},
	{name: "redirected", last: 18, verdict: lb.VerdictRedirected},
	{name: "redirected-syn", packet: xdptest.Packet{SYN: true}, last: 18, verdict: lb.VerdictRedirected, newFlow: true},
	{name: "redirected-crossed", last: 22, verdict: lb.VerdictRedirected},
	{name: "redirected-too-big", packet: xdptest.Packet{Payload: make([]byte, 1600)}, last: 18, verdict: lb.VerdictTooBig},
	{name: "redirected-interface-gone", last: 19, verdict: lb.VerdictEgressUnmanaged},
}

// openTable opens a data plane with the table's interfaces.
func openTable(t *testing.T, o xdp.Options) *xdp.Dataplane {
	t.Helper()
	o.Interfaces = tableInterfaces
	d := xdptest.MustOpen(t, o)
	const second, loopback = uint32(1), uint32(1) // its place in tableInterfaces, its index in every namespace
	if err := d.Map("egress").Put(second, loopback); err != nil {
		t.Fatal(err)
	}
	return d
}

func tableTwin(state *lb.State) *lb.Twin {
	twin := lb.NewTwin(state, xdptest.Seed, xdptest.Interface)
	twin.Managed = []string{secondInterface}
	return twin
}

// TestPacketTableWithSources runs the table with outer sources from prefixes.
func TestPacketTableWithSources(t *testing.T) {
	hops := tableHops()
	for address, hop := range hops {
		hops[address] = tableSources.Apply(hop)
	}
	runTable(t, openTable(t, xdp.Options{SourceEntropy: true}), hops)
}

// TestSourcesSpread sends flows and looks where in its prefix each outer source lies.
func TestSourcesSpread(t *testing.T) {
	hops := tableHops()
	for address, hop := range hops {
		hops[address] = tableSources.Apply(hop)
	}
	d := openTable(t, xdp.Options{SourceEntropy: true})
	xdptest.MustPublish(t, d, xdptest.MustPlan(t, nil, tableConfig, hops))
	for _, ipv6 := range []bool{false, true} {
		const flows = 1000
		seen := map[netip.Addr]bool{}
		for i := range flows {
			frame := row{}.frame(ipv6)
			binary.BigEndian.PutUint16(frame[len(frame)-20:], uint16(10000+i)) // the source port
			if action, out := xdptest.MustRun(t, d.Program(xdptest.Interface), frame); action != lb.ActionTX {
				t.Fatalf("flow %d: %s", i, action)
			} else if ipv6 {
				seen[netip.AddrFrom16([16]byte(out[14+8:14+24]))] = true
			} else {
				seen[netip.AddrFrom4([4]byte(out[14+12:14+16]))] = true
			}
		}
		// 1,000 draws from 2^15 leave 985 different ones on average, from 2^32 all.
		if len(seen) < flows*95/100 {
			t.Errorf("IPv6 %t: %d flows have %d sources", ipv6, flows, len(seen))
		}
		for source := range seen {
			if !tableSources.V4.Contains(source) && !tableSources.V6.Contains(source) {
				t.Fatalf("source %s is in none of %+v", source, tableSources)
			}
		}
	}
}
