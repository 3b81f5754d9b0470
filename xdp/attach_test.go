package xdp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
	"github.com/sluice-lb/sluice/xdp/xdptest"
)

// namespace is an unnamed network namespace with one veth pair; it goes when the test ends.
type namespace struct {
	handle      netns.NsHandle
	iface, peer string
}

var interfacesMade atomic.Uint32

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	n := interfacesMade.Add(1)
	ns := &namespace{iface: fmt.Sprintf("xt%d", n), peer: fmt.Sprintf("xp%d", n)}
	if ns.handle, err = netns.New(); err != nil {
		t.Fatalf("network namespace: %v (needs root)", err)
	}
	t.Cleanup(func() { ns.handle.Close() })
	defer mustSetNamespace(t, old)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: ns.iface, MTU: 1500}, PeerName: ns.peer}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	return ns
}

// mustSetNamespace takes the thread back to the namespace it came from.
func mustSetNamespace(t *testing.T, ns netns.NsHandle) {
	t.Helper()
	if err := netns.Set(ns); err != nil {
		t.Errorf("going back to network namespace %s: %v", ns, err)
	}
}

// do runs f in the namespace, on a thread of its own.
func (ns *namespace) do(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := netns.Set(ns.handle); err != nil {
		t.Fatal(err)
	}
	defer mustSetNamespace(t, old)
	f()
}

// published opens a data plane that is ready to attach.
func published(t *testing.T, o xdp.Options) *xdp.Dataplane {
	t.Helper()
	d := xdptest.MustOpen(t, o)
	config := onePool(xdptest.Pool("web", 2, false))
	xdptest.MustPublish(t, d, xdptest.MustPlan(t, nil, config, xdptest.Hops(config, o.Interfaces[0])))
	return d
}

func attachedProgram(t *testing.T, name string) uint32 {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if l.Attrs().Xdp == nil || !l.Attrs().Xdp.Attached {
		return 0
	}
	return l.Attrs().Xdp.ProgId
}

func TestAttach(t *testing.T) {
	for _, mode := range []xdp.Mode{xdp.ModeNative, xdp.ModeGeneric} {
		t.Run(mode.String(), func(t *testing.T) {
			ns := newNamespace(t)
			ns.do(t, func() {
				dir := xdptest.BPFFSDir(t)
				d := published(t, xdp.Options{BPFFSDir: dir, Interfaces: []string{ns.iface}, Mode: mode})
				if err := d.Attach(); err != nil {
					t.Fatal(err)
				}
				info, err := d.Info()
				if err != nil {
					t.Fatal(err)
				}
				got := info.Interfaces[0]
				if got.Mode != mode.String() || got.Name != ns.iface || got.ProgramID != attachedProgram(t, ns.iface) {
					t.Errorf("info: %+v", got)
				}
				d.Close()
				if attachedProgram(t, ns.iface) == 0 {
					t.Error("the program went with its process")
				}
				if err := xdp.Detach(dir); err != nil {
					t.Fatal(err)
				}
				if id := attachedProgram(t, ns.iface); id != 0 {
					t.Errorf("program %d is still there after Detach", id)
				}
				if _, err := os.Stat(dir); !os.IsNotExist(err) {
					t.Errorf("%s is still there after Detach", dir)
				}
			})
		})
	}
}

func passProgram(t *testing.T) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "somebody_elses", Type: ebpf.XDP, License: "MIT",
		Instructions: asm.Instructions{asm.LoadImm(asm.R0, 2, asm.DWord), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestAttachRefuses walks through the interfaces that cannot be taken. Nothing may be attached afterwards that was not
// before, and the error names interface, cause and remedy.
func TestAttachRefuses(t *testing.T) {
	ns := newNamespace(t)
	second := ns.iface + "b"
	cases := []struct {
		name       string
		interfaces []string
		prepare    func() (restore func())
		want       []string
	}{
		{"missing", []string{ns.iface, "nowhere0"}, nil, []string{`"nowhere0"`, "not found", ns.iface}},
		{"other-program", []string{ns.iface, second}, func() func() {
			l, err := netlink.LinkByName(second)
			if err != nil {
				t.Fatal(err)
			}
			a, err := link.AttachXDP(link.XDPOptions{Program: passProgram(t), Interface: l.Attrs().Index})
			if err != nil {
				t.Fatal(err)
			}
			return func() { a.Close() }
		}, []string{second, "another XDP program", "somebody_elses", "not replaced"}},
		{"mtu", []string{ns.iface, second}, func() func() {
			setMTU(t, 9000, second, second+"p") // what counts on a veth is what its peer may send
			return func() { setMTU(t, 1500, second, second+"p") }
		}, []string{second, "MTU 9000", "mtu 3498"}},
		{"no-native-xdp", []string{ns.iface, "lo"}, nil, []string{`"lo"`, "no native XDP", "--mode generic"}},
	}
	ns.do(t, func() {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: second, MTU: 1500}, PeerName: second + "p"}
		if err := netlink.LinkAdd(veth); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			d := published(t, xdp.Options{BPFFSDir: xdptest.BPFFSDir(t), Interfaces: c.interfaces})
			restore := func() {}
			if c.prepare != nil {
				restore = c.prepare()
			}
			err := d.Attach()
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: error %v, expected one with %q", c.name, err, want)
				}
			}
			if id := attachedProgram(t, ns.iface); id != 0 {
				t.Errorf("%s: interface %s carries program %d afterwards", c.name, ns.iface, id)
			}
			d.Close()
			if id := attachedProgram(t, second); (id != 0) != (c.name == "other-program") {
				t.Errorf("%s: interface %s carries program %d afterwards", c.name, second, id)
			}
			restore()
		}
	})
}

func setMTU(t *testing.T, mtu int, names ...string) {
	t.Helper()
	for _, name := range names {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetMTU(l, mtu); err != nil {
			t.Fatal(err)
		}
	}
}

func TestModeAutoFallsBack(t *testing.T) {
	ns := newNamespace(t)
	ns.do(t, func() {
		d := published(t, xdp.Options{BPFFSDir: xdptest.BPFFSDir(t), Interfaces: []string{"lo"}, Mode: xdp.ModeAuto})
		if err := d.Attach(); err != nil {
			t.Fatal(err)
		}
		info, err := d.Info()
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Interfaces[0].Mode; got != "generic" {
			t.Errorf("mode %s, expected generic", got)
		}
	})
}

func TestReleaseOthers(t *testing.T) {
	ns := newNamespace(t)
	ns.do(t, func() {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "second0", MTU: 1500}, PeerName: "second1"}
		if err := netlink.LinkAdd(veth); err != nil {
			t.Fatal(err)
		}
		dir := xdptest.BPFFSDir(t)
		d := published(t, xdp.Options{BPFFSDir: dir, Interfaces: []string{ns.iface, "second0"}})
		if err := d.Attach(); err != nil {
			t.Fatal(err)
		}
		d.Close()
		config := onePool(xdptest.Pool("web", 2, false))
		state := xdptest.MustPlan(t, nil, config, xdptest.Hops(config, ns.iface))
		d = xdptest.MustOpen(t, xdp.Options{BPFFSDir: dir, Interfaces: []string{ns.iface}})
		if err := d.Adopt(state); err != nil {
			t.Fatal(err)
		}
		if err := d.Attach(); err != nil {
			t.Fatal(err)
		}
		if attachedProgram(t, ns.iface) == 0 || attachedProgram(t, "second0") != 0 {
			t.Errorf("programs: %d and %d, expected one and none", attachedProgram(t, ns.iface), attachedProgram(t, "second0"))
		}
	})
}

// TestInterfaceComesBack deletes the interface under a pinned link: the next Attach makes a new link.
func TestInterfaceComesBack(t *testing.T) {
	ns := newNamespace(t)
	ns.do(t, func() {
		dir := xdptest.BPFFSDir(t)
		o := xdp.Options{BPFFSDir: dir, Interfaces: []string{ns.iface}}
		d := published(t, o)
		if err := d.Attach(); err != nil {
			t.Fatal(err)
		}
		d.Close()
		l, err := netlink.LinkByName(ns.iface)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkDel(l); err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: ns.iface, MTU: 1500}, PeerName: ns.peer}); err != nil {
			t.Fatal(err)
		}
		config := onePool(xdptest.Pool("web", 2, false))
		d = xdptest.MustOpen(t, o)
		if err := d.Adopt(xdptest.MustPlan(t, nil, config, xdptest.Hops(config, ns.iface))); err != nil {
			t.Fatal(err)
		}
		if err := d.Attach(); err != nil {
			t.Fatal(err)
		}
		if attachedProgram(t, ns.iface) == 0 {
			t.Error("the new interface carries no program")
		}
	})
}

func TestSecondOpenRefused(t *testing.T) {
	dir := xdptest.BPFFSDir(t)
	d := xdptest.MustOpen(t, xdp.Options{BPFFSDir: dir})
	_, err := xdp.Open(xdp.Options{BPFFSDir: dir, Interfaces: []string{"x0"}, Limits: xdptest.Limits})
	if err == nil || !strings.Contains(err.Error(), "another lbd uses it") || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
	if err := xdp.Detach(dir); err == nil {
		t.Error("Detach went ahead while a data plane was open")
	}
	d.Close()
}

func TestOpenRefuses(t *testing.T) {
	good := xdp.Options{Interfaces: []string{"x0"}, BPFFSDir: filepath.Join(t.TempDir(), "bpf"), Limits: xdptest.Limits}
	cases := map[string]struct {
		edit func(*xdp.Options)
		want string
	}{
		"no-interface":    {func(o *xdp.Options) { o.Interfaces = nil }, "interfaces: got 0"},
		"twice":           {func(o *xdp.Options) { o.Interfaces = []string{"a", "a"} }, `"a" is there twice`},
		"no-limits":       {func(o *xdp.Options) { o.Limits = lb.Limits{} }, "limits.vips: 0"},
		"not-bpffs":       {func(*xdp.Options) {}, "not on a bpffs (mount one: mount -t bpf bpf /sys/fs/bpf)"},
		"many-interfaces": {func(o *xdp.Options) { o.Interfaces = make([]string, xdp.MaxInterfaces+1) }, "must be 1 to 16"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := good
			c.edit(&o)
			if _, err := xdp.Open(o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, expected one with %q", err, c.want)
			}
		})
	}
}
