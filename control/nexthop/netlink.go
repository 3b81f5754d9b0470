package nexthop

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/lb"
)

// Netlink is the Kernel of a network namespace.
type Netlink struct {
	handle    *netlink.Handle
	namespace *netns.NsHandle // nil: the process's own
}

// NewNetlink opens the kernel's tables of a network namespace; nil is the process's own.
func NewNetlink(namespace *netns.NsHandle) (*Netlink, error) {
	var (
		h   *netlink.Handle
		err error
	)
	if namespace == nil {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	} else {
		h, err = netlink.NewHandleAt(*namespace, unix.NETLINK_ROUTE)
	}
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return &Netlink{handle: h, namespace: namespace}, nil
}

// Close releases the sockets.
func (k *Netlink) Close() { k.handle.Close() }

// Neighbours lists both families' neighbour tables.
func (k *Netlink) Neighbours() ([]Neighbour, error) {
	var out []Neighbour
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := k.handle.NeighList(0, family)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, fmt.Errorf("list neighbours: %w", err)
		}
		for _, n := range list {
			if n, ok := neighbour(n); ok {
				out = append(out, n)
			}
		}
	}
	return out, nil
}

// neighbour translates; false for what is no neighbour, such as a bridge's forwarding entry.
func neighbour(n netlink.Neigh) (Neighbour, bool) {
	address, ok := netip.AddrFromSlice(n.IP)
	if !ok || n.Family != unix.AF_INET && n.Family != unix.AF_INET6 || n.Flags&netlink.NTF_PROXY != 0 {
		return Neighbour{}, false
	}
	out := Neighbour{Key: Key{Index: n.LinkIndex, Address: address.Unmap()}, Condition: condition(n.State)}
	if len(n.HardwareAddr) == len(out.MAC) {
		out.MAC = lb.MAC(n.HardwareAddr)
	}
	return out, true
}

func condition(nud int) Condition {
	switch {
	case nud&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0:
		return Fixed
	case nud&unix.NUD_REACHABLE != 0:
		return Confirmed
	case nud&(unix.NUD_STALE|unix.NUD_DELAY|unix.NUD_PROBE) != 0:
		return Unconfirmed
	case nud&unix.NUD_FAILED != 0:
		return Unanswered
	case nud&unix.NUD_INCOMPLETE != 0:
		return Incomplete
	}
	return Unknown
}

// Probe tells the kernel that the neighbour is in use: it resolves an unknown one and confirms a stale one.
func (k *Netlink) Probe(key Key) error {
	err := k.handle.NeighSet(&netlink.Neigh{
		LinkIndex: key.Index,
		IP:        key.Address.AsSlice(),
		State:     unix.NUD_NONE,
		Flags:     netlink.NTF_USE,
	})
	if err != nil {
		return fmt.Errorf("probe neighbour %s: %w", key.Address, err)
	}
	return nil
}
