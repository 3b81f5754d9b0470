package bench

import (
	"encoding/binary"
	"math"
	"net"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluice-lb/sluice/lb"
)

// TestGeneratedFramesAreWhatLayersSay compares with frames that gopacket makes of the same fields.
func TestGeneratedFramesAreWhatLayersSay(t *testing.T) {
	for _, kind := range allKinds {
		o := FlowOptions{Flows: 500, SYN: 0.5, Sizes: []int{80, 128, 1500}, Family: kind.Family, Protocol: kind.Protocol}
		s := mustGenerate(t, o)
		for i := range 500 {
			frame := s.Frame(i)
			h, reason := readHeader(frame)
			if reason != "" {
				t.Fatalf("%v: frame %d: %s: %x", kind, i, reason, frame)
			}
			if want := mustBuild(t, h, len(frame)); string(want) != string(frame) {
				t.Fatalf("%v: frame %d\nwant %x\ngot  %x", kind, i, want, frame)
			}
		}
	}
}

// mustBuild makes the frame of a flow, with zero transport checksum, as generated frames have.
func mustBuild(t *testing.T, h header, length int) []byte {
	t.Helper()
	source, destination := net.IP(h.source.Addr().AsSlice()), net.IP(h.destination.Addr().AsSlice())
	ethernet := &layers.Ethernet{SrcMAC: routerMAC[:], DstMAC: stationMAC[:], EthernetType: layers.EthernetTypeIPv4}
	var ip gopacket.SerializableLayer = &layers.IPv4{
		Version: 4, IHL: 5, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocol(h.kind.Protocol),
		Length: uint16(length - ethernetBytes), SrcIP: source, DstIP: destination,
	}
	headers := ethernetBytes + ipv4Bytes
	if h.kind.Family == IPv6 {
		headers = ethernetBytes + ipv6Bytes
		ethernet.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{
			Version: 6, HopLimit: 64, NextHeader: layers.IPProtocol(h.kind.Protocol),
			Length: uint16(length - headers), SrcIP: source, DstIP: destination,
		}
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{ComputeChecksums: true}, ethernet, ip); err != nil {
		t.Fatal(err)
	}
	return append(buffer.Bytes()[:headers], buildTransport(h, length-headers)...)
}

func buildTransport(h header, length int) []byte {
	b := make([]byte, length)
	binary.BigEndian.PutUint16(b, h.source.Port())
	binary.BigEndian.PutUint16(b[2:], h.destination.Port())
	if h.kind.Protocol == lb.UDP {
		binary.BigEndian.PutUint16(b[4:], uint16(length))
		return b
	}
	b[7], b[12], b[13], b[14] = 1, 5<<4, tcpACK, 2
	if h.syn {
		b[13] = tcpSYN
	}
	return b
}

func TestUniformVisitsEveryFlowAlike(t *testing.T) {
	o := FlowOptions{Flows: 3000, SYN: 0.25, Sizes: []int{128}, Family: IPv4, Protocol: lb.TCP}
	s := mustGenerate(t, o)
	flows := map[[6]byte]int{}
	syns := 0
	for _, p := range s.packets {
		var key [6]byte
		binary.NativeEndian.PutUint32(key[:], p.Source)
		binary.NativeEndian.PutUint16(key[4:], p.Port)
		flows[key]++
		if p.Flags == tcpSYN {
			syns++
		}
	}
	if len(flows) != 3000 || s.Len()%3000 != 0 {
		t.Errorf("%d flows in %d packets, want 3000", len(flows), s.Len())
	}
	for flow, n := range flows {
		if n != s.Len()/3000 {
			t.Fatalf("flow %x has %d packets, want %d", flow, n, s.Len()/3000)
		}
	}
	if share := float64(syns) / float64(s.Len()); math.Abs(share-0.25) > 0.01 {
		t.Errorf("SYN share %.3f, want 0.25", share)
	}
}

func TestZipfIsSkewed(t *testing.T) {
	o := FlowOptions{Flows: 1000, Distribution: Zipf, Sizes: []int{128}, Family: IPv6, Protocol: lb.UDP}
	s := mustGenerate(t, o)
	counts := map[uint64]int{}
	for _, p := range s.packets {
		counts[uint64(p.Source)<<16|uint64(p.Port)]++
	}
	// The most popular of 1000 flows has 1 / sum(k^-1.1) = 18 % of the packets, a plain share would be 0.1 %.
	first := 0
	for _, n := range counts {
		first = max(first, n)
	}
	if share := float64(first) / float64(s.Len()); share < 0.15 || share > 0.21 {
		t.Errorf("the most popular flow has share %.3f, want about 0.18", share)
	}
	if s.Flows != len(counts) {
		t.Errorf("stream says %d flows, has %d", s.Flows, len(counts))
	}
}

func TestSameSeedSameTraffic(t *testing.T) {
	o := FlowOptions{Flows: 100, SYN: 0.5, Sizes: []int{80, 200}, Family: IPv4, Protocol: lb.TCP, Seed: 7}
	a, b := mustGenerate(t, o), mustGenerate(t, o)
	o.Seed = 8
	c := mustGenerate(t, o)
	same := func(a, b *Stream) bool {
		for i := range a.packets {
			if a.packets[i] != b.packets[i] {
				return false
			}
		}
		return true
	}
	if !same(a, b) || same(a, c) {
		t.Error("the seed must decide the order")
	}
}

func TestFlowOptionsAreChecked(t *testing.T) {
	valid := FlowOptions{Flows: 1, Sizes: []int{64}, Family: IPv4, Protocol: lb.TCP}
	if err := valid.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*FlowOptions){
		"flows 0":                func(o *FlowOptions) { o.Flows = 0 },
		"flows 16386049":         func(o *FlowOptions) { o.Flows = MaxFlows + 1 },
		"syn share 1.5":          func(o *FlowOptions) { o.SYN = 1.5 },
		"family 5":               func(o *FlowOptions) { o.Family = 5 },
		"protocol protocol(132)": func(o *FlowOptions) { o.Protocol = 132 },
		"size: none":             func(o *FlowOptions) { o.Sizes = nil },
		"size 63":                func(o *FlowOptions) { o.Sizes = []int{128, 63} },
		"size 79":                func(o *FlowOptions) { o.Family, o.Sizes = IPv6, []int{79} },
		"size 3501":              func(o *FlowOptions) { o.Sizes = []int{3501} },
	} {
		o := valid
		change(&o)
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got error %v, want one about %q", err, want)
		}
	}
	if _, err := Generate(valid, nil); err == nil || !strings.Contains(err.Error(), "no VIP takes tcp over IPv4") {
		t.Errorf("no endpoints: got error %v", err)
	}
}
