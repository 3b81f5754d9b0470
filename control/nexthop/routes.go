package nexthop

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/lb"
)

// Routes looks up the routes to destinations.
func (k *Netlink) Routes(destinations []netip.Addr) (map[netip.Addr]Route, error) {
	list, err := k.handle.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list links: %w", err)
	}
	links := make(map[int]*netlink.LinkAttrs, len(list))
	for _, l := range list {
		links[l.Attrs().Index] = l.Attrs()
	}
	routes := make(map[netip.Addr]Route, len(destinations))
	for _, d := range destinations {
		r, ok, err := k.route(d, links)
		if err != nil {
			return nil, err
		}
		if ok {
			routes[d] = r
		}
	}
	return routes, nil
}

// route looks one destination up; false where packets to it do not leave the node.
func (k *Netlink) route(d netip.Addr, links map[int]*netlink.LinkAttrs) (Route, bool, error) {
	found, ok, err := k.get(d, &netlink.RouteGetOptions{})
	if !ok || err != nil {
		return Route{}, false, err
	}
	gateway := gatewayOf(found.Gw, found.Via)
	entry, ok, err := k.get(d, &netlink.RouteGetOptions{FIBMatch: true})
	if err != nil {
		return Route{}, false, err
	}
	if path := choosePath(d, entry.MultiPath); ok && path != nil {
		// Ask again for the chosen interface: source address and MTU depend on it.
		if found, ok, err = k.get(d, &netlink.RouteGetOptions{OifIndex: path.LinkIndex}); !ok || err != nil {
			return Route{}, false, err
		}
		gateway = gatewayOf(path.Gw, path.Via)
	}
	link := links[found.LinkIndex]
	source, valid := netip.AddrFromSlice(found.Src)
	if found.Type != unix.RTN_UNICAST || link == nil || !valid {
		return Route{}, false, nil
	}
	r := Route{Interface: link.Name, Index: link.Index, Source: source.Unmap(), Gateway: gateway, MTU: uint32(link.MTU)}
	if len(link.HardwareAddr) == len(r.InterfaceMAC) {
		r.InterfaceMAC = lb.MAC(link.HardwareAddr)
	}
	if found.MTU > 0 {
		r.MTU = min(r.MTU, uint32(found.MTU))
	}
	return r, true, nil
}

// get asks the kernel for one route; false where there is none.
func (k *Netlink) get(d netip.Addr, o *netlink.RouteGetOptions) (netlink.Route, bool, error) {
	found, err := k.handle.RouteGetWithOptions(d.AsSlice(), o)
	var no unix.Errno
	switch {
	case errors.As(err, &no) && (no == unix.ENETUNREACH || no == unix.EHOSTUNREACH || no == unix.EACCES || no == unix.EINVAL || no == unix.ENODEV):
		return netlink.Route{}, false, nil // unreachable, prohibit, blackhole, or the interface has just gone
	case err != nil:
		return netlink.Route{}, false, fmt.Errorf("look up route to %s: %w", d, err)
	case len(found) == 0:
		return netlink.Route{}, false, nil
	}
	return found[0], true, nil
}

// choosePath spreads destinations over the usable paths of a multipath route by rendezvous hashing: when a path comes
// or goes, only the destinations that it wins or held move. nil where there is nothing to choose.
func choosePath(d netip.Addr, paths []*netlink.NexthopInfo) *netlink.NexthopInfo {
	var (
		best  *netlink.NexthopInfo
		score [sha256.Size]byte
	)
	if len(paths) < 2 {
		return nil
	}
	for _, p := range paths {
		if p.Flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0 {
			continue
		}
		s := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", d, gatewayOf(p.Gw, p.Via), p.LinkIndex))
		if best == nil || bytes.Compare(s[:], score[:]) > 0 {
			best, score = p, s
		}
	}
	return best
}

// gatewayOf is the router's address, of either family: an IPv4 route may lead via an IPv6 router (RFC 5549).
func gatewayOf(gw net.IP, via netlink.Destination) netip.Addr {
	if v, ok := via.(*netlink.Via); ok && v != nil {
		gw = v.Addr
	}
	address, _ := netip.AddrFromSlice(gw)
	return address.Unmap()
}
