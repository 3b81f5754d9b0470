// Package agenttest builds what tests of the agent need: network namespaces, a client and a load balancer.
package agenttest

import (
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// MustRoot skips the test without root, or fails it where CI is set.
func MustRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("needs root for network namespaces")
	}
	t.Skip("needs root for network namespaces")
}

// Namespace is a network namespace without a name: it ends with the test and its processes, whatever happens.
type Namespace struct {
	*netlink.Handle
	ns netns.NsHandle
}

// MustNamespace makes a namespace whose loopback interface is up.
func MustNamespace(t testing.TB) *Namespace {
	t.Helper()
	MustRoot(t)
	n := &Namespace{}
	var err error
	onThread(func() { n.ns, err = netns.New() })
	check(t, err)
	n.Handle, err = netlink.NewHandleAt(n.ns, unix.NETLINK_ROUTE)
	check(t, err)
	t.Cleanup(func() {
		n.Close()
		check(t, n.ns.Close())
	})
	check(t, n.LinkSetUp(n.MustLink(t, "lo")))
	n.skipAddressDetection(t)
	return n
}

// skipAddressDetection makes IPv6 usable at once: until the link-local address is certain, some kernels resolve nobody.
func (n *Namespace) skipAddressDetection(t testing.TB) {
	t.Helper()
	for _, conf := range []string{"all", "default"} {
		var err error
		n.Do(t, func() { err = os.WriteFile("/proc/sys/net/ipv6/conf/"+conf+"/accept_dad", []byte("0"), 0) })
		check(t, err)
	}
}

// onThread runs f on a thread of its own, which ends with it: its namespace is never anybody else's.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// Do runs f in the namespace. Sockets and processes made by f belong to it for good.
func (n *Namespace) Do(t testing.TB, f func()) {
	t.Helper()
	var err error
	onThread(func() {
		if err = netns.Set(n.ns); err == nil {
			f()
		}
	})
	check(t, err)
}

// MustLink returns an interface of the namespace.
func (n *Namespace) MustLink(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := n.LinkByName(name)
	check(t, err)
	return l
}

// MustAddress puts an address on an interface.
func (n *Namespace) MustAddress(t testing.TB, name string, p netip.Prefix) {
	t.Helper()
	a, err := netlink.ParseAddr(p.String())
	check(t, err)
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	check(t, n.AddrAdd(n.MustLink(t, name), a))
}

// MustRoute sends what goes to an address over a gateway, with a source of its own if that is valid.
func (n *Namespace) MustRoute(t testing.TB, to, gateway, source netip.Addr) {
	t.Helper()
	p, err := netlink.ParseIPNet(netip.PrefixFrom(to, to.BitLen()).String())
	check(t, err)
	check(t, n.RouteAdd(&netlink.Route{Dst: p, Gw: gateway.AsSlice(), Src: source.AsSlice()}))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
