package xdp

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// gracePeriod waits until every packet that was on its way has left the program. Updating an element of a map of maps
// does that in the kernel (commit 1ae80cf31938, "bpf: wait for running BPF programs when updating map-in-map", Linux 5.0).
type gracePeriod struct {
	outer, inner *ebpf.Map
}

func newGracePeriod() (*gracePeriod, error) {
	innerSpec := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	inner, err := ebpf.NewMap(innerSpec)
	if err != nil {
		return nil, fmt.Errorf("creating map for grace periods: %w", err)
	}
	outer, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "grace", Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, InnerMap: innerSpec,
	})
	if err != nil {
		inner.Close()
		return nil, fmt.Errorf("creating map for grace periods: %w", err)
	}
	return &gracePeriod{outer: outer, inner: inner}, nil
}

func (g *gracePeriod) wait() error {
	if err := g.outer.Put(uint32(0), g.inner); err != nil {
		return fmt.Errorf("waiting for a grace period: %w", err)
	}
	return nil
}

func (g *gracePeriod) close() error {
	g.inner.Close()
	return g.outer.Close()
}
