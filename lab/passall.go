package lab

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// xdpPass is the kernel's XDP_PASS.
	xdpPass = 2
	// passAllName is what bpftool shows.
	passAllName = "lab_pass_all"
)

// AttachPassAll attaches an XDP program that passes every frame. It makes a veth end able to receive what XDP transmits
// at the other end. The kernel keeps it until the interface goes.
func (n *Namespace) AttachPassAll(iface string) error {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         passAllName,
		Type:         ebpf.XDP,
		License:      "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("loading the passing XDP program: %w", err)
	}
	defer program.Close()
	return n.attachXDP(iface, program.FD())
}

// attachXDP attaches a program, or takes it away where fd is -1. It works by netlink and makes no bpf_link, because the
// program has to outlive this process when a lab is kept.
func (n *Namespace) attachXDP(iface string, fd int) error {
	link, err := n.rtnl.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("attaching XDP to %q in namespace %s: %w", iface, n.Name, err)
	}
	return n.Do(func() error {
		if err := netlink.LinkSetXdpFdWithFlags(link, fd, unix.XDP_FLAGS_DRV_MODE); err != nil {
			return fmt.Errorf("attaching XDP to %q: %w", iface, err)
		}
		return nil
	})
}
