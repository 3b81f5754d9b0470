package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// end is one end of a veth link.
type end struct {
	ns        *Namespace
	iface     string
	addresses []netip.Prefix
	// number tells the interfaces of a namespace that wire makes apart: 0 for the first.
	number int
}

// ifaceIndex is the index of Iface in its namespace; those of others follow. Any that the router's end never has will do: Linux takes up to a
// second to notice the carrier of a veth whose two ends have the same index (it mistakes them for one device), and IPv6
// is silent until then.
const ifaceIndex = 1000

// wire joins two namespaces by a veth link and sets both ends up.
func wire(a, b end, mtu int) error {
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: a.iface, Index: ifaceIndex + a.number, MTU: mtu},
		PeerName:      b.iface,
		PeerMTU:       uint32(mtu),
		PeerNamespace: netlink.NsFd(int(b.ns.handle)),
	}
	if err := a.ns.rtnl.LinkAdd(veth); err != nil {
		return fmt.Errorf("creating link %s/%s to %s/%s: %w", a.ns.Name, a.iface, b.ns.Name, b.iface, err)
	}
	for _, e := range []end{a, b} {
		if err := e.configure(); err != nil {
			return fmt.Errorf("configuring %s/%s: %w", e.ns.Name, e.iface, err)
		}
	}
	return nil
}

// configure gives the end its addresses and sets it up.
func (e end) configure() error {
	link, err := e.ns.rtnl.LinkByName(e.iface)
	if err != nil {
		return err
	}
	for _, p := range e.addresses {
		// Without duplicate address detection an IPv6 address can be used at once.
		a := &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}
		if p.Addr().Is4() {
			a.Flags = 0
		}
		if err := e.ns.rtnl.AddrAdd(link, a); err != nil {
			return fmt.Errorf("adding address %s: %w", p, err)
		}
	}
	return e.ns.rtnl.LinkSetUp(link)
}

// Route adds a route by a gateway; 0.0.0.0/0 and ::/0 are the default routes. Packets longer than mtu bytes do not take
// it; 0 means that the link's MTU holds.
func (n *Namespace) Route(destination netip.Prefix, gateway netip.Addr, mtu int) error {
	r := &netlink.Route{Dst: ipNet(destination), Gw: gateway.AsSlice(), MTU: mtu}
	if err := n.rtnl.RouteAdd(r); err != nil {
		return fmt.Errorf("adding route %s via %s in namespace %s: %w", destination, gateway, n.Name, err)
	}
	return nil
}

// SendWholeChecksums makes an interface compute the transport checksum of what it sends, as frames on a real wire have it.
func (n *Namespace) SendWholeChecksums(iface string) error {
	return n.Do(func() error {
		e, err := ethtool.NewEthtool()
		if err != nil {
			return err
		}
		defer e.Close()
		if err := e.Change(iface, map[string]bool{"tx-checksum-ip-generic": false}); err != nil {
			return fmt.Errorf("turning checksum offload of %q off: %w", iface, err)
		}
		return nil
	})
}

// quiet sets the parameters that every namespace gets before it has links: nothing that would wait (duplicate address
// detection) or that would talk by itself (router solicitations).
func (n *Namespace) quiet() error {
	for _, scope := range []string{"all", "default"} {
		for key, value := range map[string]string{
			"ipv6.conf.%s.disable_ipv6":         "0",
			"ipv6.conf.%s.accept_dad":           "0",
			"ipv6.conf.%s.dad_transmits":        "0",
			"ipv6.conf.%s.accept_ra":            "0",
			"ipv6.conf.%s.router_solicitations": "0",
		} {
			if err := n.Sysctl("net."+fmt.Sprintf(key, scope), value); err != nil {
				return err
			}
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
