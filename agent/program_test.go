package agent

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	actionNext = 0xffffffff // TC_ACT_UNSPEC
	actionDrop = 2          // TC_ACT_SHOT

	etherLen = 14
)

func mustRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("needs root to load programs")
	}
	t.Skip("needs root to load programs")
}

func testOptions(t testing.TB) Options {
	t.Helper()
	o, err := Options{
		VIPs: []netip.Addr{netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("2001:db8::10")},
		From: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("10.77.0.1/32"),
			netip.MustParsePrefix("fd00:9::/32")},
		Interfaces: []string{"eth0"},
		BPFFSDir:   t.TempDir(),
	}.normalize()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// bench runs frames through the programs without an interface.
type bench struct{ *bpfObjects }

func mustLoad(t testing.TB, o Options) bench {
	t.Helper()
	mustRoot(t)
	objects, err := load(o)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { objects.Close() })
	return bench{objects}
}

func (b bench) counts(t testing.TB) map[Verdict]uint64 {
	t.Helper()
	counts := map[Verdict]uint64{}
	for v := Verdict(0); v < VerdictCount; v++ {
		var perCPU []bpfCounter
		if err := b.Counters.Lookup(uint32(v), &perCPU); err != nil {
			t.Fatal(err)
		}
		for _, c := range perCPU {
			counts[v] += c.Packets
		}
	}
	return counts
}

// run returns the one verdict whose counter has moved, and the frame as the program left it.
func (b bench) run(t testing.TB, p *ebpf.Program, frame []byte) (Verdict, []byte) {
	t.Helper()
	before := b.counts(t)
	o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	action, err := p.Run(&o)
	if err != nil {
		t.Fatalf("running %d bytes: %v", len(frame), err)
	}
	var verdict Verdict
	for v, n := range b.counts(t) {
		switch n - before[v] {
		case 0:
		case 1:
			if verdict != 0 {
				t.Fatalf("both %v and %v were counted", verdict, v)
			}
			verdict = v
		default:
			t.Fatalf("%v was counted %d times", v, n-before[v])
		}
	}
	want := uint32(actionNext)
	if verdict.Info().Drop {
		want = actionDrop
	}
	if action != want {
		t.Fatalf("verdict %v: action %d, want %d", verdict, int32(action), int32(want))
	}
	return verdict, o.DataOut
}

// PROG_RUN receives on a loopback interface, whose address is zero.
func ethernet(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: net.HardwareAddr{0, 0, 0x5e, 0, 0x53, 1}, DstMAC: make(net.HardwareAddr, 6), EthernetType: t}
}

func ipv4(src, dst string, p layers.IPProtocol, tos uint8) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, TOS: tos, Protocol: p, SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4()}
}

func ipv6(src, dst string, p layers.IPProtocol, class uint8) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, TrafficClass: class, NextHeader: p, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst)}
}

func mustSerialize(t testing.TB, list ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	o := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, o, list...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buffer.Bytes())
}

// tunnelled is a UDP datagram to a VIP, before and after decapsulation.
type tunnelled struct {
	from             string // outer source
	vip              string
	outer, inner     uint8               // TOS or traffic class
	after            uint8               // the inner one as it should be received
	v6               bool                // the datagram
	outerV6          bool                // what is around it
	change           func([]byte) []byte // of the frame as sent
	wantVerdict      Verdict
	wantDecapsulated bool
}

// headers is the size of Ethernet and both IP headers.
func (p tunnelled) headers() int {
	n := etherLen + 20 + 20
	if p.v6 {
		n += 20
	}
	if p.outerV6 {
		n += 20
	}
	return n
}

func (p tunnelled) frames(t testing.TB) (sent, received []byte) {
	t.Helper()
	udp := &layers.UDP{SrcPort: 40000, DstPort: 53}
	// Without payload gopacket would pad the frame, and the padding would look like data.
	payload := gopacket.Payload("a question of thirty-two octets.")
	var pseudo gopacket.NetworkLayer
	var inner func(class uint8) gopacket.SerializableLayer
	protocol, innerType := layers.IPProtocolIPv4, layers.EthernetTypeIPv4
	if p.v6 {
		protocol, innerType = layers.IPProtocolIPv6, layers.EthernetTypeIPv6
		pseudo = ipv6("2001:db8:c::7", p.vip, layers.IPProtocolUDP, 0)
		inner = func(class uint8) gopacket.SerializableLayer {
			return ipv6("2001:db8:c::7", p.vip, layers.IPProtocolUDP, class)
		}
	} else {
		pseudo = ipv4("203.0.113.7", p.vip, layers.IPProtocolUDP, 0)
		inner = func(tos uint8) gopacket.SerializableLayer {
			return ipv4("203.0.113.7", p.vip, layers.IPProtocolUDP, tos)
		}
	}
	if err := udp.SetNetworkLayerForChecksum(pseudo); err != nil {
		t.Fatal(err)
	}
	outerType := layers.EthernetTypeIPv4
	var outer gopacket.SerializableLayer = ipv4(p.from, "10.9.0.2", protocol, p.outer)
	if p.outerV6 {
		outerType, outer = layers.EthernetTypeIPv6, ipv6(p.from, "fd00:9::2", protocol, p.outer)
	}
	return mustSerialize(t, ethernet(outerType), outer, inner(p.inner), udp, payload),
		mustSerialize(t, ethernet(innerType), inner(p.after), udp, payload)
}

// good is a datagram that is decapsulated, by the families inside and outside.
func good(v6, outerV6 bool) tunnelled {
	p := tunnelled{v6: v6, outerV6: outerV6, from: "10.9.0.1", vip: "198.51.100.10", wantDecapsulated: true}
	if v6 {
		p.vip = "2001:db8::10"
	}
	if outerV6 {
		p.from = "fd00:9::1"
	}
	p.wantVerdict = map[[2]bool]Verdict{
		{false, false}: VerdictDecapsulatedV4, {true, true}: VerdictDecapsulatedV6,
		{true, false}: VerdictDecapsulatedV6InV4, {false, true}: VerdictDecapsulatedV4InV6,
	}[[2]bool{v6, outerV6}]
	return p
}

// everyFamily runs a test for each combination of families.
func everyFamily(t *testing.T, test func(t *testing.T, v6, outerV6 bool)) {
	t.Helper()
	for _, v6 := range []bool{false, true} {
		for _, outerV6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("v6-%t-in-v6-%t", v6, outerV6), func(t *testing.T) { test(t, v6, outerV6) })
		}
	}
}

func (p tunnelled) but(v Verdict, change func([]byte) []byte) tunnelled {
	p.change, p.wantVerdict, p.wantDecapsulated = change, v, false
	return p
}

func set16(offset int, value uint16) func([]byte) []byte {
	return func(f []byte) []byte {
		binary.BigEndian.PutUint16(f[offset:], value)
		return f
	}
}

func set8(offset int, value byte) func([]byte) []byte {
	return func(f []byte) []byte {
		f[offset] = value
		return f
	}
}

func (b bench) check(t *testing.T, p tunnelled) {
	t.Helper()
	sent, received := p.frames(t)
	if p.change != nil {
		sent = p.change(sent)
	}
	want := sent
	if p.wantDecapsulated {
		want = received
	}
	verdict, got := b.run(t, b.SluiceIngress, sent)
	if verdict != p.wantVerdict {
		t.Errorf("verdict %v, want %v", verdict, p.wantVerdict)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("frame\n%v\nwant\n%v", dump(got), dump(want))
	}
}

func dump(frame []byte) string {
	return gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default).Dump()
}

func TestIngress(t *testing.T) {
	b := mustLoad(t, testOptions(t))
	v4, v6, in4, in6 := good(false, false), good(true, true), good(true, false), good(false, true)
	from := func(p tunnelled, from string, v Verdict) tunnelled {
		p.from, p.wantVerdict = from, v
		p.wantDecapsulated = v == VerdictDecapsulatedV4
		return p
	}
	to := func(p tunnelled, vip string) tunnelled {
		p.vip = vip
		return p.but(VerdictPassNotVIP, nil)
	}
	const inner4, inner6 = etherLen + 20, etherLen + 40
	padded := func(p tunnelled) tunnelled {
		return p.but(p.wantVerdict, func(f []byte) []byte { return append(f, make([]byte, 6)...) })
	}
	rows := map[string]tunnelled{
		"v4":                       v4,
		"v6":                       v6,
		"v4-other-prefix":          from(v4, "10.77.0.1", VerdictDecapsulatedV4),
		"v4-next-to-a-prefix":      from(v4, "10.77.0.2", VerdictRefusedSource),
		"v4-refused":               from(v4, "10.10.0.1", VerdictRefusedSource),
		"v6-refused":               from(v6, "fd00:a::1", VerdictRefusedSource),
		"v4-not-a-vip":             to(v4, "198.51.100.11"),
		"v6-not-a-vip":             to(v6, "2001:db8::11"),
		"v4-outer-options":         v4.but(VerdictPassNotEncapsulated, set8(etherLen, 0x46)),
		"v4-outer-version":         v4.but(VerdictPassNotEncapsulated, set8(etherLen, 0x55)),
		"v6-outer-version":         v6.but(VerdictPassNotEncapsulated, set8(etherLen, 0x50)),
		"v4-not-ipip":              v4.but(VerdictPassNotEncapsulated, set8(etherLen+9, 47)),
		"v6-outer-extension":       v6.but(VerdictPassNotEncapsulated, set8(etherLen+6, 60)),
		"v6-in-v4":                 in4,
		"v4-in-v6":                 in6,
		"v6-in-v4-refused":         from(in4, "10.10.0.1", VerdictRefusedSource),
		"v4-in-v6-refused":         from(in6, "fd00:a::1", VerdictRefusedSource),
		"v6-in-v4-not-a-vip":       to(in4, "2001:db8::11"),
		"v4-in-v6-not-a-vip":       to(in6, "198.51.100.11"),
		"v4-said-to-be-v6":         v4.but(VerdictPassNotVIP, set8(etherLen+9, 41)),
		"v6-said-to-be-v4":         v6.but(VerdictPassNotVIP, set8(etherLen+6, 4)),
		"v6-in-v4-inner-version":   in4.but(VerdictMalformed, set8(inner4, 0x40)),
		"v4-in-v6-inner-version":   in6.but(VerdictMalformed, set8(inner6, 0x65)),
		"v6-in-v4-inner-too-long":  in4.but(VerdictMalformed, set16(inner4+4, 41)),
		"v4-in-v6-inner-too-long":  in6.but(VerdictMalformed, set16(inner6+2, 61)),
		"v6-in-v4-outer-too-long":  in4.but(VerdictMalformed, set16(etherLen+2, 101)),
		"v4-in-v6-outer-too-long":  in6.but(VerdictMalformed, set16(etherLen+4, 61)),
		"v6-in-v4-outer-too-short": in4.but(VerdictMalformed, set16(etherLen+2, 99)),
		"v4-in-v6-outer-too-short": in6.but(VerdictMalformed, set16(etherLen+4, 59)),
		"v6-in-v4-outer-zero":      in4.but(VerdictMalformed, set16(etherLen+2, 0)),
		"v6-in-v4-fragment":        in4.but(VerdictPassOuterFragment, set16(etherLen+6, 0x2000)),
		"arp":                      v4.but(VerdictPassNotEncapsulated, set16(12, 0x0806)),
		"other-host":               v4.but(VerdictPassNotEncapsulated, set8(5, 2)),
		"v4-outer-first-fragment":  v4.but(VerdictPassOuterFragment, set16(etherLen+6, 0x2000)),
		"v4-outer-later-fragment":  v4.but(VerdictPassOuterFragment, set16(etherLen+6, 5)),
		"v4-outer-dont-fragment":   {from: v4.from, vip: v4.vip, change: set16(etherLen+6, 0x4000), wantVerdict: v4.wantVerdict, wantDecapsulated: true},
		"v6-outer-fragment":        v6.but(VerdictPassOuterFragment, set8(etherLen+6, 44)),
		"v4-inner-version":         v4.but(VerdictMalformed, set8(inner4, 0x65)),
		"v4-inner-header-length":   v4.but(VerdictMalformed, set8(inner4, 0x44)),
		"v4-inner-header-too-long": v4.but(VerdictMalformed, func(f []byte) []byte { return set8(inner4, 0x4f)(set16(inner4+2, 59)(f)) }),
		"v4-inner-too-long":        v4.but(VerdictMalformed, set16(inner4+2, 61)),
		"v4-inner-too-short":       v4.but(VerdictMalformed, set16(inner4+2, 19)),
		"v4-outer-too-long":        v4.but(VerdictMalformed, set16(etherLen+2, 81)),
		"v4-outer-too-short":       v4.but(VerdictMalformed, set16(etherLen+2, 79)),
		"v4-outer-zero":            v4.but(VerdictMalformed, set16(etherLen+2, 0)),
		"v6-inner-version":         v6.but(VerdictMalformed, set8(inner6, 0x40)),
		"v6-inner-too-long":        v6.but(VerdictMalformed, set16(inner6+4, 41)),
		"v6-outer-too-long":        v6.but(VerdictMalformed, set16(etherLen+4, 81)),
		"v6-outer-too-short":       v6.but(VerdictMalformed, set16(etherLen+4, 79)),
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) { b.check(t, row) })
	}
	for name, p := range map[string]tunnelled{"v4-padded": padded(v4), "v6-padded": padded(v6), "v6-in-v4-padded": padded(in4), "v4-in-v6-padded": padded(in6)} {
		t.Run(name, func(t *testing.T) {
			sent, received := p.frames(t)
			verdict, got := b.run(t, b.SluiceIngress, p.change(sent))
			if verdict != p.wantVerdict || !bytes.Equal(got, append(received, make([]byte, 6)...)) {
				t.Errorf("verdict %v, frame\n%s", verdict, dump(got))
			}
		})
	}
	b.checkRefused(t, map[string]uint64{"10.77.0.2": 1, "10.10.0.1": 2, "fd00:a::1": 2})
}

func (b bench) checkRefused(t *testing.T, want map[string]uint64) {
	t.Helper()
	var st Status
	if err := st.readRefused(b.Refused); err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, r := range st.Refused {
		got[r.Address.String()] = r.Packets
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("refused sources %v, want %v", got, want)
	}
}

// The rows are figure 4 of RFC 6040, by inner and outer field; drop is 4.
func TestIngressECN(t *testing.T) {
	const drop = 4
	after := [4][4]uint8{
		/* inner not-ECT */ {0, 0, 0, drop},
		/* inner ECT(1) */ {1, 1, 1, 3},
		/* inner ECT(0) */ {2, 1, 2, 3},
		/* inner CE */ {3, 3, 3, 3},
	}
	b := mustLoad(t, testOptions(t))
	const dscp = 46 << 2
	everyFamily(t, func(t *testing.T, v6, outerV6 bool) {
		for inner := range uint8(4) {
			for outer := range uint8(4) {
				t.Run(fmt.Sprintf("inner-%d-outer-%d", inner, outer), func(t *testing.T) {
					p := good(v6, outerV6)
					p.inner, p.outer = dscp|inner, outer
					if want := after[inner][outer]; want == drop {
						p = p.but(VerdictCEDropped, nil)
					} else {
						p.after = dscp | want
					}
					b.check(t, p)
				})
			}
		}
	})
}

func TestIngressTruncated(t *testing.T) {
	b := mustLoad(t, testOptions(t))
	everyFamily(t, func(t *testing.T, v6, outerV6 bool) {
		p := good(v6, outerV6)
		whole, _ := p.frames(t)
		// The kernel itself refuses to run a frame without a byte of payload, newer ones one without an IP header.
		for n := etherLen + 40; n < len(whole); n++ {
			verdict, got := b.run(t, b.SluiceIngress, whole[:n])
			want := VerdictMalformed
			if n < p.headers() {
				want = VerdictPassUnreadable
			}
			if verdict != want || !bytes.Equal(got, whole[:n]) {
				t.Errorf("%d of %d bytes: verdict %v, want %v, unchanged %t", n, len(whole), verdict, want, bytes.Equal(got, whole[:n]))
			}
		}
		for n := etherLen + 1; n < etherLen+40; n++ {
			o := ebpf.RunOptions{Data: whole[:n], DataOut: make([]byte, 256)}
			action, err := b.SluiceIngress.Run(&o)
			if err == nil && (action != actionNext || !bytes.Equal(o.DataOut, whole[:n])) {
				t.Errorf("%d bytes: action %d, unchanged %t", n, int32(action), bytes.Equal(o.DataOut, whole[:n]))
			}
		}
	})
}

// outerHeaders are the bytes that each verdict takes away.
var outerHeaders = map[Verdict]int{
	VerdictDecapsulatedV4: 20, VerdictDecapsulatedV6: 40, VerdictDecapsulatedV6InV4: 20, VerdictDecapsulatedV4InV6: 40,
}

// A frame that is passed is the frame that came, and one that is decapsulated is its inner packet but for ECN.
func TestIngressRandom(t *testing.T) {
	b := mustLoad(t, testOptions(t))
	seed := uint64(os.Getpid())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	seen := map[Verdict]int{}
	for range 5000 {
		p := good(r.IntN(2) == 0, r.IntN(2) == 0)
		frame, _ := p.frames(t)
		for range 1 + r.IntN(3) {
			// The destination MAC stays: other hosts' frames are a single case.
			frame[6+r.IntN(len(frame)-6)] = byte(r.Uint32())
		}
		verdict, got := b.run(t, b.SluiceIngress, frame)
		seen[verdict]++
		want := frame
		if skip := outerHeaders[verdict]; skip > 0 {
			want = append(bytes.Clone(frame[:etherLen]), frame[etherLen+skip:]...)
			copy(want[12:14], got[12:])                         // the inner ethertype
			copy(want[etherLen+1:etherLen+2], got[etherLen+1:]) // ECN, and the checksum over it
			if want[12] == 0x08 {
				copy(want[etherLen+10:etherLen+12], got[etherLen+10:])
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("verdict %v\n%s\nbecame\n%s", verdict, dump(frame), dump(got))
		}
	}
	t.Logf("verdicts %v", seen)
	if len(seen) < 5 {
		t.Errorf("only verdicts %v were met", seen)
	}
}

// With VIPs of one family the other one is left alone.
func TestIngressOneFamily(t *testing.T) {
	everyFamily(t, func(t *testing.T, v6, outerV6 bool) {
		o := testOptions(t)
		o.VIPs = []netip.Addr{netip.MustParseAddr(good(v6, outerV6).vip)}
		b := mustLoad(t, o)
		b.check(t, good(v6, outerV6))
		b.check(t, good(!v6, outerV6).but(VerdictPassNotVIP, nil))
	})
}

// A program that is anywhere near the limit of a million here is beyond it in the oldest kernel, whose verifier sees more states.
func TestProgramsAreSimple(t *testing.T) {
	const most = 50000
	b := mustLoad(t, testOptions(t))
	for name, p := range map[string]*ebpf.Program{"ingress": b.SluiceIngress, "egress": b.SluiceEgress} {
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		n, ok := info.VerifiedInstructions()
		t.Logf("%s: %d instructions verified", name, n)
		if ok && n > most {
			t.Errorf("%s: %d instructions verified, want at most %d", name, n, most)
		}
	}
}
