package xdp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attachment is the program on one interface.
type attachment struct {
	name  string
	index int
	mode  Mode
	link  link.Link
	// adopted says that the link was pinned before.
	adopted bool
	// fault is what is wrong with the interface; empty when nothing is.
	fault string
}

func (d *Dataplane) linkPath(name string) string {
	return filepath.Join(d.options.BPFFSDir, "links", name)
}

// Attach puts the program on every interface, or on none that did not carry it before: a pinned link is updated in place,
// so that no packet is lost; elsewhere a new one is made and pinned. Interfaces that are no longer managed are released.
// The maps must have been filled, by Adopt or Publish.
func (d *Dataplane) Attach() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state == nil {
		return errors.New("attaching: no state is published")
	}
	for _, name := range d.options.Interfaces {
		if err := d.preflight(name); err != nil {
			return fmt.Errorf("attaching to interface %q: %w", name, err)
		}
	}
	if err := d.setEgress(); err != nil {
		return fmt.Errorf("attaching: %w", err)
	}
	for _, name := range d.options.Interfaces {
		a, err := d.attach(name)
		if err != nil {
			return errors.Join(fmt.Errorf("attaching to interface %q: %w", name, err), d.undoAttachLocked())
		}
		d.attached = append(d.attached, a)
	}
	if d.fresh {
		if err := pinMaps(d.options.BPFFSDir, d.tables.maps); err != nil {
			return errors.Join(err, d.undoAttachLocked())
		}
		d.fresh = false
	}
	return d.releaseOthers()
}

// undoAttachLocked takes the program off the interfaces that did not carry it before. Links that were there keep it:
// packets flow as they did.
func (d *Dataplane) undoAttachLocked() error {
	var errs []error
	for _, a := range d.attached {
		if a.adopted {
			errs = append(errs, a.link.Close())
		} else {
			errs = append(errs, dropLink(a.link))
		}
	}
	d.attached = nil
	return errors.Join(errs...)
}

func (d *Dataplane) attach(name string) (*attachment, error) {
	iface, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	a := &attachment{name: name, index: iface.Attrs().Index}
	if a.link, a.mode, err = d.adoptLink(name, a.index); err != nil {
		return nil, err
	}
	if a.link != nil {
		a.adopted = true
		return a, nil
	}
	if a.link, a.mode, err = d.newLink(name, a.index); err != nil {
		return nil, attachError(err, iface)
	}
	if err := a.link.Pin(d.linkPath(name)); err != nil {
		return nil, errors.Join(fmt.Errorf("pinning link: %w", err), a.link.Close())
	}
	return a, nil
}

// adoptLink updates the pinned link, if there is one that is still on the interface and of the mode that is wanted.
func (d *Dataplane) adoptLink(name string, index int) (link.Link, Mode, error) {
	path := d.linkPath(name)
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("pinned link: %w", err)
	}
	mode := attachedMode(index)
	if linkIfindex(l) != index || (d.options.Mode != ModeAuto && d.options.Mode != mode) {
		// The interface went away and came back, or another mode is wanted: this link is of no more use.
		d.log.Warn("pinned link is replaced", "iface", name, "mode", mode.String())
		return nil, 0, dropLink(l)
	}
	if err := l.Update(d.programs[name]); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("updating link: %w", err), l.Close())
	}
	return l, mode, nil
}

// newLink attaches in the mode of the options.
func (d *Dataplane) newLink(name string, index int) (link.Link, Mode, error) {
	try := func(flags link.XDPAttachFlags) (link.Link, error) {
		return link.AttachXDP(link.XDPOptions{Program: d.programs[name], Interface: index, Flags: flags})
	}
	if d.options.Mode == ModeGeneric {
		l, err := try(link.XDPGenericMode)
		return l, ModeGeneric, err
	}
	d.log.Info("attaching in the driver, some of which take the link down for a moment", "iface", name)
	l, err := try(link.XDPDriverMode)
	if err == nil || d.options.Mode != ModeAuto || !errors.Is(err, unix.EOPNOTSUPP) {
		return l, ModeNative, err
	}
	d.log.Warn("the driver has no native XDP, using generic mode, which is many times slower", "iface", name, "err", err)
	l, err = try(link.XDPGenericMode)
	return l, ModeGeneric, err
}

// attachError adds what an operator can do about err.
func attachError(err error, iface netlink.Link) error {
	a := iface.Attrs()
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: its driver has no native XDP (use --mode generic, or auto, which is many times slower)", err)
	case errors.Is(err, unix.ERANGE), errors.Is(err, unix.EINVAL) && a.MTU > 1500:
		return fmt.Errorf("%w: MTU %d is too large for XDP in this driver (try: ip link set dev %s mtu %d)",
			err, a.MTU, a.Name, largestLinearMTU)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: it carries another XDP program (%s)", err, describeProgram(a.Xdp))
	}
	return err
}

// largestLinearMTU is what fits one 4096-byte page with XDP's headroom of 256 bytes, the tail room of struct
// skb_shared_info (320 bytes on 64-bit kernels), an Ethernet header and a VLAN tag.
const largestLinearMTU = 3498

// describeProgram names the program that an interface carries.
func describeProgram(x *netlink.LinkXdp) string {
	if x == nil || !x.Attached {
		return "not visible"
	}
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(x.ProgId))
	if err != nil {
		return fmt.Sprintf("id %d", x.ProgId)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return fmt.Sprintf("id %d", x.ProgId)
	}
	return fmt.Sprintf("%q, id %d, tag %s", info.Name, x.ProgId, info.Tag)
}

// attachedMode is how an interface runs its program (IFLA_XDP_ATTACHED: 2 is XDP_ATTACHED_SKB).
func attachedMode(index int) Mode {
	l, err := netlink.LinkByIndex(index)
	if err == nil && l.Attrs().Xdp != nil && l.Attrs().Xdp.AttachMode == 2 {
		return ModeGeneric
	}
	return ModeNative
}

func linkIfindex(l link.Link) int {
	info, err := l.Info()
	if err != nil || info.XDP() == nil {
		return 0
	}
	return int(info.XDP().Ifindex)
}

// linksUse tells whether every program that a pinned link runs uses these maps.
func (d *Dataplane) linksUse(opened map[string]*ebpf.Map) bool {
	rootInfo, err := opened["root"].Info()
	if err != nil {
		return false
	}
	rootID, _ := rootInfo.ID()
	for _, name := range pinnedLinks(d.options.BPFFSDir) {
		ids, err := linkMaps(d.linkPath(name))
		if err == nil && len(ids) > 0 && !slices.Contains(ids, rootID) {
			return false
		}
	}
	return true
}

// linkProgram is the program that a pinned link runs.
func linkProgram(path string) (ebpf.ProgramID, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return 0, err
	}
	return info.Program, nil
}

// linkMaps are the maps of the program that a pinned link runs.
func linkMaps(path string) ([]ebpf.MapID, error) {
	id, err := linkProgram(path)
	if err != nil {
		return nil, err
	}
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return nil, err
	}
	ids, _ := info.MapIDs()
	return ids, nil
}

// pinnedLinks are the names of the interfaces that have a pinned link.
func pinnedLinks(dir string) []string {
	entries, err := os.ReadDir(filepath.Join(dir, "links"))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// releaseOthers detaches from interfaces that are no longer managed.
func (d *Dataplane) releaseOthers() error {
	for _, name := range pinnedLinks(d.options.BPFFSDir) {
		if slices.Contains(d.options.Interfaces, name) {
			continue
		}
		d.log.Info("interface released", "iface", name)
		if err := removeLink(d.linkPath(name)); err != nil {
			return fmt.Errorf("releasing interface %q: %w", name, err)
		}
	}
	return nil
}

// removeLink detaches what a pin holds.
func removeLink(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return dropLink(l)
}

// dropLink takes a link's program off its interface before it lets go of it: a kernel may free a link that is only
// unpinned and closed some time later.
func dropLink(l link.Link) error {
	// The interface may be gone: then the kernel has detached the link already.
	if err := l.Detach(); err != nil && !errors.Is(err, unix.ENOLINK) {
		return errors.Join(fmt.Errorf("detaching: %w", err), l.Close())
	}
	return errors.Join(l.Unpin(), l.Close())
}

// Detach takes the program off every interface and removes all pins below dir. It refuses while a daemon runs. A dir
// that does not exist is no error: nothing is attached.
func Detach(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := lockDir(dir)
	if err != nil {
		return fmt.Errorf("detaching: %w", err)
	}
	defer lock.Close()
	var errs []error
	for _, name := range pinnedLinks(dir) {
		errs = append(errs, removeLink(filepath.Join(dir, "links", name)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detaching: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("detaching: %w", err)
	}
	return nil
}
