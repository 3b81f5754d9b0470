package agent

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// vipAddress is how a VIP stands on the loopback interface: usable for replies, never chosen as the source of the host's
// own traffic. IPv4 has scope host for that, IPv6 a preferred lifetime of zero. Duplicate address detection is off:
// every backend has the same address.
func vipAddress(vip netip.Addr) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: vip.AsSlice(), Mask: net.CIDRMask(vip.BitLen(), vip.BitLen())}}
	if vip.Is4() {
		a.Scope = unix.RT_SCOPE_HOST
		return a
	}
	a.Flags = unix.IFA_F_NODAD
	a.ValidLft = math.MaxUint32
	a.PreferedLft = 0
	return a
}

func loopback() (netlink.Link, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("finding loopback interface: %w", err)
	}
	return lo, nil
}

func loopbackHas(lo netlink.Link, vip netip.Addr) (bool, error) {
	family := unix.AF_INET6
	if vip.Is4() {
		family = unix.AF_INET
	}
	list, err := netlink.AddrList(lo, family)
	if err != nil {
		return false, fmt.Errorf("listing addresses of %q: %w", lo.Attrs().Name, err)
	}
	return slices.ContainsFunc(list, func(a netlink.Addr) bool {
		ip, _ := netip.AddrFromSlice(a.IP)
		return ip.Unmap() == vip
	}), nil
}

// ensureAddress puts vip on the loopback interface, after it is on disk that it was not there. It says whether it did.
func (s *state) ensureAddress(vip netip.Addr) (bool, error) {
	lo, err := loopback()
	if err != nil {
		return false, err
	}
	present, err := loopbackHas(lo, vip)
	if err != nil || present {
		return false, err
	}
	if !slices.Contains(s.Addresses, vip) {
		s.Addresses = append(s.Addresses, vip)
		if err := s.save(); err != nil {
			return false, err
		}
	}
	if lo.Attrs().Flags&net.FlagUp == 0 {
		return false, fmt.Errorf("adding VIP %q: interface \"lo\" is down (ip link set lo up)", vip)
	}
	if err := netlink.AddrReplace(lo, vipAddress(vip)); err != nil {
		return false, fmt.Errorf("adding VIP %q to interface \"lo\": %w", vip, err)
	}
	return true, nil
}

// removeAddress takes vip off the loopback interface if the agent had put it there.
func (s *state) removeAddress(vip netip.Addr) error {
	if !slices.Contains(s.Addresses, vip) {
		return nil
	}
	lo, err := loopback()
	if err != nil {
		return err
	}
	err = netlink.AddrDel(lo, vipAddress(vip))
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("removing VIP %q from interface \"lo\": %w", vip, err)
	}
	s.Addresses = slices.DeleteFunc(s.Addresses, func(a netip.Addr) bool { return a == vip })
	return nil
}
