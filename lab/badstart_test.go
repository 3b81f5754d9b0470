package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// refused starts a process that must exit with code 1 within 10 seconds and whose output must hold some words.
func refused(t *testing.T, topology *Topology, name string, args []string, words ...string) string {
	t.Helper()
	p, err := topology.start(topology.LB, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	code, err := p.Wait(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, word := range words {
		if !strings.Contains(p.Log(), word) {
			t.Errorf("it does not say %q; it printed:\n%s", word, p.Log())
		}
	}
	t.Logf("it printed:\n%s", p.Log())
	return p.Log()
}

func TestSecondDaemonIsRefused(t *testing.T) {
	topology, lbd := raiseWhole(t, 1)
	refused(t, topology, "lbd-2", topology.LBDArgs(), strconv.Itoa(lbd.PID()))
	if _, err := topology.LBCtl("", "status"); err != nil {
		t.Errorf("the first one: %v", err)
	}
	whoAnswers(t, topology)
}

func TestMissingInterface(t *testing.T) {
	topology := raiseBare(t, 0)
	refused(t, topology, "lbd", append(topology.LBDArgs(), "--interface", "eth9"), "eth9")
	if id := xdpProgram(t, topology); id != 0 {
		t.Errorf("program %d is attached to %s although lbd failed", id, Iface)
	}
}

// TestNoNativeXDP names an interface whose driver has no native XDP: lbd refuses, and says what would work. It never falls
// back by itself.
func TestNoNativeXDP(t *testing.T) {
	topology := raiseBare(t, 0)
	refused(t, topology, "lbd", append(topology.LBDArgs(), "--interface", "lo"), `"lo"`, "--mode generic")
	if id := xdpProgram(t, topology); id != 0 {
		t.Errorf("program %d is attached to %s although lbd failed", id, Iface)
	}
}

// TestForeignProgram finds a program of somebody else on the interface: lbd names it and lets it be.
func TestForeignProgram(t *testing.T) {
	topology := raiseBare(t, 0)
	if err := topology.LB.AttachPassAll(Iface); err != nil {
		t.Fatal(err)
	}
	id := xdpProgram(t, topology)
	refused(t, topology, "lbd", topology.LBDArgs(), Iface, strconv.Itoa(int(id)), passAllName)
	if now := xdpProgram(t, topology); now != id {
		t.Errorf("program %d was replaced by %d", id, now)
	}
}

// xdpProgram is the id of the program on the load balancer's interface, 0 if there is none.
func xdpProgram(t *testing.T, topology *Topology) uint32 {
	t.Helper()
	link, err := topology.LB.rtnl.LinkByName(Iface)
	if err != nil {
		t.Fatal(err)
	}
	if link.Attrs().Xdp == nil {
		return 0
	}
	return link.Attrs().Xdp.ProgId
}

// TestTooLargeMTU has frames that do not fit one page, which native XDP needs.
func TestTooLargeMTU(t *testing.T) {
	const mtu = 9000
	topology := raiseBare(t, 0)
	// The link's other end must not run XDP, or the kernel refuses the MTU.
	if err := topology.Router.attachXDP("lb0", -1); err != nil {
		t.Fatal(err)
	}
	for ns, iface := range map[*Namespace]string{topology.Router: "lb0", topology.LB: Iface} {
		link, err := ns.rtnl.LinkByName(iface)
		if err == nil {
			err = ns.rtnl.LinkSetMTU(link, mtu)
		}
		if err != nil {
			t.Fatalf("setting the MTU of %s: %v", iface, err)
		}
	}
	refused(t, topology, "lbd", topology.LBDArgs(), Iface, strconv.Itoa(mtu), "MTU")
}

// TestNoBPFFS starts lbd where the BPF file system is not mounted: it mounts it and says so.
func TestNoBPFFS(t *testing.T) {
	topology := raiseBare(t, 0)
	// A mount namespace of its own, so that nobody else loses theirs.
	unmounted := []string{"unshare", "--mount", "sh", "-c",
		`while umount /sys/fs/bpf 2>/dev/null; do :; done; exec "$@"`, "lbd"}
	p, err := topology.start(topology.LB, "lbd", append(unmounted, topology.LBDArgs()...)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := topology.awaitServing(p); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.Log(), "bpffs mounted") {
		t.Errorf("it does not say that it mounted /sys/fs/bpf; it printed:\n%s", p.Log())
	}
}

// TestCorruptStore damages the store of a dead lbd: the next one refuses to start and says where the backup is, while
// packets are forwarded as before.
func TestCorruptStore(t *testing.T) {
	topology, lbd := raiseWhole(t, 2)
	if err := lbd.Kill(); err != nil {
		t.Fatal(err)
	}
	dials := topology.Client.Request(20*time.Millisecond, HostPort(firstVIPs[0], HTTPPort), HostPort(firstVIPs[1], HTTPPort))
	store := filepath.Join(topology.StateDir(), "sluice.db")
	info, err := os.Stat(store)
	if err != nil {
		t.Fatal(err)
	}
	garbage := []byte(strings.Repeat("not a store\n", int(info.Size())/12))
	if err := os.WriteFile(store, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, topology, "lbd-corrupt", topology.LBDArgs(), store, store+".bak")
	if tally := dials.Stop(); tally.Err() != nil || tally.Total() == 0 {
		t.Errorf("dials meanwhile: %d answered, %v", tally.Total(), tally.Err())
	}
	if data, err := os.ReadFile(store); err != nil || string(data) != string(garbage) {
		t.Errorf("the damaged store was changed: %v", err)
	}
}

// TestNobody starts lbd and lbagent without any privilege.
func TestNobody(t *testing.T) {
	topology := raiseBare(t, 1)
	const nobody = 65534
	// Somewhere that nobody may enter and execute from, which a checkout in a home directory or /run may not be.
	home, err := os.MkdirTemp("", "sluice-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	as := []string{"setpriv", "--reuid", strconv.Itoa(nobody), "--regid", strconv.Itoa(nobody), "--clear-groups"}
	for binary, flags := range map[string][]string{
		topology.binaries.LBD:     {"--api", "unix://" + home + "/lbd.sock", "--bpffs-dir", topology.BPFFSDir("lb")},
		topology.binaries.LBAgent: {"--vip", VIPV4.String(), "--from", LBV4.String(), "--bpffs-dir", topology.BPFFSDir("b1")},
	} {
		name := filepath.Base(binary)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(binary)
			if err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(home, name)
			if err := os.WriteFile(copied, data, 0o755); err != nil {
				t.Fatal(err)
			}
			args := append(slices.Clone(as), copied, "--interface", Iface, "--state-dir", filepath.Join(home, name+"-state"))
			printed := refused(t, topology, name+"-nobody", append(args, flags...))
			if !strings.Contains(printed, "root") || !strings.Contains(printed, "CAP_NET_ADMIN") {
				t.Errorf("it does not say which privilege it lacks and how to get it")
			}
		})
	}
}
