package lab

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// crossedSite is the document of one site whose packets travel in headers of the other family.
func crossedSite(backends ...*Backend) string {
	var d document
	d.add("web", VIPV4.String(), VIPV6.String(), backends...)
	for i := range d.VIPs {
		d.VIPs[i].Pool = map[string]string{"web": "web6", "web6": "web"}[d.VIPs[i].Pool]
	}
	return d.text()
}

// flatSite is the document of one site of encap l2.
func flatSite(backends ...*Backend) string {
	var d document
	d.add("web", VIPV4.String(), VIPV6.String(), backends...)
	for i := range d.Pools {
		d.Pools[i].Encap = "l2"
	}
	return d.text()
}

// testTraffic dials, uploads and asks in datagrams at both VIPs.
func testTraffic(t *testing.T, topology *Topology) {
	t.Helper()
	for _, vip := range firstVIPs {
		t.Run(vip+"/requests", func(t *testing.T) { testRequests(t, topology, vip) })
		t.Run(vip+"/upload", func(t *testing.T) { testUpload(t, topology, vip) })
		t.Run(vip+"/datagrams", func(t *testing.T) { testDatagrams(t, topology, vip) })
	}
}

// testRequests dials 60 times: every dial is answered, and by every backend.
func testRequests(t *testing.T, topology *Topology, vip string) {
	answers := make(map[string]int)
	for i := range 60 {
		who, err := topology.Client.Get(HostPort(vip, HTTPPort))
		if err != nil {
			t.Fatalf("dial %d: %v", i, err)
		}
		answers[who]++
	}
	if len(answers) != len(topology.Backends) {
		t.Errorf("answers %v, want some from each of %d backends", answers, len(topology.Backends))
	}
}

// verdicts are the counters of an interface, by verdict.
func verdicts(t *testing.T, client sluicev1.SluiceClient, iface string) map[string]uint64 {
	t.Helper()
	answer, err := client.GetStats(context.Background(), &sluicev1.GetStatsRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]uint64{}
	for _, v := range answer.GetVerdicts() {
		if v.GetInterface() == iface {
			out[v.GetVerdict()] += v.GetPackets()
		}
	}
	return out
}

// hopStates are the states of the pools' next hops, by POOL/NAME.
func hopStates(t *testing.T, client sluicev1.SluiceClient) map[string]string {
	t.Helper()
	answer, err := client.ListBackends(context.Background(), &sluicev1.ListBackendsRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, b := range answer.GetBackends() {
		out[b.GetPool()+"/"+b.GetBackend().GetName()] = strings.TrimPrefix(b.GetNextHop().GetState().String(), "STATE_")
	}
	return out
}

// TestCrossedFamilies sends IPv4 in IPv6 and IPv6 in IPv4, and back to the families' own headers under traffic.
func TestCrossedFamilies(t *testing.T) {
	topology, _ := raiseWhole(t, 2)
	apply(t, topology, crossedSite(topology.Backends...))
	testTraffic(t, topology)
	held, err := topology.Client.Hold(5, 20*time.Millisecond, HostPort(firstVIPs[0], LinePort), HostPort(firstVIPs[1], LinePort))
	if err != nil {
		t.Fatal(err)
	}
	// Connections stay where they are when the VIPs exchange their pools; new ones take the new way.
	for range 5 {
		apply(t, topology, crossedSite(topology.Backends...))
		apply(t, topology, site(topology.Backends...))
	}
	for _, vip := range firstVIPs {
		testRequests(t, topology, vip)
	}
	if err := held.Stop().Err(); err != nil {
		t.Errorf("held through changes of the outer family: %v", err)
	}
	for _, b := range topology.Backends {
		for _, verdict := range []string{"decapsulated_v4", "decapsulated_v6", "decapsulated_v6_in_v4", "decapsulated_v4_in_v6"} {
			if n := agentCounter(t, topology, b, verdict); n == 0 {
				t.Errorf("%s: no packet is %s", b.Server, verdict)
			}
		}
	}
}

// agentCounter reads one counter of a backend's agent.
func agentCounter(t *testing.T, topology *Topology, b *Backend, verdict string) uint64 {
	t.Helper()
	text, err := topology.AgentStatus(b)
	if err != nil {
		t.Fatal(err)
	}
	var status struct {
		Counters []struct {
			Verdict string
			Packets uint64
		}
	}
	if err := json.Unmarshal(text, &status); err != nil {
		t.Fatal(err)
	}
	for _, c := range status.Counters {
		if c.Verdict == verdict {
			return c.Packets
		}
	}
	t.Fatalf("%s has no counter %q", b.Server, verdict)
	return 0
}

// TestFlatSegment reaches backends on the load balancer's own segment without an outer header.
func TestFlatSegment(t *testing.T) {
	topology := raiseBare(t, 0)
	for range 2 {
		if _, err := topology.AddFlatBackend(); err != nil {
			t.Fatal(err)
		}
	}
	if err := topology.Equip(topology.Backends, testVIPs...); err != nil {
		t.Fatal(err)
	}
	if _, err := topology.StartLBD(); err != nil {
		t.Fatal(err)
	}
	apply(t, topology, flatSite(topology.Backends...))
	awaitHops(t, topology)
	client := api(t, topology)
	testTraffic(t, topology)
	if got := verdicts(t, client, Iface); got["forwarded"] == 0 || got["no_neighbour"]+got["off_segment"] != 0 {
		t.Errorf("verdicts %v", got)
	}

	// One more behind the router: its packets have a verdict of their own.
	routed, err := topology.AddBackend()
	if err != nil {
		t.Fatal(err)
	}
	apply(t, topology, flatSite(topology.Backends...))
	eventually(t, 5*time.Second, func() error {
		if got := hopStates(t, client)["web/"+routed.Server]; got != "OFF_SEGMENT" {
			return fmt.Errorf("next hop of %s: %s", routed.Server, got)
		}
		return nil
	})
	lost := 0
	for range 40 {
		if _, err := topology.Client.AskDatagramWithin(50*time.Millisecond, HostPort(VIPV4.String(), UDPPort), "hello"); err != nil {
			lost++
		}
	}
	// An answer that is late counts as lost, too.
	if got := verdicts(t, client, Iface)["off_segment"]; got == 0 || got > uint64(lost) {
		t.Errorf("%d of 40 datagrams were lost, %d are off_segment", lost, got)
	}
}

// TestRedirect has the clients behind one interface of the load balancer and the backends behind another.
func TestRedirect(t *testing.T) {
	topology := raiseBare(t, 2)
	if err := topology.AddSecondLink(); err != nil {
		t.Fatal(err)
	}
	if err := topology.Equip(topology.Backends, testVIPs...); err != nil {
		t.Fatal(err)
	}
	lbd, err := topology.StartLBD("--interface", SecondIface)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, topology, site(topology.Backends...))
	awaitHops(t, topology)
	client := api(t, topology)
	testTraffic(t, topology)
	got := verdicts(t, client, Iface)
	if got["redirected"] == 0 || got["forwarded"] != 0 || got["egress_unmanaged"] != 0 {
		t.Errorf("verdicts %v", got)
	}
	t.Run("crossed", func(t *testing.T) {
		apply(t, topology, crossedSite(topology.Backends...))
		testTraffic(t, topology)
	})

	// A new daemon finds the way in the maps.
	traffic := topology.Client.Datagrams(5*time.Millisecond, HostPort(VIPV4.String(), UDPPort), HostPort(VIPV6.String(), UDPPort))
	if err := lbd.Kill(); err != nil {
		t.Fatal(err)
	}
	if lbd, err = topology.StartLBD("--interface", SecondIface); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if err := traffic.Stop().Err(); err != nil {
		t.Errorf("while lbd was killed and started: %v", err)
	}

	// Without the second interface there is no way, and a verdict says so.
	if err := lbd.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err = topology.StartLBD(); err != nil {
		t.Fatal(err)
	}
	before := verdicts(t, client, Iface)["egress_unmanaged"]
	if who, err := topology.Client.AskDatagramWithin(50*time.Millisecond, HostPort(VIPV4.String(), UDPPort), "hello"); err == nil {
		t.Errorf("%s answered by an interface that is not managed", who)
	}
	if n := verdicts(t, client, Iface)["egress_unmanaged"] - before; n != 1 {
		t.Errorf("%d more packets are egress_unmanaged, want 1", n)
	}
	if got := hopStates(t, client)["web/web-1"]; got != "EGRESS_UNMANAGED" {
		t.Errorf("next hop: %s", got)
	}
}

// TestSourcePrefix spreads flows over outer sources, which the backend sees on its wire.
func TestSourcePrefix(t *testing.T) {
	topology := raiseBare(t, 1)
	v4, v6 := netip.MustParsePrefix("10.9.200.0/24"), netip.MustParsePrefix("fd00:9:200::/64")
	topology.Sources = []netip.Prefix{v4, v6}
	if err := topology.Equip(topology.Backends, testVIPs...); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(topology.Dir(), "node.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "encap_source: {v4: %s, v6: %q}\n", v4, v6), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := topology.StartLBD("--config", config); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"own": site(topology.Backends...), "crossed": crossedSite(topology.Backends...)} {
		t.Run(what, func(t *testing.T) {
			apply(t, topology, text)
			awaitHops(t, topology)
			sources := topology.Backends[0].sniffSources(t)
			testTraffic(t, topology)
			seen := sources()
			for family, p := range map[string]netip.Prefix{"IPv4": v4, "IPv6": v6} {
				n := 0
				for a := range seen {
					if p.Contains(a) {
						n++
					} else if a.Is4() == p.Addr().Is4() {
						t.Errorf("outer source %s is not in %s", a, p)
					}
				}
				if n < 50 { // 121 flows on average over 256 addresses: 97 different ones
					t.Errorf("%s: only %d outer sources", family, n)
				}
			}
		})
	}
}

// sniffSources collects the outer sources of tunnelled packets that arrive, until the function that it returns is called.
func (b *Backend) sniffSources(t *testing.T) func() map[netip.Addr]bool {
	t.Helper()
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd := -1
	if err := b.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
		t.Fatal(err)
	}
	return func() map[netip.Addr]bool {
		defer func() { _ = unix.Close(fd) }()
		seen := map[netip.Addr]bool{}
		frame := make([]byte, 1<<16)
		for {
			n, _, err := unix.Recvfrom(fd, frame, unix.MSG_DONTWAIT)
			if err != nil {
				return seen
			}
			if n < 54 {
				continue
			}
			switch binary.BigEndian.Uint16(frame[12:]) {
			case 0x0800:
				if frame[23] == 4 || frame[23] == 41 {
					seen[netip.AddrFrom4([4]byte(frame[26:30]))] = true
				}
			case 0x86dd:
				if frame[20] == 4 || frame[20] == 41 {
					seen[netip.AddrFrom16([16]byte(frame[22:38]))] = true
				}
			}
		}
	}
}
