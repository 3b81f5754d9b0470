package bench

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-lb/sluice/lb"
)

var testSeed = lb.Seed{0xbe, 0x4c, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43}

func mustOpen(t testing.TB, config lb.Config) *Node {
	t.Helper()
	needRoot(t)
	n, err := Open(config, testSeed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close node: %v", err)
		}
	})
	return n
}

func mustConfig(t testing.TB, s Shape, kinds ...Kind) lb.Config {
	t.Helper()
	c, err := s.Config(kinds)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var allKinds = []Kind{{IPv4, lb.TCP}, {IPv4, lb.UDP}, {IPv6, lb.TCP}, {IPv6, lb.UDP}}

// echoCaptures are the recorded echo connections where there are any, and the generated ones.
func echoCaptures() []string {
	paths := []string{filepath.Join("..", "testdata", "echo-v4.pcap"), filepath.Join("..", "testdata", "echo-v6.pcap")}
	if dir := os.Getenv("SLUICE_PCAPS"); dir != "" {
		paths = append(paths, filepath.Join(dir, "echo-connections.pcap.gz"))
	}
	return paths
}

func mustRead(t testing.TB, path string) *Capture {
	t.Helper()
	c, err := ReadCapture(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEchoConnectionsStay sends 500 connections through the program: each stays on the backend that lb chooses.
func TestEchoConnectionsStay(t *testing.T) {
	for _, path := range echoCaptures() {
		t.Run(filepath.Base(path), func(t *testing.T) {
			n := mustOpen(t, mustConfig(t, Shape{VIPs: 3, Pools: 2, Backends: 10}, allKinds...))
			s, err := mustRead(t, path).Aim(Endpoints(n.State.Config))
			if err != nil {
				t.Fatal(err)
			}
			if s.Flows != 500 {
				t.Errorf("%d flows, want 500", s.Flows)
			}
			backends := checkWalk(t, n, s)
			if len(backends) != s.Flows {
				t.Errorf("%d flows were forwarded, want %d", len(backends), s.Flows)
			}
			used := map[string]bool{}
			for _, b := range backends {
				used[b] = true
			}
			if len(used) != 20 {
				t.Errorf("%d backends were used, want all 20", len(used))
			}
		})
	}
}

func TestOtherTrafficEqualsTwin(t *testing.T) {
	n := mustOpen(t, mustConfig(t, Shape{VIPs: 20, Pools: 2, Backends: 10}, allKinds...))
	for name, s := range streams(t) {
		t.Run(name, func(t *testing.T) { checkWalk(t, n, s) })
	}
}

// checkWalk shows a stream to the node and to its twin. It returns the backend of each flow that was forwarded.
func checkWalk(t *testing.T, n *Node, s *Stream) map[lb.Flow]string {
	t.Helper()
	twin := n.Twin()
	backends := map[lb.Flow]string{}
	var want [lb.VerdictCount]uint64
	before := mustCounters(t, n)
	err := Walk(n.Target(), s, func(step Step) error {
		r := twin.Process(bytes.Clone(step.In))
		want[r.Verdict]++
		if r.Action != step.Action || !bytes.Equal(r.Frame, step.Out) {
			t.Fatalf("frame %d of %s\nin   %x\nwant %s %s %x\ngot  %s %x",
				step.Place, s.Name, step.In, r.Verdict, r.Action, r.Frame, step.Action, step.Out)
		}
		if r.Verdict != lb.VerdictForwarded {
			return nil
		}
		h, reason := readHeader(step.In)
		if reason != "" {
			return nil // forwarded, but not understood by the reader of captures
		}
		flow := lb.Flow{Source: h.source, Destination: h.destination, Protocol: h.kind.Protocol}
		got := backendOf(n.State, step.Out)
		if known, ok := backends[flow]; ok && known != got {
			t.Fatalf("frame %d: flow %v moved from %s to %s", step.Place, flow, known, got)
		}
		backends[flow] = got
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := sumVerdicts(mustCounters(t, n))
	for v, count := range sumVerdicts(before) {
		got[v] -= count
	}
	if got != want {
		t.Errorf("verdicts\nwant %v\ngot  %v", want, got)
	}
	return backends
}

func mustCounters(t testing.TB, n *Node) lb.Counters {
	t.Helper()
	c, err := n.Target().Counters()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// backendOf finds who an encapsulated frame is for by its outer destination.
func backendOf(state *lb.State, frame []byte) string {
	ip := frame[ethernetBytes:]
	raw := ip[16:20]
	if ip[0]>>4 == 6 {
		raw = ip[24:40]
	}
	address, _ := netip.AddrFromSlice(raw)
	for key, place := range state.Layout.Backends {
		if place.Address == address {
			return key
		}
	}
	return address.String()
}

// TestShareFollowsWeight sends 20,000 flows. With a given seed the outcome is always the same, so the bounds may be
// tight: 3 % of each share, and the chi-squared statistic below its 99.9 % quantile.
func TestShareFollowsWeight(t *testing.T) {
	const flows = 20_000
	for _, family := range []Family{IPv4, IPv6} {
		config := mustConfig(t, Shape{VIPs: 1, Pools: 1, Backends: 3}, Kind{family, lb.TCP})
		for i, weight := range []uint32{100, 100, 200} {
			config.Pools[0].Backends[i].Weight = weight
		}
		n := mustOpen(t, config)
		o := FlowOptions{Flows: flows, SYN: 1, Sizes: []int{80}, Family: family, Protocol: lb.TCP}
		s, err := Generate(o, Endpoints(config)[Kind{family, lb.TCP}])
		if err != nil {
			t.Fatal(err)
		}
		r, err := Replay(t.Context(), n.Target(), s, Options{Rounds: MinRounds, Repeat: uint32(2 * s.Len()), CPU: -1})
		if err != nil {
			t.Fatal(err)
		}
		chiSquared := 0.0
		for _, b := range r.Pools[0].Backends {
			if math.Abs(b.Share/b.Due-1) > 0.03 {
				t.Errorf("IPv%s: backend %s has share %.4f, want %.4f within 3 %%", family, b.Backend, b.Share, b.Due)
			}
			chiSquared += flows * (b.Share - b.Due) * (b.Share - b.Due) / b.Due
		}
		if chiSquared > 13.8 { // two degrees of freedom
			t.Errorf("IPv%s: shares %+v are too uneven (chi squared %.1f)", family, r.Pools[0].Backends, chiSquared)
		}
	}
}

func TestReplayCountsEveryFrame(t *testing.T) {
	n := mustOpen(t, mustConfig(t, Shape{VIPs: 1, Pools: 1, Backends: 100}, Kind{IPv4, lb.TCP}))
	s, err := mustRead(t, filepath.Join("..", "testdata", "mixed.pcap")).Unchanged()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Replay(t.Context(), n.Target(), s, Options{Rounds: MinRounds, Repeat: MinRepeat, CPU: -1})
	if err != nil {
		t.Fatal(err)
	}
	sum := uint64(0)
	for _, v := range r.Verdicts {
		sum += v.Packets
	}
	if sum != r.Received || r.Received < (MinRounds+1)*MinRepeat {
		t.Errorf("received %d, verdicts %+v", r.Received, r.Verdicts)
	}
	broken := n.Target()
	broken.Counters = func() (lb.Counters, error) { return lb.Counters{}, nil }
	if _, err := Replay(t.Context(), broken, s, Options{Rounds: MinRounds, Repeat: MinRepeat, CPU: -1}); err == nil {
		t.Error("a replay whose frames are not counted must fail")
	}
}

func TestReplayStopsWhenAsked(t *testing.T) {
	n := mustOpen(t, mustConfig(t, Shape{VIPs: 1, Pools: 1, Backends: 1}, Kind{IPv4, lb.TCP}))
	s := mustGenerate(t, FlowOptions{Flows: 1, Sizes: []int{128}, Family: IPv4, Protocol: lb.TCP})
	ctx, cancel := context.WithCancel(t.Context())
	target := n.Target()
	target.Counters = func() (lb.Counters, error) { // read before the first round
		cancel()
		return lb.Counters{}, nil
	}
	if _, err := Replay(ctx, target, s, Options{CPU: -1}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func TestOpenTakesManyVIPs(t *testing.T) {
	n := mustOpen(t, mustConfig(t, Shape{VIPs: 10_000, Pools: 100, Backends: 3}, Kind{IPv4, lb.TCP}, Kind{IPv6, lb.UDP}))
	if got := len(n.State.Config.VIPs); got != 20_000 {
		t.Errorf("%d VIPs, want 20000", got)
	}
}
