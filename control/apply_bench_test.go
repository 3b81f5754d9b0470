package control_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

// null is a data plane that does nothing: what is measured over it is control's own.
type null struct{ dataplane }

func (n *null) Publish(st *lb.State) error { n.maps.State = st; return nil }

// large is a configuration of 10,000 VIPs over 100 pools of 100 backends, the first of which has a weight of its own.
func large(weight uint32) lb.Config {
	var c lb.Config
	for p := range 100 {
		pool := lb.Pool{Name: fmt.Sprintf("pool-%02d", p)}
		for b := range 100 {
			pool.Backends = append(pool.Backends, lb.Backend{Name: fmt.Sprintf("backend-%02d", b),
				Address: netip.AddrFrom4([4]byte{10, 9, byte(100 + p), byte(10 + b)}), Weight: 100, Scale: lb.ScaleOne})
		}
		pool.Backends[0].Weight = weight
		c.Pools = append(c.Pools, pool)
	}
	for v := range 10000 {
		c.VIPs = append(c.VIPs, lb.VIP{Name: fmt.Sprintf("vip-%04d", v), Address: netip.AddrFrom4([4]byte{198, 18, byte(v / 250), byte(1 + v%250)}),
			Protocol: lb.TCP, Ports: []uint16{443}, Pool: fmt.Sprintf("pool-%02d", v%100)})
	}
	return c
}

// BenchmarkLargeApply measures control's part of an apply: validation, plan, store, history. The whole is measured in the
// lab, over a real data plane.
func BenchmarkLargeApply(b *testing.B) {
	one := large(100)
	one.Pools[0].Backends[0].Weight = 50
	for _, row := range []struct {
		name          string
		before, after lb.Config
	}{
		{"everything", lb.Config{}, large(100)},
		{"every-pool", large(100), large(50)},
		{"one-backend", large(100), one},
		{"nothing", large(100), large(100)},
	} {
		b.Run(row.name, func(b *testing.B) {
			s, err := store.Open(filepath.Join(b.TempDir(), "state"), "")
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			e := control.NewEngine(control.Options{Dataplane: &null{}, Store: s, NextHops: newNextHops(), Seed: s.Seed(),
				Limits: lb.Limits{VIPs: 32768, Backends: 65536, Slots: 1 << 24}, Log: quiet})
			if err := e.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				if _, err := e.Write(b.Context(), control.WriteOptions{}, replace(row.before)); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if _, err := e.Write(b.Context(), control.WriteOptions{}, replace(row.after)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSmallWrite measures a change of a small configuration with a full history.
func BenchmarkSmallWrite(b *testing.B) {
	s, err := store.Open(filepath.Join(b.TempDir(), "state"), "")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	e := control.NewEngine(control.Options{Dataplane: &null{}, Store: s, NextHops: newNextHops(), Seed: s.Seed(), Limits: lb.DefaultLimits, Log: quiet})
	if err := e.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	i := 0
	write := func() {
		i++
		if _, err := e.Write(b.Context(), control.WriteOptions{}, replace(web(2+i%2))); err != nil {
			b.Fatal(err)
		}
	}
	for range store.DefaultHistory {
		write()
	}
	b.ReportAllocs()
	for b.Loop() {
		write()
	}
}
