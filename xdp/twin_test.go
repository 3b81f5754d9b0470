package xdp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
	"github.com/sluice-lb/sluice/xdp/xdptest"
)

// twinPackets is how many generated packets program and twin are compared on.
const twinPackets = 100_000

// testSeed is the seed of a random test: SLUICE_TEST_SEED, or the clock. It is logged, so that a failure can be replayed.
func testSeed(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SLUICE_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SLUICE_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestTwinAgrees(t *testing.T) {
	random := testSeed(t)
	d := openTable(t, xdp.Options{SourceEntropy: true})
	config := tableConfig
	config.Pools = append(config.Pools, xdptest.Pool("many4", 30, false), xdptest.Pool("many6", 30, true))
	config.VIPs = append(config.VIPs, tableVIP("many4", "198.51.100.20", lb.TCP, "many4", 80),
		tableVIP("many6", "2001:db8::20", lb.TCP, "many6", 80),
		tableVIP("crossedmany4", "198.51.100.23", lb.TCP, "many6", 80), tableVIP("crossedmany6", "2001:db8::23", lb.TCP, "many4", 80),
		tableVIP("udp4", "198.51.100.20", lb.UDP, "many4", 53), tableVIP("udp6", "2001:db8::20", lb.UDP, "many6", 53))
	hops := xdptest.Hops(config, xdptest.Interface)
	for address, hop := range tableHops() {
		hops[address] = hop
	}
	for _, last := range []string{"10.2.0.1", "fd00:2::1"} {
		delete(hops, netip.MustParseAddr(last))
	}
	for address, hop := range hops { // half of the backends are told by a prefix, half by the interface's address
		if b := address.AsSlice(); b[len(b)-1]%2 == 0 {
			hops[address] = tableSources.Apply(hop)
		}
	}
	state := xdptest.MustPlan(t, nil, config, hops)
	xdptest.MustPublish(t, d, state)
	twin := tableTwin(state)

	before := readCounters(t, d)
	var verdicts [lb.VerdictCount]uint64
	for i := range twinPackets {
		frame := randomFrame(random)
		action, out := xdptest.MustRun(t, d.Program(xdptest.Interface), frame)
		result := twin.Process(frame)
		verdicts[result.Verdict]++
		if action != result.Action || !bytes.Equal(out, result.Frame) {
			t.Fatalf("packet %d: program: %s, twin: %s (%s)\nin %x\n%s", i, action, result.Action, result.Verdict, frame,
				describeDifference(result.Frame, out))
		}
	}
	after := readCounters(t, d)
	for v := range lb.VerdictCount {
		if got := after.Interfaces[0].Verdicts[v] - before.Interfaces[0].Verdicts[v]; got != verdicts[v] {
			t.Errorf("verdict %s: program counted %d, twin %d", v, got, verdicts[v])
		}
		never := v == lb.VerdictNext || v == lb.VerdictNoHeadroom || v == lb.VerdictBadTable
		if !never && verdicts[v] < 50 {
			t.Errorf("verdict %s: only %d of %d packets: the generator has lost its way there", v, verdicts[v], twinPackets)
		}
	}
}

// randomFrame is a packet of the table's kind, valid or with a few bytes changed, cut or padded.
func randomFrame(random *rand.Rand) []byte {
	ipv6 := random.IntN(2) == 0
	r := row{
		packet: xdptest.Packet{
			UDP: random.IntN(3) == 0, SYN: random.IntN(3) == 0, ACK: random.IntN(2) == 0, FIN: random.IntN(9) == 0,
			TOS: uint8(random.Uint32()), DF: random.IntN(2) == 0, ID: uint16(random.Uint32()),
			Payload: make([]byte, random.IntN(64)),
		},
		last: []int{10, 10, 11, 12, 13, 14, 15, 15, 16, 17, 18, 19, 20, 20, 20, 20, 21, 22, 23, 23, 99}[random.IntN(21)],
		port: []uint16{0, 0, 0, 0, 0, 443, 81}[random.IntN(7)],
	}
	p := &r.packet
	switch {
	case random.IntN(40) == 0:
		p.Payload = make([]byte, 1500+random.IntN(100))
	case random.IntN(10) == 0 && !ipv6:
		p.Options = make([]byte, 4*(1+random.IntN(10)))
	case random.IntN(20) == 0 && !ipv6:
		p.Fragment, p.MoreFragments = uint16(random.IntN(3)), random.IntN(2) == 0
	case random.IntN(5) == 0 && ipv6:
		randomExtensions(random, p)
	}
	frame := r.frame(ipv6)
	randomSource(random, frame)
	return mutate(random, frame)
}

func randomExtensions(random *rand.Rand, p *xdptest.Packet) {
	for range 1 + random.IntN(8) {
		number := []uint8{0, 43, 44, 60, 60, 60}[random.IntN(6)]
		header := extension(8 * (1 + random.IntN(3)))
		if number == 44 {
			header = make([]byte, 8)
			if random.IntN(4) == 0 {
				header[3] = byte(random.Uint32())
			}
		}
		if number == 43 && random.IntN(4) == 0 {
			header[3] = 1
		}
		p.Extensions, p.ExtensionNumbers = append(p.Extensions, header), append(p.ExtensionNumbers, number)
	}
}

// randomSource gives the frame another client: address and port.
func randomSource(random *rand.Rand, frame []byte) {
	if frame[12] == 0x86 {
		binary.BigEndian.PutUint64(frame[14+16:], random.Uint64())
		return
	}
	binary.BigEndian.PutUint32(frame[14+12:], random.Uint32())
}

func mutate(random *rand.Rand, frame []byte) []byte {
	switch random.IntN(8) {
	case 0:
		for range 1 + random.IntN(3) {
			frame[12+random.IntN(min(len(frame)-12, 60))] = byte(random.Uint32())
		}
	case 1:
		frame = frame[:14+random.IntN(len(frame)-13)]
	case 2:
		frame = pad(1 + random.IntN(30))(frame)
	case 3:
		frame = addLength(random.IntN(40) - 20)(frame)
	}
	return frame
}

// TestTruncation cuts every packet of the table at every length: no abort, no unnamed verdict, and what is passed or
// dropped is bit-identical.
func TestTruncation(t *testing.T) {
	d := openTable(t, xdp.Options{})
	state := xdptest.MustPlan(t, nil, tableConfig, tableHops())
	xdptest.MustPublish(t, d, state)
	twin := tableTwin(state)
	for _, r := range slices.Concat(rows, wayRows) {
		for _, family := range []int{4, 6} {
			if r.only != 0 && r.only != family {
				continue
			}
			frame := r.frame(family == 6)
			for n := 14; n < min(len(frame), 200); n++ { // BPF_PROG_RUN takes no less than an Ethernet header
				compare(t, d, twin, frame[:n:n], fmt.Sprintf("%s-ipv%d, first %d bytes", r.name, family, n))
			}
		}
	}
	if got := readCounters(t, d).Interfaces[0].Verdicts; got[lb.VerdictBadTable]+got[lb.VerdictNext] != 0 {
		t.Errorf("verdicts that must never occur: %d bad_table, %d next", got[lb.VerdictBadTable], got[lb.VerdictNext])
	}
}

// TestRandomBytes feeds frames of random bytes, half of them behind an IP ethertype and version.
func TestRandomBytes(t *testing.T) {
	random := testSeed(t)
	d := openTable(t, xdp.Options{})
	state := xdptest.MustPlan(t, nil, tableConfig, tableHops())
	xdptest.MustPublish(t, d, state)
	twin := tableTwin(state)
	for range 20_000 {
		frame := make([]byte, 14+random.IntN(150))
		for i := range frame {
			frame[i] = byte(random.Uint32())
		}
		if len(frame) > 14 && random.IntN(2) == 0 {
			frame[12], frame[13], frame[14] = 0x08, 0x00, 0x40|frame[14]&0xf
			if random.IntN(2) == 0 {
				frame[12], frame[13], frame[14] = 0x86, 0xdd, 0x60|frame[14]&0xf
			}
		}
		compare(t, d, twin, frame, "random bytes")
	}
}

func compare(t *testing.T, d *xdp.Dataplane, twin *lb.Twin, frame []byte, what string) {
	t.Helper()
	action, out := xdptest.MustRun(t, d.Program(xdptest.Interface), frame)
	result := twin.Process(frame)
	if action != result.Action || !bytes.Equal(out, result.Frame) {
		t.Fatalf("%s: program: %s, twin: %s (%s)\nin %x\n%s", what, action, result.Action, result.Verdict, frame,
			describeDifference(result.Frame, out))
	}
	if action == lb.ActionAborted || (action != lb.ActionTX && action != lb.ActionRedirect && !bytes.Equal(out, frame)) {
		t.Fatalf("%s: %s, and the frame changed:\nin %x\nout %x", what, action, frame, out)
	}
}
