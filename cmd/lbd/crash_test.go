package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/control/nexthop"
	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
)

// The children of TestKillAtEveryStepOverTheKernel are this binary again, with these variables set.
const (
	envDir    = "SLUICE_TEST_DIR"
	envPins   = "SLUICE_TEST_PINS"
	envWanted = "SLUICE_TEST_BACKENDS" // apply as many as it is long; empty: only look
	envStep   = "SLUICE_TEST_STEP"     // and die there
	envDrop   = "SLUICE_TEST_DROP"     // not empty: give up capabilities before all of it
)

func TestMain(m *testing.M) {
	store.VerifyIfAsked()
	if os.Getenv(envDir) != "" {
		if err := child(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a daemon without an API, over the kernel's data plane, that makes one change. It prints what packets see.
func child() error {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv(envDrop) != "" {
		if err := confineChild(); err != nil {
			return err
		}
	}
	s, err := store.Open(filepath.Join(os.Getenv(envDir), "state"), "")
	if err != nil {
		return err
	}
	kernel, err := nexthop.NewNetlink(nil)
	if err != nil {
		return err
	}
	node := defaults
	node.interfaces, node.bpffsDir, node.limits = []string{"near"}, os.Getenv(envPins), lb.Limits{VIPs: 64, Backends: 64, Slots: 1 << 15}
	dp, err := openXDP(node, opening{s.Seed(), log})
	if err != nil {
		return err
	}
	started := false
	e := control.NewEngine(control.Options{
		Dataplane: dp, Store: s, NextHops: nexthop.New(kernel, node.interfaces, log), Seed: s.Seed(), Limits: node.limits, Log: log, Attach: dp.Attach,
		Step: func(step string) {
			if started && step == os.Getenv(envStep) {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		},
	})
	ctx := context.Background()
	if err := e.Start(ctx); err != nil {
		return err
	}
	started = true
	if n := len(os.Getenv(envWanted)); n > 0 {
		if _, err := e.Write(ctx, control.WriteOptions{}, func(c *lb.Config) error { *c = pool(n); return nil }); err != nil {
			return err
		}
	}
	st := e.State()
	if err := dp.(*xdp.Dataplane).Check(st); err != nil {
		return fmt.Errorf("the maps hold a mix: %w", err)
	}
	stored, err := s.Load()
	if err != nil || stored.Pending != nil || stored.Committed.Publication != st.Publication {
		return fmt.Errorf("the store is not settled: %+v, %w", stored, err)
	}
	fmt.Printf("revision %d with %d backends\n", st.Revision, len(st.Config.Pools[0].Backends))
	return nil
}

// pool is a configuration of n backends.
func pool(n int) lb.Config {
	p := lb.Pool{Name: "web"}
	for i := range n {
		p.Backends = append(p.Backends, lb.Backend{Name: fmt.Sprintf("web-%d", i), Address: netip.AddrFrom4([4]byte{10, 9, 0, byte(10 + i)}), Weight: 100, Scale: lb.ScaleOne})
	}
	return lb.Config{Pools: []lb.Pool{p},
		VIPs: []lb.VIP{{Name: "web", Address: netip.MustParseAddr("198.51.100.10"), Protocol: lb.TCP, Ports: []uint16{80}, Pool: "web"}}}
}

// mustEnter puts the calling goroutine into a network namespace of its own with an interface "near", for the test.
func mustEnter(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("loading BPF programs needs root")
		}
		t.Skip("loading BPF programs needs root")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its namespace with the last process
	if _, err := netns.New(); err != nil {
		t.Fatal(err)
	}
	mustNear(t)
}

// mustNear makes the interface that is managed.
func mustNear(t *testing.T) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "near"
	near := &netlink.Veth{LinkAttrs: attrs, PeerName: "far"}
	address, err := netlink.ParseAddr("10.9.0.1/24")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return netlink.LinkAdd(near) },
		func() error { return netlink.AddrAdd(near, address) },
		func() error { return netlink.LinkSetUp(near) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKillAtEveryStepOverTheKernel(t *testing.T) {
	const before, after = "revision 1 with 2 backends", "revision 2 with 3 backends"
	for _, row := range []struct{ step, want string }{
		{"begin", before}, {"pending", before}, {"published", after}, {"committed", after},
	} {
		t.Run(row.step, func(t *testing.T) {
			mustEnter(t)
			n := crashNode{dir: t.TempDir(), pins: fmt.Sprintf("/sys/fs/bpf/sluice-crash-%d-%s", os.Getpid(), row.step)}
			t.Cleanup(func() {
				if err := detachXDP(n.pins); err != nil {
					t.Error(err)
				}
			})
			if out, _ := n.start(t, 2, ""); out != before {
				t.Fatalf("first start: %s", out)
			}
			out, state := n.start(t, 3, row.step)
			if status, ok := state.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Errorf("ended with %s, want SIGKILL: %s", state, out)
			}
			if out, _ := n.start(t, 0, ""); out != row.want {
				t.Errorf("after the kill %q, want %q", out, row.want)
			}
		})
	}
}

type crashNode struct{ dir, pins string }

// start runs a child that applies so many backends and dies at a step, from this thread and hence in its namespace.
func (n crashNode) start(t *testing.T, backends int, step string, environment ...string) (string, *os.ProcessState) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(append(os.Environ(), environment...), envDir+"="+n.dir, envPins+"="+n.pins, envWanted+"="+strings.Repeat("x", backends), envStep+"="+step)
	out, _ := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), cmd.ProcessState
}
