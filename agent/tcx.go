package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

const linkPrefix = "link_"

// tcx is the hook of Linux 6.6 and later: a pinned link for each interface and direction.
type tcx struct{ dir string }

func (tcx) name() string { return AttachTCX.String() }

// Every interface has the hook.
func (tcx) missing(int) (bool, error) { return false, nil }
func (tcx) create(int) error          { return nil }

// pin is named by index, not by name: bpffs refuses dots, and an index is not used twice.
func (t tcx) pin(ifindex int, d direction) string {
	return filepath.Join(t.dir, fmt.Sprintf("%s%d_%s", linkPrefix, ifindex, d))
}

func (t tcx) attach(ifindex int, d direction, prog *ebpf.Program) error {
	if done, err := t.replace(ifindex, d, prog); done || err != nil {
		return err
	}
	hook := ebpf.AttachTCXIngress
	if d == egress {
		hook = ebpf.AttachTCXEgress
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: prog, Attach: hook})
	if err != nil {
		return attachError(t, ifindex, d, err)
	}
	defer l.Close()
	if err := l.Pin(t.pin(ifindex, d)); err != nil {
		return attachError(t, ifindex, d, err)
	}
	return nil
}

// replace swaps the program of a pinned link. It says whether there was one that is still attached.
func (t tcx) replace(ifindex int, d direction, prog *ebpf.Program) (bool, error) {
	l, err := t.open(ifindex, d)
	if err != nil || l == nil {
		return false, err
	}
	defer l.Close()
	if err := l.Update(prog); err != nil {
		return false, fmt.Errorf("replacing %s program on interface %d: %w", d, ifindex, err)
	}
	return true, nil
}

// open returns the pinned link, or nil if there is none. The pin of a link that somebody has cut is removed.
func (t tcx) open(ifindex int, d direction) (link.Link, error) {
	l, err := link.LoadPinnedLink(t.pin(ifindex, d), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening pinned link: %w", err)
	}
	info, err := l.Info()
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("asking pinned link: %w", err)
	}
	if at := info.TCX(); at == nil || int(at.Ifindex) != ifindex {
		l.Close()
		return nil, os.Remove(t.pin(ifindex, d))
	}
	return l, nil
}

func (t tcx) attached(ifindex int, d direction) (bool, error) {
	l, err := t.open(ifindex, d)
	if err != nil || l == nil {
		return false, err
	}
	return true, l.Close()
}

// detach removes the pin, which is the last reference to the link.
func (t tcx) detach(ifindex int, d direction) error {
	err := os.Remove(t.pin(ifindex, d))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("detaching %s program: %w", d, err)
	}
	return nil
}
