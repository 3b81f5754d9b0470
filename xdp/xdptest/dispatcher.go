package xdptest

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// keepDispatched attaches the program to an interface of its own until the test ends, on kernels before 6.0: there every
// BPF_PROG_RUN of an XDP program that is attached nowhere rewrites the XDP dispatcher twice, which waits for grace periods
// and takes 10 ms.
func keepDispatched(tb testing.TB, program *ebpf.Program) {
	tb.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		tb.Fatal(err)
	}
	if !strings.HasPrefix(unix.ByteSliceToString(name.Release[:]), "5.") {
		return
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, in its namespace
		result <- attachAside(tb, program)
	}()
	if err := <-result; err != nil {
		tb.Fatal(err)
	}
}

// attachAside makes a network namespace with one veth pair and attaches the program there.
func attachAside(tb testing.TB, program *ebpf.Program) error {
	ns, err := netns.New()
	if err != nil {
		return err
	}
	tb.Cleanup(func() { mustClose(tb, &ns) })
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "aside0", MTU: 1500}, PeerName: "aside1"}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: veth.Index, Flags: link.XDPDriverMode})
	if err != nil {
		return err
	}
	tb.Cleanup(func() { mustClose(tb, l) })
	return nil
}

func mustClose(tb testing.TB, c io.Closer) {
	tb.Helper()
	if err := c.Close(); err != nil {
		tb.Error(err)
	}
}
