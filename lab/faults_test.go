package lab

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// faults is a topology in which something goes wrong and is put right again, under a running lbd.
type faults struct {
	*Topology
	t   *testing.T
	api sluicev1.SluiceClient
}

// TestFaults breaks the network around a running lbd, one thing after the other: the status tells each of them, and
// packets flow again as soon as it is put right. lbd is never restarted.
func TestFaults(t *testing.T) {
	topology, _ := raiseWhole(t, 2)
	for _, fault := range []struct {
		name string
		run  func(*faults)
	}{
		{"cable", (*faults).cable}, {"address-moves", (*faults).addressMoves}, {"route-flaps", (*faults).routeFlaps},
		{"link-severed", (*faults).linkSevered}, {"renamed", (*faults).renamed}, {"deleted", (*faults).deleted},
	} {
		t.Run(fault.name, func(t *testing.T) {
			f := &faults{topology, t, api(t, topology)}
			fault.run(f)
			f.flows()
		})
	}
}

// flows waits until every next hop is known, no interface has a fault, and each VIP answers.
func (f *faults) flows() {
	f.t.Helper()
	f.awaitHops(sluicev1.NextHop_STATE_REACHABLE, sluicev1.NextHop_STATE_STALE)
	f.awaitWarning("")
	for _, vip := range firstVIPs {
		eventually(f.t, 10*time.Second, func() error {
			_, err := f.Client.AskDatagramWithin(200*time.Millisecond, HostPort(vip, UDPPort), "hello")
			return err
		})
		if _, err := f.Client.Get(HostPort(vip, HTTPPort)); err != nil {
			f.t.Error(err)
		}
	}
}

// awaitHops waits until every backend's next hop is in one of some states.
func (f *faults) awaitHops(states ...sluicev1.NextHop_State) {
	f.t.Helper()
	eventually(f.t, 10*time.Second, func() error {
		answer, err := f.api.ListBackends(context.Background(), &sluicev1.ListBackendsRequest{})
		if err != nil {
			return err
		}
		for _, b := range answer.GetBackends() {
			state, ok := b.GetNextHop().GetState(), false
			for _, s := range states {
				ok = ok || s == state
			}
			if !ok {
				return fmt.Errorf("next hop of %s is %s, want %v", b.GetBackend().GetAddress(), state, states)
			}
		}
		return nil
	})
}

// awaitWarning waits until the status warns in these words of the interface; none is that it has no fault.
func (f *faults) awaitWarning(words string) {
	f.t.Helper()
	eventually(f.t, 5*time.Second, func() error {
		status, err := f.api.GetStatus(context.Background(), &sluicev1.GetStatusRequest{})
		said := strings.Join(status.GetWarnings(), "\n")
		if err == nil && (strings.Contains(said, "interface \"eth0\": ") != (words != "") || !strings.Contains(said, words)) {
			err = fmt.Errorf("the warnings are %q, want %q", said, words)
		}
		return err
	})
}

// change changes an interface.
func (f *faults) change(n *Namespace, iface string, how func(netlink.Link) error) {
	f.t.Helper()
	l, err := n.rtnl.LinkByName(iface)
	if err == nil {
		err = how(l)
	}
	if err != nil {
		f.t.Fatalf("changing %s/%s: %v", n.Name, iface, err)
	}
}

// must fails the test.
func (f *faults) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// cable pulls the cable out of the router, and puts it back.
func (f *faults) cable() {
	f.must(f.Router.Sysctl("net.ipv6.conf.lb0.keep_addr_on_down", "1"))
	f.change(f.Router, "lb0", f.Router.rtnl.LinkSetDown)
	f.awaitHops(sluicev1.NextHop_STATE_FAILED, sluicev1.NextHop_STATE_NO_ROUTE)
	f.change(f.Router, "lb0", f.Router.rtnl.LinkSetUp)
	f.must(f.routeVIPs()) // they went with the carrier
}

// addressMoves has another router take over.
func (f *faults) addressMoves() { moveRouter(f.t, f.Topology) }

// routeFlaps takes the routes to all backends away and gives them back, 20 times in a second.
func (f *faults) routeFlaps() {
	var holes []*netlink.Route
	for _, b := range f.Backends {
		for _, a := range []net.IP{b.V4.AsSlice(), b.V6.AsSlice()} {
			holes = append(holes, &netlink.Route{Dst: netlink.NewIPNet(a), Type: unix.RTN_BLACKHOLE})
		}
	}
	for i := range 21 {
		for _, hole := range holes {
			f.must(f.LB.rtnl.RouteAdd(hole))
		}
		if i == 20 {
			f.awaitHops(sluicev1.NextHop_STATE_NO_ROUTE)
		}
		time.Sleep(25 * time.Millisecond)
		for _, hole := range holes {
			f.must(f.LB.rtnl.RouteDel(hole))
		}
		time.Sleep(25 * time.Millisecond)
	}
}

// linkSevered detaches the program behind lbd's back: lbd attaches it again.
func (f *faults) linkSevered() {
	before := xdpProgram(f.t, f.Topology)
	l, err := link.LoadPinnedLink(filepath.Join(f.BPFFSDir("lb"), "links", Iface), nil)
	f.must(err)
	f.must(l.Detach())
	f.must(l.Close())
	eventually(f.t, 5*time.Second, func() error {
		if id := xdpProgram(f.t, f.Topology); id != before {
			return fmt.Errorf("program %d is attached, want %d", id, before)
		}
		return nil
	})
}

// renamed gives lbd's interface another name, and its own again.
func (f *faults) renamed() {
	f.change(f.LB, Iface, func(l netlink.Link) error { return f.LB.rtnl.LinkSetName(l, "renamed0") })
	f.awaitWarning(`is called "renamed0" now: packets are forwarded`)
	for _, vip := range firstVIPs {
		if _, err := f.Client.AskDatagram(HostPort(vip, UDPPort), "hello"); err != nil {
			f.t.Errorf("while it is renamed: %v", err)
		}
	}
	f.change(f.LB, "renamed0", func(l netlink.Link) error { return f.LB.rtnl.LinkSetName(l, Iface) })
}

// deleted removes lbd's interface, and makes another of its name.
func (f *faults) deleted() {
	f.change(f.LB, Iface, f.LB.rtnl.LinkDel)
	f.awaitWarning("does not exist any more")
	f.awaitHops(sluicev1.NextHop_STATE_NO_ROUTE)
	f.must(f.connectLB())
}

// TestStoppedDaemon stops lbd for some seconds in the middle of a drain, while it checks the backends: packets do not
// notice, the drain goes on afterwards, and checks that were under way say nothing of the backends.
func TestStoppedDaemon(t *testing.T) {
	w, lbd := raiseWard(t)
	held, err := w.Client.Hold(30, 50*time.Millisecond, HostPort(VIPV4.String(), LinePort), HostPort(VIPV6.String(), LinePort))
	if err != nil {
		t.Fatal(err)
	}
	dials := w.Client.Request(20*time.Millisecond, HostPort(VIPV4.String(), HTTPPort), HostPort(VIPV6.String(), HTTPPort))
	for _, backend := range []string{"web/web-2", "web6/web-2"} {
		mustLBCtl(t, w.Topology, "drain", backend)
	}
	time.Sleep(500 * time.Millisecond)
	if err := syscall.Kill(lbd.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * time.Second)
	if err := syscall.Kill(lbd.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	asked := w.clinics[0].asked.Load()
	eventually(t, 5*time.Second, func() error {
		if n := w.clinics[0].asked.Load() - asked; n < 6 {
			return fmt.Errorf("checked %d times since", n)
		}
		return nil
	})
	if printed := lbd.Log(); strings.Contains(printed, `msg="health changed"`) && strings.Contains(printed, `new="down`) {
		t.Error("a backend was taken out")
	}
	if who := w.newFlows(); who["web-2"] != 0 || who["web-1"] == 0 || who["web-3"] == 0 {
		t.Errorf("web-2 is drained, new flows go to %v", who)
	}
	for name, traffic := range map[string]*Traffic{"held connections": held, "dials": dials} {
		if tally := traffic.Stop(); tally.Err() != nil || tally.Total() == 0 {
			t.Errorf("%s: %v of %+v", name, tally.Err(), tally)
		}
	}
}
