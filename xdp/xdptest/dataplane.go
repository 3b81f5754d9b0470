package xdptest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
)

// Seed is the seed of tests.
var Seed = lb.Seed{0x5e, 0xed, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}

// Interface is the interface that tests' data planes have unless they say otherwise. It need not exist.
const Interface = "test0"

// Limits are small, so that a test's maps take little memory.
var Limits = lb.Limits{VIPs: 256, Backends: 2048, Slots: 1 << 20}

var opened atomic.Uint32

// BPFFSDir is a new directory for pins; it is removed, and what is attached through it detached, when the test ends.
func BPFFSDir(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join("/sys/fs/bpf", fmt.Sprintf("sluice-test-%d-%d", os.Getpid(), opened.Add(1)))
	tb.Cleanup(func() {
		if err := xdp.Detach(dir); err != nil {
			tb.Errorf("cleaning up: %v", err)
		}
	})
	return dir
}

// MustOpen opens a data plane. Fields of o that are zero get the tests' values.
func MustOpen(tb testing.TB, o xdp.Options) *xdp.Dataplane {
	tb.Helper()
	if o.Interfaces == nil {
		o.Interfaces = []string{Interface}
	}
	if o.BPFFSDir == "" {
		o.BPFFSDir = BPFFSDir(tb)
	}
	if o.Limits == (lb.Limits{}) {
		o.Limits = Limits
	}
	if o.Seed == (lb.Seed{}) {
		o.Seed = Seed
	}
	o.CountSeen = true
	d, err := xdp.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Close(); err != nil && !errors.Is(err, os.ErrClosed) { // closed by the test itself
			tb.Errorf("closing the data plane: %v", err)
		}
	})
	for _, name := range o.Interfaces {
		keepDispatched(tb, d.Program(name))
	}
	return d
}

// Hop is a next hop by iface for a backend, resolved, with a MAC that depends on the backend's address.
func Hop(backend netip.Addr, iface string) lb.NextHop {
	source := netip.MustParseAddr("10.255.0.1")
	if backend.Is6() {
		source = netip.MustParseAddr("fd00:255::1")
	}
	last := binary.BigEndian.Uint32(backend.AsSlice()[len(backend.AsSlice())-4:])
	mac := lb.MAC{0x02, 0xbe}
	binary.BigEndian.PutUint32(mac[2:], last)
	return lb.NextHop{
		Interface: iface, InterfaceMAC: lb.MAC{0x02, 0xaa, 0, 0, 0, 1}, Source: source, MTU: 1600, MAC: mac,
	}
}

// Hops has a Hop for every backend of the configuration.
func Hops(config lb.Config, iface string) lb.Hops {
	hops := lb.Hops{}
	for _, pool := range config.Pools {
		for _, backend := range pool.Backends {
			hops[backend.Address] = Hop(backend.Address, iface)
		}
	}
	return hops
}

// MustPlan plans the state after prev, with the tests' seed and limits.
func MustPlan(tb testing.TB, prev *lb.State, config lb.Config, hops lb.Hops) *lb.State {
	tb.Helper()
	revision := uint64(1)
	if prev != nil {
		revision = prev.Revision + 1
	}
	config = config.Normalize()
	if err := config.Validate(Limits); err != nil {
		tb.Fatal(err)
	}
	state, err := lb.Plan(prev, lb.PlanInput{Config: config, Hops: hops, Seed: Seed, Limits: Limits, Revision: revision})
	if err != nil {
		tb.Fatal(err)
	}
	return state
}

// MustPublish publishes and checks that the maps hold what the state says.
func MustPublish(tb testing.TB, d *xdp.Dataplane, state *lb.State) {
	tb.Helper()
	if err := d.Publish(state); err != nil {
		tb.Fatal(err)
	}
	if err := d.Check(state); err != nil {
		tb.Fatal(err)
	}
}

// MustRun runs one frame through a program and returns its action and the frame afterwards.
func MustRun(tb testing.TB, program *ebpf.Program, frame []byte) (lb.Action, []byte) {
	tb.Helper()
	out := make([]byte, len(frame)+256)
	o := ebpf.RunOptions{Data: frame, DataOut: out}
	action, err := program.Run(&o)
	if err != nil {
		tb.Fatalf("running a frame of %d bytes: %v", len(frame), err)
	}
	return lb.Action(action), o.DataOut
}

// Pool makes a pool of n backends, 10.1.x.y or fd00:1::x, of weight 100.
func Pool(name string, n int, ipv6 bool) lb.Pool {
	pool := lb.Pool{Name: name}
	for i := range n {
		address := netip.AddrFrom4([4]byte{10, 1, byte((i + 1) >> 8), byte(i + 1)})
		if ipv6 {
			address = netip.AddrFrom16([16]byte{0: 0xfd, 3: 1, 14: byte((i + 1) >> 8), 15: byte(i + 1)})
		}
		pool.Backends = append(pool.Backends, lb.Backend{
			Name: fmt.Sprintf("%s-%d", name, i+1), Address: address, Weight: lb.DefaultWeight, Scale: lb.ScaleOne,
		})
	}
	return pool
}
