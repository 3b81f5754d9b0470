package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/control/nexthop"
)

func TestKeptCapabilities(t *testing.T) {
	for last, want := range map[int]uint64{
		37: 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SYS_ADMIN,
		40: 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON,
	} {
		if got := keptCapabilities(last); got != want {
			t.Errorf("last capability %d: %#x, want %#x", last, got, want)
		}
		if missing := missingCapabilities(keptCapabilities(last)); len(missing) > 0 {
			t.Errorf("last capability %d: the daemon would lack %v", last, missing)
		}
	}
}

// confineChild is dropCapabilities as the daemon comes to it: after the limit on locked memory is raised. It checks every
// thread, and that neighbours can be probed.
func confineChild() error {
	unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unlimited) // only kernels before 5.11 care
	if err := dropCapabilities(); err != nil {
		return err
	}
	if err := checkThreads(); err != nil {
		return err
	}
	if without, err := strconv.Atoi(os.Getenv(envDrop)); err == nil {
		last, err := lastCapability()
		if err != nil {
			return err
		}
		if err := confineTo(keptCapabilities(last)&^(1<<without), last); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(os.Getenv(envDir), "mount"), 0o700); err == nil {
		if err := unix.Mount("none", filepath.Join(os.Getenv(envDir), "mount"), "tmpfs", 0, ""); !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("mounting after the drop is not refused: %w", err)
		}
	}
	kernel, err := nexthop.NewNetlink(nil)
	if err != nil {
		return err
	}
	defer kernel.Close()
	near, err := netlink.LinkByName("near")
	if err != nil {
		return err
	}
	return kernel.Probe(nexthop.Key{Index: near.Attrs().Index, Address: netip.MustParseAddr("10.9.0.77")})
}

// checkThreads wants what is kept, and no_new_privs, on every thread.
func checkThreads() error {
	last, err := lastCapability()
	if err != nil {
		return err
	}
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(files) < 2 {
		return fmt.Errorf("threads %v, %w", files, err)
	}
	kept := fmt.Sprintf("%016x", keptCapabilities(last))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for field, want := range map[string]string{
			"CapInh": "0000000000000000", "CapPrm": kept, "CapEff": kept, "CapBnd": kept, "CapAmb": "0000000000000000", "NoNewPrivs": "1",
		} {
			if !strings.Contains(string(data), "\n"+field+":\t"+want+"\n") {
				return fmt.Errorf("%s: %s is not %s:\n%s", file, field, want, data)
			}
		}
	}
	return nil
}

// Everything that a daemon does later works with what it keeps: take pinned maps and links over, make maps, load programs,
// publish, probe neighbours, and attach to an interface that was made anew.
func TestWorkWithDroppedCapabilities(t *testing.T) {
	if errors.Is(prctl(unix.PR_SET_DUMPABLE, 1), errCgo) { // which it is already
		if os.Getenv("CI") != "" {
			t.Fatal(errCgo)
		}
		t.Skip(errCgo)
	}
	mustEnter(t)
	n := crashNode{dir: t.TempDir(), pins: fmt.Sprintf("/sys/fs/bpf/sluice-drop-%d", os.Getpid())}
	t.Cleanup(func() {
		if err := detachXDP(n.pins); err != nil {
			t.Error(err)
		}
	})
	if out, _ := n.start(t, 2, ""); out != "revision 1 with 2 backends" {
		t.Fatalf("with all capabilities: %s", out)
	}
	for _, row := range []struct {
		name     string
		setup    func(t *testing.T)
		backends int
		want     string
	}{
		{"adopted", nil, 3, "revision 2 with 3 backends"},
		{"interface-anew", remakeNear, 4, "revision 3 with 4 backends"},
		{"from-nothing", func(t *testing.T) {
			if err := detachXDP(n.pins); err != nil {
				t.Fatal(err)
			}
		}, 0, "revision 3 with 4 backends"},
	} {
		if row.setup != nil {
			row.setup(t)
		}
		if out, _ := n.start(t, row.backends, "", envDrop+"=all"); out != row.want {
			t.Fatalf("%s: %s, want %s", row.name, out, row.want)
		}
	}
	// And not one of them can be spared.
	remakeNear(t)
	for _, without := range []int{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN} {
		if out, _ := n.start(t, 5, "", envDrop+"="+strconv.Itoa(without)); !strings.Contains(out, "permi") { // "not permitted", "permission denied"
			t.Errorf("without capability %d: %s", without, out)
		} else {
			t.Logf("without capability %d: %s", without, out)
		}
	}
}

// remakeNear deletes the managed interface and makes another one of the same name.
func remakeNear(t *testing.T) {
	t.Helper()
	near, err := netlink.LinkByName("near")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(near); err != nil {
		t.Fatal(err)
	}
	mustNear(t)
}
