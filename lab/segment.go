package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// The load balancer's addresses on its second link, where it has one.
var (
	SecondV4 = netip.MustParseAddr("10.9.3.2")
	SecondV6 = netip.MustParseAddr("fd00:9:3::2")
)

const (
	// SecondIface is the name of the load balancer's second interface.
	SecondIface = "eth1"
	// segment is the name of the router's bridge, where the load balancer's link is one port of several.
	segment = "segment"
)

// AddSecondLink gives the load balancer a second interface. Everything for the backends that there are leaves by it.
func (t *Topology) AddSecondLink() error {
	gateway4, gateway6 := SecondV4.Prev(), SecondV6.Prev()
	err := wire(
		end{ns: t.LB, iface: SecondIface, addresses: []netip.Prefix{netip.PrefixFrom(SecondV4, 24), netip.PrefixFrom(SecondV6, 64)}, number: 1},
		end{ns: t.Router, iface: "lb1", addresses: []netip.Prefix{netip.PrefixFrom(gateway4, 24), netip.PrefixFrom(gateway6, 64)}},
		InnerMTU)
	if err != nil {
		return err
	}
	// What is redirected out of a veth reaches an end that runs XDP.
	if err := t.Router.AttachPassAll("lb1"); err != nil {
		return err
	}
	for _, b := range t.Backends {
		for to, gateway := range map[netip.Addr]netip.Addr{b.V4: gateway4, b.V6: gateway6} {
			if err := t.LB.Route(netip.PrefixFrom(to, to.BitLen()), gateway, InnerMTU); err != nil {
				return err
			}
		}
	}
	t.Sources = append(t.Sources, netip.PrefixFrom(SecondV4, 32), netip.PrefixFrom(SecondV6, 128))
	return nil
}

// AddFlatBackend adds a real server on the load balancer's own segment: both are ports of a bridge, whose address is the
// gateway. Nothing runs in it yet.
func (t *Topology) AddFlatBackend() (*Backend, error) {
	bridge, err := t.bridge()
	if err != nil {
		return nil, err
	}
	n := len(t.Backends) + 1
	ns, err := t.namespace(fmt.Sprintf("b%d", n))
	if err != nil {
		return nil, err
	}
	b := &Backend{
		Namespace: ns, Server: fmt.Sprintf("web-%d", n), Flat: true,
		V4: netip.MustParseAddr(fmt.Sprintf("10.9.2.%d", 10+n)), V6: netip.MustParseAddr(fmt.Sprintf("fd00:9:2::%d", 10+n)),
	}
	t.Backends = append(t.Backends, b)
	port := fmt.Sprintf("b%d", n)
	err = wire(
		end{ns: ns, iface: Iface, addresses: []netip.Prefix{netip.PrefixFrom(b.V4, 24), netip.PrefixFrom(b.V6, 64)}},
		end{ns: t.Router, iface: port}, InnerMTU)
	if err != nil {
		return nil, err
	}
	for to, gateway := range map[netip.Prefix]netip.Addr{defaultV4: LBV4.Prev(), defaultV6: LBV6.Prev()} {
		if err := ns.Route(to, gateway, ClientMTU); err != nil {
			return nil, err
		}
	}
	return b, t.Router.enslave(port, bridge)
}

// bridge makes the load balancer's link a port of a bridge that takes over the router's addresses, unless it is one.
func (t *Topology) bridge() (netlink.Link, error) {
	if l, err := t.Router.rtnl.LinkByName(segment); err == nil {
		return l, nil
	}
	if err := t.Router.rtnl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: segment, MTU: InnerMTU}}); err != nil {
		return nil, fmt.Errorf("creating bridge: %w", err)
	}
	bridge, err := t.Router.rtnl.LinkByName(segment)
	if err != nil {
		return nil, err
	}
	port, err := t.Router.rtnl.LinkByName("lb0")
	if err != nil {
		return nil, err
	}
	for _, gateway := range []netip.Prefix{netip.PrefixFrom(LBV4.Prev(), 24), netip.PrefixFrom(LBV6.Prev(), 64)} {
		if err := t.Router.rtnl.AddrDel(port, &netlink.Addr{IPNet: ipNet(gateway)}); err != nil {
			return nil, fmt.Errorf("moving address %s to the bridge: %w", gateway, err)
		}
	}
	if err := t.Router.enslave("lb0", bridge); err != nil {
		return nil, err
	}
	e := end{ns: t.Router, iface: segment, addresses: []netip.Prefix{netip.PrefixFrom(LBV4.Prev(), 24), netip.PrefixFrom(LBV6.Prev(), 64)}}
	if err := e.configure(); err != nil {
		return nil, fmt.Errorf("configuring bridge: %w", err)
	}
	// The routes to the VIPs went with the addresses.
	for vips, lb := range map[netip.Prefix]netip.Addr{VIPsV4: LBV4, VIPsV6: LBV6} {
		if err := t.Router.rtnl.RouteReplace(&netlink.Route{Dst: ipNet(vips), Gw: lb.AsSlice()}); err != nil {
			return nil, fmt.Errorf("routing %s by the bridge: %w", vips, err)
		}
	}
	return bridge, nil
}

// enslave makes an interface a port of a bridge.
func (n *Namespace) enslave(iface string, bridge netlink.Link) error {
	l, err := n.rtnl.LinkByName(iface)
	if err == nil {
		err = n.rtnl.LinkSetMaster(l, bridge)
	}
	if err != nil {
		return fmt.Errorf("making %q a port of %q in namespace %s: %w", iface, bridge.Attrs().Name, n.Name, err)
	}
	return nil
}
