package agenttest

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The addresses of a Lab: VIPs, clients, and the underlay between load balancer and backend.
var (
	VIPv4         = netip.MustParseAddr("198.51.100.10")
	VIPv6         = netip.MustParseAddr("2001:db8::10")
	ClientV4      = netip.MustParseAddr("203.0.113.7")
	ClientV6      = netip.MustParseAddr("2001:db8:c::7")
	BalancerV4    = netip.MustParseAddr("10.9.0.1")
	BalancerV6    = netip.MustParseAddr("fd00:9::1")
	BackendV4     = netip.MustParseAddr("10.9.0.2")
	BackendV6     = netip.MustParseAddr("fd00:9::2")
	BackendDevice = "eth0.7" // a name with a dot: it must not trouble pins nor sysctls
)

const clientDevice = "client0"

// Lab is a client and a backend on one wire. What the client sends to a VIP is encapsulated on its way out, as a load
// balancer would do; answers come back as they are.
type Lab struct {
	Client, Backend *Namespace
	encap           *encapObjects
}

// MustLab builds a lab without an agent.
func MustLab(t testing.TB) *Lab {
	t.Helper()
	l := &Lab{Client: MustNamespace(t), Backend: MustNamespace(t), encap: &encapObjects{}}
	check(t, rlimit.RemoveMemlock())
	check(t, loadEncapObjects(l.encap, nil))
	t.Cleanup(func() { check(t, l.encap.Close()) })
	l.MustWire(t)
	l.Client.MustAddress(t, "lo", netip.PrefixFrom(ClientV4, 32))
	l.Client.MustAddress(t, "lo", netip.PrefixFrom(ClientV6, 128))
	l.mustSet(t, l.encap.VipV4, VIPv4.As4())
	l.mustSet(t, l.encap.VipV6, VIPv6.As16())
	l.SetSource(t, BalancerV4)
	l.SetSource(t, BalancerV6)
	return l
}

// MustWire makes the wire, with addresses, routes and encapsulation: once more after it was removed.
func (l *Lab) MustWire(t testing.TB) {
	t.Helper()
	check(t, l.Client.LinkAdd(&netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: clientDevice},
		PeerName:      BackendDevice,
		PeerNamespace: netlink.NsFd(int(l.Backend.ns)),
	}))
	l.Client.MustAddress(t, clientDevice, netip.PrefixFrom(BalancerV4, 24))
	l.Client.MustAddress(t, clientDevice, netip.PrefixFrom(BalancerV6, 64))
	l.Backend.MustAddress(t, BackendDevice, netip.PrefixFrom(BackendV4, 24))
	l.Backend.MustAddress(t, BackendDevice, netip.PrefixFrom(BackendV6, 64))
	check(t, l.Client.LinkSetUp(l.Client.MustLink(t, clientDevice)))
	check(t, l.Backend.LinkSetUp(l.Backend.MustLink(t, BackendDevice)))
	l.Client.MustRoute(t, VIPv4, BackendV4, netip.Addr{})
	l.Client.MustRoute(t, VIPv6, BackendV6, netip.Addr{})
	l.Backend.MustRoute(t, ClientV4, BalancerV4, netip.Addr{})
	l.Backend.MustRoute(t, ClientV6, BalancerV6, netip.Addr{})
	l.attachEncap(t)
}

// Unwire removes the wire, and with it both interfaces.
func (l *Lab) Unwire(t testing.TB) {
	t.Helper()
	check(t, l.Client.LinkDel(l.Client.MustLink(t, clientDevice)))
}

// attachEncap uses clsact, which every kernel has.
func (l *Lab) attachEncap(t testing.TB) {
	t.Helper()
	index := l.Client.MustLink(t, clientDevice).Attrs().Index
	check(t, l.Client.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index,
		Handle:    netlink.MakeHandle(0xffff, 0),
		Parent:    netlink.HANDLE_CLSACT,
	}}))
	check(t, l.Client.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index,
			Parent:    netlink.HANDLE_MIN_EGRESS,
			Protocol:  unix.ETH_P_ALL,
			Priority:  1,
			Handle:    1,
		},
		Fd:           l.encap.Encap.FD(),
		Name:         "encap",
		DirectAction: true,
	}))
}

func (l *Lab) mustSet(t testing.TB, v *ebpf.Variable, value any) {
	t.Helper()
	check(t, v.Set(value))
}

// SetSource makes source the sender of outer headers of its family.
func (l *Lab) SetSource(t testing.TB, source netip.Addr) {
	t.Helper()
	if source.Is4() {
		header := [20]byte{0: 0x45, 6: 0x40, 8: 64}
		copy(header[12:], source.AsSlice())
		copy(header[16:], BackendV4.AsSlice())
		l.mustSet(t, l.encap.OuterV4, header)
		return
	}
	header := [40]byte{0: 0x60, 7: 64}
	copy(header[8:], source.AsSlice())
	copy(header[24:], BackendV6.AsSlice())
	l.mustSet(t, l.encap.OuterV6, header)
}

// SetCrossed makes outer headers those of the other family.
func (l *Lab) SetCrossed(t testing.TB, crossed bool) {
	t.Helper()
	l.mustSet(t, l.encap.Crossed, boolByte(crossed))
}

// SetBare leaves outer headers away: the load balancer is on the backend's segment.
func (l *Lab) SetBare(t testing.TB, bare bool) {
	t.Helper()
	l.mustSet(t, l.encap.Bare, boolByte(bare))
}

func boolByte(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// SetOuterECN makes field the ECN field of outer headers.
func (l *Lab) SetOuterECN(t testing.TB, field uint8) {
	t.Helper()
	l.mustSet(t, l.encap.OuterEcn, field)
}

// SetClientOffload switches features of the client's end of the wire, by ethtool's names.
func (l *Lab) SetClientOffload(t testing.TB, features map[string]bool) {
	t.Helper()
	l.Client.setFeatures(t, clientDevice, features)
}

// SetBackendOffload is SetClientOffload for the backend's end.
func (l *Lab) SetBackendOffload(t testing.TB, features map[string]bool) {
	t.Helper()
	l.Backend.setFeatures(t, BackendDevice, features)
}

func (n *Namespace) setFeatures(t testing.TB, name string, features map[string]bool) {
	t.Helper()
	n.Do(t, func() {
		e, err := ethtool.NewEthtool()
		if err != nil {
			t.Error(err)
			return
		}
		defer e.Close()
		if err := e.Change(name, features); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
}
