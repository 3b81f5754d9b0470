package xdp_test

import (
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
	"github.com/sluice-lb/sluice/xdp/xdptest"
)

// onePool is a configuration of one VIP over a pool.
func onePool(pool lb.Pool) lb.Config {
	return lb.Config{Pools: []lb.Pool{pool}, VIPs: []lb.VIP{tableVIP("web", "198.51.100.10", lb.TCP, pool.Name, 80)}}
}

func client(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i >> 14)}), uint16(1024+i&0x3fff))
}

func frameFrom(i int) []byte {
	return xdptest.Packet{Source: client(i), Destination: netip.MustParseAddrPort("198.51.100.10:80")}.Frame()
}

// TestSpread sends 20,000 flows: every backend's share is within 3 % of its weight's. Seed and flows are always the same, so
// chance has no say.
func TestSpread(t *testing.T) {
	d := xdptest.MustOpen(t, xdp.Options{})
	pool := xdptest.Pool("web", 4, false)
	weights := []uint32{100, 100, 50, 150}
	for i := range pool.Backends {
		pool.Backends[i].Weight = weights[i]
	}
	state := xdptest.MustPlan(t, nil, onePool(pool), xdptest.Hops(onePool(pool), xdptest.Interface))
	xdptest.MustPublish(t, d, state)
	const flows = 20_000
	for i := range flows {
		if action, _ := xdptest.MustRun(t, d.Program(xdptest.Interface), frameFrom(i)); action != lb.ActionTX {
			t.Fatalf("flow %d: %s", i, action)
		}
	}
	counters := readCounters(t, d)
	for i, b := range pool.Backends {
		got := float64(counters.Backends[state.Layout.Backends[lb.BackendKey("web", b.Name)].Index].Packets)
		share := float64(weights[i]) / 400
		want := share * flows
		if bound := 0.03 * want; math.Abs(got-want) > bound {
			t.Errorf("backend %s: %.0f flows, expected %.0f ± %.0f", b.Name, got, want, bound)
		}
	}
}

// TestPublishIsWhole flips between two configurations, in which VIP and pool differ, while another CPU sends: every packet
// goes to the one's backend with the one's header or to the other's, never anywhere else.
func TestPublishIsWhole(t *testing.T) {
	d := xdptest.MustOpen(t, xdp.Options{})
	configs := []lb.Config{onePool(xdptest.Pool("a", 3, false)), onePool(xdptest.Pool("b", 7, false))}
	for i := range configs[1].Pools[0].Backends {
		b := &configs[1].Pools[0].Backends[i]
		a := b.Address.As4()
		a[1] = 77
		b.Address = netip.AddrFrom4(a)
	}
	state := xdptest.MustPlan(t, nil, configs[0], xdptest.Hops(configs[0], xdptest.Interface))
	xdptest.MustPublish(t, d, state)

	stop := make(chan struct{})
	var senders sync.WaitGroup
	var wrong, sent int
	senders.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				sent = i
				return
			default:
			}
			action, out := xdptest.MustRun(t, d.Program(xdptest.Interface), frameFrom(i&0xfff))
			// The outer destination of both: 10.1.0.1 to 3, or 10.77.0.1 to 7; the MAC repeats its last four bytes.
			to := [4]byte(out[30:34])
			ok := to[0] == 10 && to[2] == 0 && (to[1] == 1 && to[3] <= 3 || to[1] == 77 && to[3] <= 7) && [4]byte(out[2:6]) == to
			if action != lb.ActionTX || !ok {
				wrong++
			}
		}
	})
	for i := range 300 {
		config := configs[(i+1)%2]
		state = xdptest.MustPlan(t, state, config, xdptest.Hops(config, xdptest.Interface))
		xdptest.MustPublish(t, d, state)
		runtime.Gosched()
	}
	close(stop)
	senders.Wait()
	if wrong != 0 || sent < 300 {
		t.Errorf("%d of %d packets met a mixture of two states", wrong, sent)
	}
}

func TestSetMACInPlace(t *testing.T) {
	d := xdptest.MustOpen(t, xdp.Options{})
	config := onePool(xdptest.Pool("web", 1, false))
	state := xdptest.MustPlan(t, nil, config, xdptest.Hops(config, xdptest.Interface))
	xdptest.MustPublish(t, d, state)
	index := state.Layout.Backends["web/web-1"].Index
	mac := lb.MAC{2, 1, 2, 3, 4, 5}
	if err := d.SetMAC([]uint32{index}, mac); err != nil {
		t.Fatal(err)
	}
	_, out := xdptest.MustRun(t, d.Program(xdptest.Interface), frameFrom(1))
	if got := lb.MAC(out[:6]); got != mac {
		t.Errorf("destination %s, expected %s", got, mac)
	}
	if got, want := lb.MAC(out[6:12]), (lb.MAC{2, 0xaa, 0, 0, 0, 1}); got != want {
		t.Errorf("source %s, expected %s", got, want)
	}
	if got := d.MACs()["web/web-1"]; got != mac {
		t.Errorf("MACs: %s, expected %s", got, mac)
	}
	if err := d.SetMAC([]uint32{index, index + 1}, lb.MAC{1}); err == nil || d.MACs()["web/web-1"] != mac {
		t.Errorf("an index that is not live: error %v, MAC %s", err, d.MACs()["web/web-1"])
	}
}

// TestThousandBackends fills a pool of the largest size.
func TestThousandBackends(t *testing.T) {
	d := xdptest.MustOpen(t, xdp.Options{})
	config := onePool(xdptest.Pool("web", 1000, false))
	state := xdptest.MustPlan(t, nil, config, xdptest.Hops(config, xdptest.Interface))
	xdptest.MustPublish(t, d, state)
	for i := range 1000 {
		if action, _ := xdptest.MustRun(t, d.Program(xdptest.Interface), frameFrom(i)); action != lb.ActionTX {
			t.Fatalf("flow %d: %s", i, action)
		}
	}
}

// TestManyVIPs fills the VIP table to its limit and asks for every one, and for as many that are not there.
func TestManyVIPs(t *testing.T) {
	d := xdptest.MustOpen(t, xdp.Options{})
	config := lb.Config{Pools: []lb.Pool{xdptest.Pool("web", 2, false), xdptest.Pool("web6", 2, true)}}
	for i := range 100 {
		config.VIPs = append(config.VIPs,
			tableVIP(fmt.Sprintf("v4-%d", i), fmt.Sprintf("198.51.100.%d", i), lb.TCP, "web", 80),
			tableVIP(fmt.Sprintf("v6-%d", i), fmt.Sprintf("2001:db8::%d", i+1), lb.TCP, "web6", 80))
	}
	state := xdptest.MustPlan(t, nil, config, xdptest.Hops(config, xdptest.Interface))
	xdptest.MustPublish(t, d, state)
	twin := lb.NewTwin(state, xdptest.Seed, xdptest.Interface)
	for i := range 256 {
		for _, address := range []string{fmt.Sprintf("198.51.100.%d", i), fmt.Sprintf("2001:db8::%d", i)} {
			destination := netip.AddrPortFrom(netip.MustParseAddr(address), 80)
			source := netip.MustParseAddrPort("203.0.113.1:1")
			if destination.Addr().Is6() {
				source = netip.MustParseAddrPort("[2001:db8:1::1]:1")
			}
			compare(t, d, twin, xdptest.Packet{Source: source, Destination: destination}.Frame(), address)
		}
	}
}

// TestPublishRefuses gives Publish states that do not fit. It must refuse them and leave packets with the old one.
func TestPublishRefuses(t *testing.T) {
	d := xdptest.MustOpen(t, xdp.Options{})
	config := onePool(xdptest.Pool("web", 2, false))
	state := xdptest.MustPlan(t, nil, config, xdptest.Hops(config, xdptest.Interface))
	xdptest.MustPublish(t, d, state)
	larger := onePool(xdptest.Pool("web", 3, false))
	cases := map[string]struct {
		edit func(*lb.State)
		want string
	}{
		"same-copy":        {func(s *lb.State) { s.Layout.Copy = state.Layout.Copy }, "is in use"},
		"old-publication":  {func(s *lb.State) { s.Publication = state.Publication }, "is live already"},
		"vip-line":         {func(s *lb.State) { s.Layout.VIPs["web"] = xdptest.Limits.VIPs + 1 }, "limits.vips: 256"},
		"backend-index":    {func(s *lb.State) { editBackend(s, xdptest.Limits.Backends+1) }, "limits.backends: 2048"},
		"backend-index-0":  {func(s *lb.State) { editBackend(s, 0) }, "limits.backends: 2048"},
		"slots-beyond":     {func(s *lb.State) { editPool(s, xdptest.Limits.Slots) }, "limits.slots: 1048576"},
		"slots-misaligned": {func(s *lb.State) { editPool(s, 8) }, "limits.slots: 1048576"},
		"no-table":         {func(s *lb.State) { delete(s.Tables, "web") }, "no slot table"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			next := xdptest.MustPlan(t, state, larger, xdptest.Hops(larger, xdptest.Interface))
			c.edit(next)
			if err := d.Publish(next); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, expected one with %q", err, c.want)
			}
			if err := d.Check(state); err != nil {
				t.Errorf("the old state is damaged: %v", err)
			}
			if got := d.Published(); got != state.Publication {
				t.Errorf("publication %d, expected %d", got, state.Publication)
			}
		})
	}
}

func editBackend(s *lb.State, index uint32) {
	place := s.Layout.Backends["web/web-3"]
	place.Index = index
	s.Layout.Backends["web/web-3"] = place
}

func editPool(s *lb.State, base uint32) {
	place := s.Layout.Pools["web"]
	place.Base = base
	s.Layout.Pools["web"] = place
}

// TestAdopt closes a data plane and opens another over the same pins: counters go on, the state is recognised, and a
// wrong one is refused.
func TestAdopt(t *testing.T) {
	dir := xdptest.BPFFSDir(t)
	config := onePool(xdptest.Pool("web", 2, false))
	ns := newNamespace(t)
	state := xdptest.MustPlan(t, nil, config, xdptest.Hops(config, ns.iface))
	ns.do(t, func() {
		d := xdptest.MustOpen(t, xdp.Options{BPFFSDir: dir, Interfaces: []string{ns.iface}})
		if got := d.Published(); got != 0 {
			t.Fatalf("new maps have publication %d", got)
		}
		xdptest.MustPublish(t, d, state)
		if err := d.Attach(); err != nil {
			t.Fatal(err)
		}
		xdptest.MustRun(t, d.Program(ns.iface), frameFrom(1))
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}

		d = xdptest.MustOpen(t, xdp.Options{BPFFSDir: dir, Interfaces: []string{ns.iface}})
		if got := d.Published(); got != state.Publication {
			t.Fatalf("adopted maps have publication %d, expected %d", got, state.Publication)
		}
		other := xdptest.MustPlan(t, nil, onePool(xdptest.Pool("web", 3, false)), nil)
		if err := d.Adopt(other); err == nil {
			t.Error("a state that the maps do not hold was adopted")
		}
		if err := d.Adopt(state); err != nil {
			t.Fatal(err)
		}
		c, err := d.Counters()
		if err != nil {
			t.Fatal(err)
		}
		if got := c.VIPs[state.Layout.VIPs["web"]].Packets; got != 1 {
			t.Errorf("the VIP's counter is %d after adoption, expected 1", got)
		}
		if err := d.Attach(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLimitsMigrate opens with other limits over the pins: new maps take over with one link update.
func TestLimitsMigrate(t *testing.T) {
	dir := xdptest.BPFFSDir(t)
	config := onePool(xdptest.Pool("web", 2, false))
	ns := newNamespace(t)
	state := xdptest.MustPlan(t, nil, config, xdptest.Hops(config, ns.iface))
	ns.do(t, func() {
		o := xdp.Options{BPFFSDir: dir, Interfaces: []string{ns.iface}}
		d := xdptest.MustOpen(t, o)
		xdptest.MustPublish(t, d, state)
		if err := d.Attach(); err != nil {
			t.Fatal(err)
		}
		d.Close()

		o.Limits = lb.Limits{VIPs: 512, Backends: 4096, Slots: 1 << 19}
		d = xdptest.MustOpen(t, o)
		if got := d.Published(); got != 0 {
			t.Fatalf("new maps have publication %d", got)
		}
		xdptest.MustPublish(t, d, state)
		d.Close() // interrupted before Attach: the old maps are still the live ones

		d = xdptest.MustOpen(t, xdp.Options{BPFFSDir: dir, Interfaces: []string{ns.iface}})
		if got := d.Published(); got != state.Publication {
			t.Fatalf("old maps have publication %d, expected %d", got, state.Publication)
		}
		d.Close()

		d = xdptest.MustOpen(t, o)
		xdptest.MustPublish(t, d, state)
		if err := d.Attach(); err != nil {
			t.Fatal(err)
		}
		d.Close()
		d = xdptest.MustOpen(t, o)
		if err := d.Adopt(state); err != nil {
			t.Errorf("the new maps were not pinned: %v", err)
		}
	})
}
