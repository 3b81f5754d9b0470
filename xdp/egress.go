package xdp

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// setEgress tells the kernel where packets go that leave by another managed interface than they came in by: its index of
// each of them, and nothing for the numbers of others. It is called before programs are attached, so that no packet that
// meets one finds an entry missing.
func (d *Dataplane) setEgress() error {
	managed := map[uint8]bool{}
	for _, name := range d.options.Interfaces {
		number, _ := d.tables.number(name)
		managed[number] = true
		if err := d.setEgressOf(name); err != nil {
			return err
		}
	}
	for number := range uint8(MaxInterfaces) {
		if managed[number] {
			continue
		}
		if err := d.tables.maps[egressMap].Delete(uint32(number)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("interface number %d: removing it from redirects: %w", number, err)
		}
	}
	return nil
}

// setEgressOf is setEgress for one managed interface: the kernel forgets it when it is deleted, and one that is re-created
// has another index.
func (d *Dataplane) setEgressOf(name string) error {
	iface, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %q: %w", name, err)
	}
	number, _ := d.tables.number(name)
	if err := d.tables.maps[egressMap].Put(uint32(number), uint32(iface.Attrs().Index)); err != nil {
		return fmt.Errorf("interface %q: storing it for redirects: %w", name, err)
	}
	return nil
}
