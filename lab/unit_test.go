package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// asUnit wraps a command line so that it meets what the unit of lbd grants: its capabilities, no new ones, and a file
// system that is read-only but for the bpffs and a directory.
func asUnit(t *testing.T, writable string, args []string) []string {
	t.Helper()
	unit, err := os.ReadFile("../deploy/systemd/sluice-lbd.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindStringSubmatch(string(unit))
	if m == nil {
		t.Fatal("the unit has no CapabilityBoundingSet")
	}
	set := "-all"
	for _, name := range strings.Fields(m[1]) {
		set += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	set = dropMissing(t, set)
	script := `mount --bind "$0" "$0" && mount -o remount,bind,ro / && mount -o remount,bind,ro /sys && ! touch /root/sluice-test 2>/dev/null && exec "$@"`
	wrapped := []string{"unshare", "--mount", "sh", "-c", script, writable, "setpriv", "--no-new-privs", "--bounding-set", set}
	return append(wrapped, args...)
}

// dropMissing leaves out capabilities that this process lacks itself, as in some containers.
func dropMissing(t *testing.T, set string) string {
	t.Helper()
	var names []string
	for _, name := range strings.Split(set, ",") {
		if name == "+sys_resource" && capabilities(t, os.Getpid())["CapEff"]&(1<<24) == 0 {
			continue
		}
		names = append(names, name)
	}
	return strings.Join(names, ",")
}

// capabilities are the sets of all threads of a process, which must be equal.
func capabilities(t *testing.T, pid int) map[string]uint64 {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("threads of process %d: %v", pid, err)
	}
	out := map[string]uint64{}
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for _, m := range regexp.MustCompile(`(?m)^(Cap\w+|NoNewPrivs):\t(\w+)$`).FindAllStringSubmatch(string(data), -1) {
			var set uint64
			if _, err := fmt.Sscanf(m[2], "%x", &set); err != nil {
				t.Fatal(err)
			}
			if was, ok := out[m[1]]; ok && was != set {
				t.Errorf("thread %d of process %d: %s is %x, elsewhere %x", i, pid, m[1], set, was)
			}
			out[m[1]] = set
		}
	}
	return out
}

// TestUnderTheUnit runs lbd with what its unit grants, over a data plane that it takes over: it starts, gives up what only
// the start needs, and does all its work afterwards: changes, a router whose link-layer address moves, its own restart.
func TestUnderTheUnit(t *testing.T) {
	topology, lbd := raiseWhole(t, 2)
	end := (*Process).Kill
	for _, count := range []int{1, 2} {
		if err := end(lbd); err != nil {
			t.Fatal(err)
		}
		end = (*Process).Stop
		var err error
		if lbd, err = topology.start(topology.LB, "lbd-unit", asUnit(t, topology.Dir(), topology.LBDArgs())...); err != nil {
			t.Fatal(err)
		}
		if err := topology.awaitServing(lbd); err != nil {
			t.Fatal(err)
		}
		got := capabilities(t, lbd.PID())
		// CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_BPF
		if want := uint64(1<<12 | 1<<13 | 1<<38 | 1<<39); got["CapEff"] != want || got["CapPrm"] != want || got["CapBnd"] != want || got["NoNewPrivs"] != 1 {
			t.Errorf("capabilities %x, want %x", got, want)
		}
		apply(t, topology, site(topology.Backends[:count]...))
		awaitHops(t, topology)
	}
	moveRouter(t, topology)
	eventually(t, 5*time.Second, func() error {
		_, err := topology.Client.Get(HostPort(firstVIPs[0], HTTPPort))
		return err
	})
	if out, err := topology.LBCtl("", "status"); err != nil || !strings.Contains(out, "(editor)") {
		t.Errorf("status: %s, %v", out, err)
	}
}

// moveRouter gives the router another link-layer address, which it announces as routers do, and waits until lbd has it.
func moveRouter(t *testing.T, topology *Topology) {
	t.Helper()
	for _, key := range []string{"net.ipv4.conf.lb0.arp_notify", "net.ipv6.conf.lb0.ndisc_notify"} {
		if err := topology.Router.Sysctl(key, "1"); err != nil {
			t.Fatal(err)
		}
	}
	mac := net.HardwareAddr{2, 0, 0, 0, 0xaa, 7}
	link, err := topology.Router.rtnl.LinkByName("lb0")
	if err != nil {
		t.Fatal(err)
	}
	if err := topology.Router.rtnl.LinkSetHardwareAddr(link, mac); err != nil {
		t.Fatal(err)
	}
	client := api(t, topology)
	eventually(t, 3*time.Second, func() error {
		answer, err := client.ListBackends(context.Background(), &sluicev1.ListBackendsRequest{})
		if err != nil {
			return err
		}
		for _, b := range answer.GetBackends() {
			if got := b.GetNextHop().GetMac(); got != mac.String() {
				return fmt.Errorf("next hop of %s is at %s, want %s", b.GetBackend().GetAddress(), got, mac)
			}
		}
		return nil
	})
}
