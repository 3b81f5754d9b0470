package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	// Events come in bursts: an interface that is re-created sends a dozen.
	settleTime = 100 * time.Millisecond
	// Sysctls and detached programs raise no event.
	lookAgain = 10 * time.Second
)

// events are what may mean that the host is no longer as it was set up.
type events struct {
	links     chan netlink.LinkUpdate
	addresses chan netlink.AddrUpdate
}

func subscribe(ctx context.Context) (events, error) {
	e := events{make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64)}
	if err := netlink.LinkSubscribe(e.links, ctx.Done()); err != nil {
		return events{}, fmt.Errorf("watching interfaces: %w", err)
	}
	if err := netlink.AddrSubscribe(e.addresses, ctx.Done()); err != nil {
		return events{}, fmt.Errorf("watching addresses: %w", err)
	}
	return e, nil
}

// watch repairs until ctx ends. A lost subscription leaves the regular look.
func (a *agent) watch(ctx context.Context, e events) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	soon := time.NewTimer(0)
	defer soon.Stop()
	var last string
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-e.links:
			if !open {
				e.links = nil
			}
			soon.Reset(settleTime)
			continue
		case _, open := <-e.addresses:
			if !open {
				e.addresses = nil
			}
			soon.Reset(settleTime)
			continue
		case <-soon.C:
		case <-tick.C:
		}
		last = a.report(last, a.repair())
		if a.o.Looked != nil {
			a.o.Looked()
		}
	}
}

// report logs an error once, not each time it is met again.
func (a *agent) report(last string, err error) string {
	if err == nil {
		return ""
	}
	if err.Error() != last {
		a.log.Error("repair failed", "err", err)
	}
	return err.Error()
}

// repair brings the host back to what it was after set-up. It changes nothing that is as it should be.
func (a *agent) repair() error {
	errs := []error{a.ensureHost()}
	for _, name := range a.o.Interfaces {
		errs = append(errs, a.repairInterface(name))
	}
	return errors.Join(append(errs, a.setLimits())...)
}

func (a *agent) repairInterface(name string) error {
	l, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		if !a.away[name] {
			a.log.Warn("interface gone", "iface", name)
		}
		a.away[name] = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("interface %q: %w", name, err)
	}
	delete(a.away, name)
	intact, err := a.intact(name, l.Attrs().Index)
	if err != nil {
		return err
	}
	if !intact {
		if err := a.attachTo(a.hook, name); err != nil {
			return err
		}
		a.changed("programs", "iface", name)
	}
	for _, d := range demandsOf(name) {
		if err := a.ensureSysctl(d); err != nil {
			return err
		}
	}
	return nil
}

// intact says whether the interface is the one the programs were put on, and still has them.
func (a *agent) intact(name string, index int) (bool, error) {
	at := a.state.attachment(name)
	if at == nil || at.Index != index {
		return false, nil
	}
	for _, d := range directions {
		if _, wanted := a.program(d); !wanted {
			continue
		}
		if there, err := a.hook.attached(index, d); err != nil || !there {
			return false, err
		}
	}
	return true, nil
}
