package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// small is a configuration of one pool of four backends and one VIP.
func small() *sluicev1.Config {
	pool := &sluicev1.Pool{Name: "pool-00"}
	for b := range 4 {
		pool.Backends = append(pool.Backends, &sluicev1.Backend{Name: fmt.Sprintf("backend-%02d", b), Address: fmt.Sprintf("10.9.100.%d", 10+b)})
	}
	return &sluicev1.Config{Pools: []*sluicev1.Pool{pool}, Vips: []*sluicev1.Vip{{Name: "vip-0000", Address: "198.18.0.1",
		Protocol: sluicev1.Protocol_PROTOCOL_TCP, Ports: []string{"443"}, Pool: pool.Name}}}
}

// BenchmarkDrain measures drains of one backend, from request to the moment when packets see them (flip-ms, the median) and
// to the answer, when they are committed as well (answer-ms).
func BenchmarkDrain(b *testing.B) {
	for _, row := range []struct {
		name   string
		config *sluicev1.Config
	}{{"small", small()}, {"large", large(100)}} {
		b.Run(row.name, func(b *testing.B) {
			topology, client := benchNode(b)
			mustApply(b, client, row.config)
			root := pinnedRoot(b, topology)
			var flips, answers []time.Duration
			for b.Loop() {
				flip, answer := timeDrain(b, client, root)
				flips, answers = append(flips, flip), append(answers, answer)
				b.StopTimer()
				order(b, client, sluicev1.Admin_ADMIN_ENABLED)
				b.StartTimer()
			}
			b.ReportMetric(median(flips), "flip-ms")
			b.ReportMetric(median(answers), "answer-ms")
		})
	}
}

// timeDrain drains the backend and watches the root.
func timeDrain(b *testing.B, client sluicev1.SluiceClient, root *ebpf.Map) (flip, answer time.Duration) {
	b.Helper()
	for {
		before, started := selected(b, root), time.Now()
		flipped := make(chan time.Duration, 1)
		go func() {
			for end := started.Add(time.Minute); selected(b, root) == before && time.Now().Before(end); {
				time.Sleep(20 * time.Microsecond)
			}
			flipped <- time.Since(started)
		}()
		order(b, client, sluicev1.Admin_ADMIN_DRAINED)
		answer, flip = time.Since(started), <-flipped
		if selected(b, root)>>1 == before>>1+1 {
			return flip, answer
		}
		// lbd published something else as well, such as the end of a drain before: whose flip was seen nobody knows.
		order(b, client, sluicev1.Admin_ADMIN_ENABLED)
	}
}

// order gives the first backend an order, which must change something.
func order(b *testing.B, client sluicev1.SluiceClient, admin sluicev1.Admin) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := client.SetAdmin(ctx, &sluicev1.SetAdminRequest{Pool: "pool-00", Name: "backend-00", Admin: admin})
	if err != nil {
		b.Fatal(err)
	}
	if len(answer.GetOutcome().GetChanges()) == 0 {
		b.Fatalf("%s changed nothing", admin)
	}
}

// pinnedRoot opens the map whose one word chooses what packets see.
func pinnedRoot(b *testing.B, topology *Topology) *ebpf.Map {
	b.Helper()
	pins, err := filepath.Glob(filepath.Join(topology.BPFFSDir("lb"), "maps", "*", "root"))
	if err != nil || len(pins) != 1 {
		b.Fatalf("pins of the root: %q, %v", pins, err)
	}
	root, err := ebpf.LoadPinnedMap(pins[0], &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = root.Close() })
	return root
}

// selected is the root's first word: the publication's number and, in bit 0, its copy.
func selected(b *testing.B, root *ebpf.Map) uint64 {
	value, err := root.LookupBytes(uint32(0))
	if err != nil {
		b.Error(err)
		return 0
	}
	return binary.NativeEndian.Uint64(value)
}

// median is in milliseconds.
func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2]) / float64(time.Millisecond)
}
