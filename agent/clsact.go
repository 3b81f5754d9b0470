package agent

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// clsact is the hook of kernels before 6.6: a direct-action classifier under the clsact qdisc. Filter and qdisc belong
// to the interface, so they stay without a pin; ours are known by name.
type clsact struct{}

const (
	clsactPriority = 200
	clsactHandle   = 1
)

func (clsact) name() string { return AttachClsact.String() }

func (clsact) filterName(d direction) string { return "sluice_agent_" + d.String() }

func (clsact) parent(d direction) uint32 {
	if d == egress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

func (clsact) qdisc(ifindex int) netlink.Qdisc {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex,
		Handle:    netlink.MakeHandle(0xffff, 0),
		Parent:    netlink.HANDLE_CLSACT,
	}}
}

func (c clsact) missing(ifindex int) (bool, error) {
	list, err := netlink.QdiscList(interfaceNumber(ifindex))
	if err != nil {
		return false, fmt.Errorf("listing qdiscs of interface %d: %w", ifindex, err)
	}
	isClsact := func(q netlink.Qdisc) bool { return q.Type() == "clsact" }
	return !slices.ContainsFunc(list, isClsact), nil
}

func (c clsact) create(ifindex int) error {
	err := netlink.QdiscAdd(c.qdisc(ifindex))
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("adding clsact qdisc to interface %d: %w (the kernel needs CONFIG_NET_SCH_INGRESS)", ifindex, err)
	}
	return nil
}

// destroy takes the qdisc away unless somebody else has filters there by now.
func (c clsact) destroy(ifindex int) error {
	for _, d := range directions {
		filters, err := c.filters(ifindex, d)
		if err != nil || len(filters) > 0 {
			return err
		}
	}
	err := netlink.QdiscDel(c.qdisc(ifindex))
	if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing clsact qdisc from interface %d: %w", ifindex, err)
	}
	return nil
}

// interfaceNumber is for calls that want a Link for nothing but its index.
func interfaceNumber(ifindex int) netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
}

func (c clsact) filters(ifindex int, d direction) ([]netlink.Filter, error) {
	list, err := netlink.FilterList(interfaceNumber(ifindex), c.parent(d))
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) {
		return nil, nil // no such qdisc, or no such interface any more
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s filters of interface %d: %w", d, ifindex, err)
	}
	return list, nil
}

// find returns our filter, or nil; and an error if somebody else's stands in its place.
func (c clsact) find(ifindex int, d direction) (*netlink.BpfFilter, error) {
	list, err := c.filters(ifindex, d)
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		if f.Attrs().Priority != clsactPriority {
			continue
		}
		if ours, ok := f.(*netlink.BpfFilter); ok && ours.Name == c.filterName(d) {
			return ours, nil
		}
		return nil, fmt.Errorf("%s filter of interface %d: priority %d is taken by another %s filter (move it)", d, ifindex,
			clsactPriority, f.Type())
	}
	return nil, nil
}

// attach relies on the kernel's replacing of a filter with the same handle, which is one store for the packet path.
func (c clsact) attach(ifindex int, d direction, prog *ebpf.Program) error {
	if _, err := c.find(ifindex, d); err != nil {
		return attachError(c, ifindex, d, err)
	}
	err := netlink.FilterReplace(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex,
			Parent:    c.parent(d),
			Handle:    clsactHandle,
			Protocol:  unix.ETH_P_ALL,
			Priority:  clsactPriority,
		},
		Fd:           prog.FD(),
		Name:         c.filterName(d),
		DirectAction: true,
	})
	if err != nil {
		return attachError(c, ifindex, d, fmt.Errorf("%w (the kernel needs CONFIG_NET_CLS_BPF)", err))
	}
	return nil
}

func (c clsact) attached(ifindex int, d direction) (bool, error) {
	f, err := c.find(ifindex, d)
	return f != nil, err
}

func (c clsact) detach(ifindex int, d direction) error {
	f, err := c.find(ifindex, d)
	if err != nil || f == nil {
		return err
	}
	if err := netlink.FilterDel(f); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("detaching %s program from interface %d: %w", d, ifindex, err)
	}
	return nil
}
