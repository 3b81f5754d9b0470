package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsDir is where named namespaces are bound, as iproute2 does it: `ip netns exec` and `nsenter --net` find them.
const netnsDir = "/run/netns"

// Namespace is one named network namespace.
type Namespace struct {
	// Name is its name below /run/netns.
	Name string

	handle netns.NsHandle
	rtnl   *netlink.Handle
}

// newNamespace creates a namespace with its loopback interface up.
func newNamespace(name string) (*Namespace, error) {
	n := &Namespace{Name: name}
	// NewNamed enters what it creates, hence a thread that returns home.
	err := onThread(netns.None(), func() (err error) {
		n.handle, err = netns.NewNamed(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("creating network namespace %q: %w (root is needed)", name, err)
	}
	// Only the route family: cloud kernels lack others that a handle opens by default.
	n.rtnl, err = netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE)
	if err != nil {
		n.close()
		return nil, fmt.Errorf("opening netlink in namespace %q: %w", name, err)
	}
	loopback, err := n.rtnl.LinkByName("lo")
	if err == nil {
		err = n.rtnl.LinkSetUp(loopback)
	}
	if err != nil {
		n.close()
		return nil, fmt.Errorf("setting lo up in namespace %q: %w", name, err)
	}
	return n, nil
}

// Path is the file to give to `nsenter --net=`.
func (n *Namespace) Path() string { return filepath.Join(netnsDir, n.Name) }

// Do runs f on a thread inside the namespace. Sockets that f opens stay there; goroutines that f starts do not.
func (n *Namespace) Do(f func() error) error {
	if err := onThread(n.handle, f); err != nil {
		return fmt.Errorf("in namespace %s: %w", n.Name, err)
	}
	return nil
}

// Start starts a process inside the network namespace. It shares the mount namespace, so that it sees the same bpffs as
// everybody else (`ip netns exec` would hide it).
func (n *Namespace) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// Sysctl sets a kernel parameter of the namespace, such as "net.ipv4.ip_forward".
func (n *Namespace) Sysctl(key, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	return n.Do(func() error { return os.WriteFile(path, []byte(value), 0o644) })
}

// Received is the number of frames that an interface has received since it exists.
func (n *Namespace) Received(iface string) (uint64, error) {
	l, err := n.rtnl.LinkByName(iface)
	if err != nil {
		return 0, fmt.Errorf("reading counters of %q in namespace %s: %w", iface, n.Name, err)
	}
	return l.Attrs().Statistics.RxPackets, nil
}

// close lets go of the namespace without deleting its name.
func (n *Namespace) close() {
	if n.rtnl != nil {
		n.rtnl.Close()
	}
	_ = n.handle.Close()
}

// onThread runs f on a thread of its own whose network namespace is ns, or the present one where ns is closed. A thread
// that cannot return home is given up: the runtime ends a locked thread with its goroutine.
func onThread(ns netns.NsHandle, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			result <- err
			return
		}
		defer home.Close()
		defer func() {
			if netns.Set(home) == nil {
				runtime.UnlockOSThread()
			}
		}()
		if ns.IsOpen() {
			if err := netns.Set(ns); err != nil {
				result <- err
				return
			}
		}
		result <- f()
	}()
	return <-result
}
