package xdp

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// Repair looks after the interfaces: where one went away and another of its name is there now, it is attached. Errors
// name the interfaces that are still without the program; each is logged once. It costs a question to the kernel for each
// interface, so it can be called every second.
func (d *Dataplane) Repair() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for i, a := range d.attached {
		repaired, err := d.repair(a)
		if err != nil {
			a.noteFault(d, err)
			errs = append(errs, fmt.Errorf("interface %q: %w", a.name, err))
			continue
		}
		if repaired != nil {
			d.log.Info("interface attached again", "iface", a.name, "mode", repaired.mode.String())
			d.attached[i] = repaired
		}
		d.attached[i].fault = ""
	}
	return errors.Join(errs...)
}

// noteFault logs a fault when it is new.
func (a *attachment) noteFault(d *Dataplane, err error) {
	if a.fault != err.Error() {
		d.log.Warn("interface fault", "iface", a.name, "err", err)
	}
	a.fault = err.Error()
}

// repair returns a new attachment where the old one's interface is gone and there is another of its name, and nil where
// nothing is to be done.
func (d *Dataplane) repair(a *attachment) (*attachment, error) {
	current, err := netlink.LinkByIndex(a.index)
	if err == nil && linkIfindex(a.link) == a.index {
		if name := current.Attrs().Name; name != a.name {
			return nil, fmt.Errorf("is called %q now: packets are forwarded, but the next start will look for %q (rename it back, or change --interface)", name, a.name)
		}
		return nil, nil
	}
	if err != nil && !errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, err
	}
	if _, err := netlink.LinkByName(a.name); err != nil {
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil, errors.New("does not exist any more: nothing is forwarded by it (it is attached as soon as it is back)")
		}
		return nil, err
	}
	if err := d.preflight(a.name); err != nil {
		return nil, err
	}
	if err := d.setEgressOf(a.name); err != nil {
		return nil, err
	}
	repaired, err := d.attach(a.name)
	if err != nil {
		return nil, err
	}
	return repaired, a.link.Close()
}
