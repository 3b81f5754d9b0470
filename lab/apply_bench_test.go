package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

const (
	largePools    = 100
	largeBackends = 100 // of each pool
	largeVIPs     = 10000
)

// large is a configuration of 10,000 VIPs over 100 pools of 100 backends. The first backend of every pool has a weight
// of its own.
func large(weight uint32) *sluicev1.Config {
	c := &sluicev1.Config{}
	for p := range largePools {
		pool := &sluicev1.Pool{Name: fmt.Sprintf("pool-%02d", p)}
		for b := range largeBackends {
			nominal := uint32(100)
			if b == 0 {
				nominal = weight
			}
			pool.Backends = append(pool.Backends, &sluicev1.Backend{Name: fmt.Sprintf("backend-%02d", b),
				Address: fmt.Sprintf("10.9.%d.%d", 100+p, 10+b), Weight: &nominal})
		}
		c.Pools = append(c.Pools, pool)
	}
	for v := range largeVIPs {
		c.Vips = append(c.Vips, &sluicev1.Vip{Name: fmt.Sprintf("vip-%04d", v), Address: fmt.Sprintf("198.18.%d.%d", v/250, 1+v%250),
			Protocol: sluicev1.Protocol_PROTOCOL_TCP, Ports: []string{"443"}, Pool: fmt.Sprintf("pool-%02d", v%largePools)})
	}
	return c
}

// BenchmarkApply measures, from request to answer, applies of a large configuration to a real data plane: to an empty node,
// a change of every pool's slot table, of a single backend, and none.
func BenchmarkApply(b *testing.B) {
	one := large(100)
	weight := uint32(50)
	one.Pools[0].Backends[0].Weight = &weight
	for _, row := range []struct {
		name          string
		before, after *sluicev1.Config
	}{
		{"everything", &sluicev1.Config{}, large(100)},
		{"every-pool", large(100), large(50)},
		{"one-backend", large(100), one},
		{"nothing", large(100), large(100)},
	} {
		b.Run(row.name, func(b *testing.B) {
			_, client := benchNode(b)
			for b.Loop() {
				b.StopTimer()
				mustApply(b, client, row.before)
				b.StartTimer()
				mustApply(b, client, row.after)
			}
		})
	}
}

// benchNode is a node with room for the large configuration, and for the one that it replaces.
func benchNode(b *testing.B) (*Topology, sluicev1.SluiceClient) {
	b.Helper()
	topology := raiseBare(b, 0)
	settings := filepath.Join(topology.Dir(), "node.yaml")
	if err := os.WriteFile(settings, []byte("limits: {vips: 32768, backends: 65536, slots: 16777216}\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	if _, err := topology.StartLBD("--config", settings); err != nil {
		b.Fatal(err)
	}
	client, connection, err := topology.Dial()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = connection.Close() })
	return topology, client
}

func mustApply(b *testing.B, client sluicev1.SluiceClient, config *sluicev1.Config) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := client.Apply(ctx, &sluicev1.ApplyRequest{Config: config}, grpc.MaxCallRecvMsgSize(64<<20)); err != nil {
		b.Fatal(err)
	}
}
