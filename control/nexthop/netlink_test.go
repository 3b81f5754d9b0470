package nexthop

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/lb"
)

// segment is a wire between two namespaces: near is where the Watcher runs.
type segment struct {
	near, far             netns.NsHandle
	nearHandle, farHandle *netlink.Handle
}

// mustSegments makes two namespaces with n wires between them, near0-far0 and so on, addresses 10.9.i.1 and 10.9.i.2.
func mustSegments(t *testing.T, n int) *segment {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "making network namespaces needs root")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { must(t, netns.Set(home)); must(t, home.Close()) }()
	s := &segment{}
	for _, ns := range []*netns.NsHandle{&s.near, &s.far} {
		// Without a name: it goes with the last handle, also after a crash.
		if *ns, err = netns.New(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { must(t, ns.Close()) })
		// No solicitation leaves an interface whose link-local address is still being checked for duplicates.
		must(t, os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0o644))
	}
	s.nearHandle, s.farHandle = mustHandle(t, s.near), mustHandle(t, s.far)
	for i := range n {
		s.mustWire(t, i)
	}
	return s
}

func mustHandle(t *testing.T, ns netns.NsHandle) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func (s *segment) mustWire(t *testing.T, i int) {
	t.Helper()
	near, far := fmt.Sprintf("near%d", i), fmt.Sprintf("far%d", i)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = near
	must(t, s.nearHandle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: far, PeerNamespace: netlink.NsFd(int(s.far))}))
	for _, end := range []struct {
		h             *netlink.Handle
		name, address string
	}{{s.nearHandle, near, fmt.Sprintf("10.9.%d.1/24", i)}, {s.farHandle, far, fmt.Sprintf("10.9.%d.2/24", i)}} {
		must(t, end.h.AddrAdd(mustLink(t, end.h, end.name), mustAddr(t, end.address)))
		v6 := mustAddr(t, strings.Replace(strings.Replace(end.address, "10.9.", "fd00:9:", 1), ".", "::", 1))
		v6.Mask = net.CIDRMask(64, 128)
		v6.Flags = unix.IFA_F_NODAD
		must(t, end.h.AddrAdd(mustLink(t, end.h, end.name), v6))
		must(t, end.h.LinkSetUp(mustLink(t, end.h, end.name)))
	}
}

func mustLink(t *testing.T, h *netlink.Handle, name string) netlink.Link {
	t.Helper()
	l, err := h.LinkByName(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return l
}

func mustAddr(t *testing.T, s string) *netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// skip skips, but not in continuous integration, where everything is there.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func macOf(t *testing.T, h *netlink.Handle, name string) lb.MAC {
	t.Helper()
	return lb.MAC(mustLink(t, h, name).Attrs().HardwareAddr)
}

// mustWatch runs a Watcher over the near namespace.
func (s *segment) mustWatch(t *testing.T) *Watcher {
	t.Helper()
	k, err := NewNetlink(&s.near)
	if err != nil {
		t.Fatal(err)
	}
	w := New(k, []string{"near0", "near1"}, quiet)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Error("the watcher did not end")
		}
		k.Close()
	})
	return w
}

// eventually waits until the status of an address is as wanted.
func eventually(t *testing.T, w *Watcher, a netip.Addr, what string, ok func(Status) bool) {
	t.Helper()
	var s Status
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s, _ = w.Status(a); ok(s) {
			return
		}
	}
	t.Fatalf("%s: not %s: %s %+v", a, what, s.State, s)
}

func TestRealNeighbours(t *testing.T) {
	s := mustSegments(t, 1)
	w := s.mustWatch(t)
	four, six := netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("fd00:9:0::2")
	w.Track([]netip.Addr{four, six})
	for _, a := range []netip.Addr{four, six} {
		eventually(t, w, a, "resolved", func(s Status) bool { return s.State == Reachable })
	}
	near := mustLink(t, s.nearHandle, "near0").Attrs()
	for address, source := range map[netip.Addr]string{four: "10.9.0.1", six: "fd00:9::1"} {
		want := lb.NextHop{Interface: "near0", InterfaceMAC: lb.MAC(near.HardwareAddr), Source: netip.MustParseAddr(source), Direct: true, MTU: 1500, MAC: macOf(t, s.farHandle, "far0")}
		if got := w.Hops([]netip.Addr{address})[address]; got != want {
			t.Errorf("%s: %+v, want %+v", address, got, want)
		}
	}

	// The backend gets another network card and says so by asking for us.
	changed := lb.MAC{2, 0, 0, 0, 0, 0x77}
	must(t, s.farHandle.LinkSetHardwareAddr(mustLink(t, s.farHandle, "far0"), changed[:]))
	far := Netlink{handle: s.farHandle}
	index := mustLink(t, s.farHandle, "far0").Attrs().Index
	must(t, far.Probe(Key{index, netip.MustParseAddr("10.9.0.1")}))
	eventually(t, w, four, "the new address", func(s Status) bool { return s.MAC == changed })

	// Nobody answers any more: the state says so, and the address stays in use.
	must(t, s.farHandle.LinkSetARPOff(mustLink(t, s.farHandle, "far0")))
	must(t, s.nearHandle.NeighSet(&netlink.Neigh{LinkIndex: near.Index, IP: four.AsSlice(), State: unix.NUD_FAILED}))
	eventually(t, w, four, "failed with the last good address", func(s Status) bool { return s.State == Failed && s.MAC == changed })
	must(t, s.farHandle.LinkSetARPOn(mustLink(t, s.farHandle, "far0")))
	eventually(t, w, four, "reachable again", func(s Status) bool { return s.State == Reachable })

	// An administrator's entry stays permanent: it is not probed away.
	fixed := lb.MAC{2, 0, 0, 0, 0, 0x55}
	must(t, s.nearHandle.NeighSet(&netlink.Neigh{LinkIndex: near.Index, IP: four.AsSlice(), State: unix.NUD_PERMANENT, HardwareAddr: fixed[:]}))
	eventually(t, w, four, "fixed", func(s Status) bool { return s.State == Reachable && s.MAC == fixed })
}

func TestRealRoutes(t *testing.T) {
	s := mustSegments(t, 2)
	w := s.mustWatch(t)
	remote := netip.MustParseAddr("198.18.5.5")
	w.Track([]netip.Addr{remote})
	eventually(t, w, remote, "without a route", func(s Status) bool { return s.State == NoRoute })

	route := netlink.Route{Dst: netlink.NewIPNet(remote.AsSlice()), Gw: net.IPv4(10, 9, 0, 2), MTU: 1400}
	must(t, s.nearHandle.RouteReplace(&route))
	eventually(t, w, remote, "routed and resolved", func(st Status) bool {
		r := st.Route
		return st.State == Reachable && r.Interface == "near0" && r.Gateway.String() == "10.9.0.2" && r.MTU == 1400 &&
			r.Source.String() == "10.9.0.1" && st.MAC == macOf(t, s.farHandle, "far0")
	})

	route.Gw, route.MTU = net.IPv4(10, 9, 1, 2), 0
	must(t, s.nearHandle.RouteReplace(&route))
	eventually(t, w, remote, "moved", func(st Status) bool {
		return st.State == Reachable && st.Route.Interface == "near1" && st.Route.MTU == 1500 && st.MAC == macOf(t, s.farHandle, "far1")
	})
	must(t, s.nearHandle.LinkSetMTU(mustLink(t, s.nearHandle, "near1"), 1450))
	eventually(t, w, remote, "of the link's new MTU", func(s Status) bool { return s.Route.MTU == 1450 })

	must(t, s.nearHandle.LinkSetDown(mustLink(t, s.nearHandle, "near1")))
	eventually(t, w, remote, "without a route", func(s Status) bool { return s.State == NoRoute })

	for _, kind := range []int{unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT} {
		must(t, s.nearHandle.RouteReplace(&netlink.Route{Dst: route.Dst, Type: kind}))
		time.Sleep(3 * settle)
		eventually(t, w, remote, "without a route", func(s Status) bool { return s.State == NoRoute })
	}
	local := netip.MustParseAddr("10.9.0.1")
	w.Track([]netip.Addr{local})
	eventually(t, w, local, "without a route", func(s Status) bool { return s.State == NoRoute })
}

func TestRealMultipath(t *testing.T) {
	s := mustSegments(t, 2)
	w := s.mustWatch(t)
	_, prefix, err := net.ParseCIDR("198.18.0.0/24")
	must(t, err)
	paths := []*netlink.NexthopInfo{
		{LinkIndex: mustLink(t, s.nearHandle, "near0").Attrs().Index, Gw: net.IPv4(10, 9, 0, 2)},
		{LinkIndex: mustLink(t, s.nearHandle, "near1").Attrs().Index, Gw: net.IPv4(10, 9, 1, 2)},
	}
	must(t, s.nearHandle.RouteReplace(&netlink.Route{Dst: prefix, MultiPath: paths}))
	var all []netip.Addr
	for i := range 64 {
		all = append(all, netip.AddrFrom4([4]byte{198, 18, 0, byte(i + 1)}))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	w.Resolve(ctx, all)
	before := w.Hops(all)
	count := map[string]int{}
	for a, hop := range before {
		count[hop.Interface]++
		end := hop.Interface[len("near"):]
		if want := "10.9." + end + ".1"; hop.Source.String() != want || hop.MAC != macOf(t, s.farHandle, "far"+end) {
			t.Errorf("%s: %+v, want source %s", a, hop, want)
		}
	}
	if count["near0"] < 16 || count["near1"] < 16 {
		t.Errorf("%v, want both paths in use", count)
	}
	must(t, s.nearHandle.RouteReplace(&netlink.Route{Dst: prefix, MultiPath: []*netlink.NexthopInfo{paths[1], paths[0]}}))
	time.Sleep(5 * settle)
	for a, hop := range w.Hops(all) {
		if hop != before[a] {
			t.Errorf("%s moved with the order of the paths", a)
		}
	}
}
