package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// agent is one running agent. One goroutine owns it.
type agent struct {
	o       Options
	log     *slog.Logger
	state   *state
	objects *bpfObjects
	hook    hook
	// settled says that set-up is over: what is changed from now on is put back, not set.
	settled bool
	away    map[string]bool
	limits  bpfMssLimits
}

// Run sets the host up as o says, calls o.Ready, and watches over it until ctx ends. What it set up stays. If it cannot
// set everything up it leaves the host as it was before.
func Run(ctx context.Context, o Options) error {
	o, err := o.normalize()
	if err != nil {
		return err
	}
	if err := require(o); err != nil {
		return err
	}
	held, err := lock(o.StateDir)
	if err != nil {
		return err
	}
	defer held.Close()
	s, err := loadState(o.StateDir)
	if err != nil {
		return err
	}
	if s.exists() && s.BPFFSDir != o.BPFFSDir {
		return fmt.Errorf("adopting pins: they are below %q (give that --bpffs-dir, or --detach first)", s.BPFFSDir)
	}
	adopting := s.exists()
	a := &agent{o: o, log: o.Log.With("component", "agent"), state: s, away: map[string]bool{}}
	events, err := subscribe(ctx)
	if err != nil {
		return err
	}
	if err := a.setUp(); err != nil {
		if !adopting {
			err = errors.Join(err, s.undo(o.BPFFSDir))
		}
		return err
	}
	defer a.objects.Close()
	a.log.Info("set up", "adopted", adopting, "hook", a.hook.name(), "vips", len(o.VIPs), "interfaces", len(o.Interfaces))
	if o.Ready != nil {
		o.Ready()
	}
	a.watch(ctx, events)
	return nil
}

// setUp brings the host to what o says. The programs come last, so that the first packet they let in finds its address;
// what is no longer wanted goes after the programs that wanted it.
func (a *agent) setUp() error {
	if err := ensureBPFFS(a.o.BPFFSDir, a.log); err != nil {
		return err
	}
	objects, err := load(a.o)
	if err != nil {
		return err
	}
	a.objects = objects
	if err := errors.Join(a.record(), a.ensureHost(), a.setLimits()); err != nil {
		return errors.Join(err, objects.Close())
	}
	a.hook, err = chooseHook(hooks(a.o.Attach, a.o.BPFFSDir), a.attachAll)
	if err == nil {
		err = errors.Join(a.retire(), pinMaps(objects, a.o.BPFFSDir), a.state.save())
	}
	if err != nil {
		return errors.Join(err, objects.Close())
	}
	a.settled = true
	return nil
}

// record puts what the agent was told on disk, for `--status`.
func (a *agent) record() error {
	s := a.state
	s.Version, s.BPFFSDir, s.MSSClamp = a.o.Version, a.o.BPFFSDir, a.o.MSS.String()
	s.Encap = a.o.Encaps.String()
	s.VIPs, s.From, s.Interfaces = a.o.VIPs, a.o.From, a.o.Interfaces
	return s.save()
}

// ensureHost sees to sysctls and addresses of the whole host.
func (a *agent) ensureHost() error {
	var errs []error
	for _, d := range demandsAll {
		errs = append(errs, a.ensureSysctl(d))
	}
	for _, vip := range a.o.VIPs {
		added, err := a.state.ensureAddress(vip)
		if added {
			a.changed("address", "vip", vip)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (a *agent) ensureSysctl(d demand) error {
	set, err := a.state.ensureSysctl(d)
	if set {
		a.changed("sysctl", "name", d.name, "value", d.value)
	}
	return err
}

// changed logs what the agent did: during set-up as expected, later as the undoing of somebody else's change.
func (a *agent) changed(what string, facts ...any) {
	facts = append([]any{"object", what}, facts...)
	if a.settled {
		a.log.Warn("put back", facts...)
	} else {
		a.log.Info("set", facts...)
	}
}

func (a *agent) attachAll(h hook) error {
	for _, name := range a.o.Interfaces {
		if err := a.attachTo(h, name); err != nil {
			return err
		}
	}
	return nil
}

// attachTo puts the programs on one interface; the way in of an earlier agent that used the other hook goes after that.
func (a *agent) attachTo(h hook, name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %q: %w", name, err)
	}
	index := l.Attrs().Index
	was := a.state.attachment(name)
	if was != nil && was.Index != index {
		a.forget(*was)
		was = nil
	}
	now := attachment{Interface: name, Index: index, Hook: h.name(), QdiscAdded: was != nil && was.QdiscAdded}
	missing, err := h.missing(index)
	if err != nil {
		return err
	}
	now.QdiscAdded = now.QdiscAdded || missing
	a.state.setAttachment(now)
	if err := a.state.save(); err != nil {
		return err
	}
	for _, d := range demandsOf(name) {
		if err := a.ensureSysctl(d); err != nil {
			return err
		}
	}
	if err := a.attachPrograms(h, index); err != nil {
		return err
	}
	return a.leaveHook(otherHook(h, a.o.BPFFSDir), index)
}

func (a *agent) attachPrograms(h hook, index int) error {
	if err := h.create(index); err != nil {
		return err
	}
	for _, d := range directions {
		prog, wanted := a.program(d)
		act := h.detach
		if wanted {
			act = func(index int, d direction) error { return h.attach(index, d, prog) }
		}
		if err := act(index, d); err != nil {
			return err
		}
	}
	return nil
}

// program returns d's program and whether it has anything to do.
func (a *agent) program(d direction) (*ebpf.Program, bool) {
	if d == egress {
		return a.objects.SluiceEgress, !a.o.MSS.off
	}
	return a.objects.SluiceIngress, a.o.Encaps.decap()
}

// leaveHook takes the agent's programs off a hook of an interface. A clsact qdisc stays until Detach: the kernel stops
// the interface's transmit queues for a moment when it takes a qdisc away.
func (a *agent) leaveHook(h hook, index int) error {
	var errs []error
	for _, d := range directions {
		errs = append(errs, h.detach(index, d))
	}
	return errors.Join(errs...)
}

// forget drops what belonged to an interface that is gone: its pins and the originals of its sysctls.
func (a *agent) forget(was attachment) {
	a.state.forgetSysctls(interfacePrefix(was.Interface))
	for _, d := range directions {
		if err := (tcx{a.o.BPFFSDir}).detach(was.Index, d); err != nil {
			a.log.Warn("stale pin left", "iface", was.Interface, "err", err)
		}
	}
}

// retire undoes what an earlier agent had set up for VIPs and interfaces that are no longer wanted.
func (a *agent) retire() error {
	var errs []error
	for _, at := range slices.Clone(a.state.Attachments) {
		if !slices.Contains(a.o.Interfaces, at.Interface) {
			errs = append(errs, a.state.detachInterface(at, a.o.BPFFSDir))
		}
	}
	for _, vip := range slices.Clone(a.state.Addresses) {
		if !slices.Contains(a.o.VIPs, vip) {
			errs = append(errs, a.state.removeAddress(vip))
		}
	}
	return errors.Join(errs...)
}

// setLimits works out the MSS limits from the smallest MTU and stores them when they have changed.
func (a *agent) setLimits() error {
	mtu := 0
	for _, name := range a.o.Interfaces {
		l, err := netlink.LinkByName(name)
		if err == nil && (mtu == 0 || l.Attrs().MTU < mtu) {
			mtu = l.Attrs().MTU
		}
	}
	if mtu == 0 {
		return nil
	}
	limits := a.o.MSS.limits(mtu, outerHeader(a.o.From))
	if limits == a.limits {
		return nil
	}
	if err := a.objects.Limits.Put(uint32(0), limits); err != nil {
		return fmt.Errorf("storing MSS limits: %w", err)
	}
	a.limits = limits
	a.log.Info("MSS limit", "mtu", mtu, "v4", limits.MssV4, "v6", limits.MssV6, "clamp", a.o.MSS.String())
	return nil
}
