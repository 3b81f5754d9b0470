package lab

import (
	"context"
	"fmt"
	"testing"
	"time"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// TestNoWeightIsCounted takes the weight from every backend: each packet is refused, and counted once for the interface
// and once for its VIP.
func TestNoWeightIsCounted(t *testing.T) {
	topology, _ := raiseWhole(t, 2)
	client := api(t, topology)
	var d document
	d.add("web", VIPV4.String(), VIPV6.String(), topology.Backends...)
	for _, p := range d.Pools {
		for i := range p.Backends {
			p.Backends[i].Weight = 0
		}
	}
	apply(t, topology, d.text())
	before := readCounts(t, topology, client)
	const datagrams = 40
	for _, vip := range firstVIPs {
		send(t, topology.Client, HostPort(vip, UDPPort), datagrams, 100)
	}
	after := readCounts(t, topology, client)
	if got := after.verdicts["no_backend"] - before.verdicts["no_backend"]; got != 2*datagrams {
		t.Errorf("no_backend counted %d packets, want %d", got, 2*datagrams)
	}
	for _, name := range []string{"web-udp", "web6-udp"} {
		if got := after.vips[name]; got.GetRefused() != datagrams || got.GetPackets() != 0 {
			t.Errorf("VIP %s counted %v, want %d refused", name, got, datagrams)
		}
	}
	if got, want := after.sum-before.sum, after.received-before.received; got != want {
		t.Errorf("verdicts add up to %d packets, the interface received %d", got, want)
	}
}

// TestEveryPacketIsCounted sends known numbers of packets of several kinds: each VIP's counter has exactly what was sent
// to it, and the verdicts of the interface add up to what its driver received.
func TestEveryPacketIsCounted(t *testing.T) {
	topology, _ := raiseWhole(t, 2)
	client := api(t, topology)
	before := readCounts(t, topology, client)

	const datagrams, strays, payload = 500, 70, 100
	for _, vip := range firstVIPs {
		send(t, topology.Client, HostPort(vip, UDPPort), datagrams, payload)
		send(t, topology.Client, HostPort(vip, 9), strays, payload) // no VIP has the port
	}
	send(t, topology.Client, "198.51.100.200:9", strays, payload) // no VIP has the address
	for _, vip := range firstVIPs {
		for range 20 {
			if _, err := topology.Client.Get(HostPort(vip, HTTPPort)); err != nil {
				t.Fatal(err)
			}
		}
	}

	after := readCounts(t, topology, client)
	if got, want := after.sum-before.sum, after.received-before.received; got != want {
		t.Errorf("verdicts add up to %d packets, the interface received %d", got, want)
	}
	for name, header := range map[string]uint64{"web-udp": 20 + 8, "web6-udp": 40 + 8} {
		got := after.vips[name]
		if want := uint64(datagrams); got.GetPackets() != want || got.GetBytes() != want*(header+payload) || got.GetRefused() != 0 {
			t.Errorf("VIP %s counted %v, want %d packets of %d bytes", name, got, want, header+payload)
		}
	}
	for _, name := range []string{"web", "web6"} {
		if got := after.vips[name].GetNewFlows(); got != 20 {
			t.Errorf("VIP %s counted %d new flows, want 20", name, got)
		}
	}
	if got := after.verdicts["vip_no_port"] - before.verdicts["vip_no_port"]; got != 2*strays {
		t.Errorf("vip_no_port counted %d packets, want %d", got, 2*strays)
	}
	if got := after.verdicts["pass_no_vip"] - before.verdicts["pass_no_vip"]; got < strays {
		t.Errorf("pass_no_vip counted %d packets, want at least %d", got, strays)
	}
	var vips, backends uint64
	for _, c := range after.vips {
		vips += c.GetPackets()
	}
	for _, c := range after.backends {
		backends += c.GetPackets()
	}
	if forwarded := after.verdicts["forwarded"]; vips != forwarded || backends != forwarded {
		t.Errorf("forwarded %d packets; VIPs counted %d, backends %d", forwarded, vips, backends)
	}
}

// counts is one reading of the load balancer at rest.
type counts struct {
	received, sum  uint64 // frames of the driver, frames of all verdicts
	verdicts       map[string]uint64
	vips, backends map[string]*sluicev1.Counter
}

// readCounts reads until the driver's counter stands still around a reading of ours.
func readCounts(t *testing.T, topology *Topology, client sluicev1.SluiceClient) counts {
	t.Helper()
	var c counts
	eventually(t, 5*time.Second, func() (err error) {
		if c.received, err = topology.LB.Received(Iface); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
		stats, err := client.GetStats(context.Background(), &sluicev1.GetStatsRequest{})
		if err != nil {
			return err
		}
		again, err := topology.LB.Received(Iface)
		if err == nil && again != c.received {
			return fmt.Errorf("traffic does not come to rest: %d, then %d frames", c.received, again)
		}
		c.fill(stats)
		return err
	})
	return c
}

// fill takes over what the API says.
func (c *counts) fill(stats *sluicev1.GetStatsResponse) {
	c.sum, c.verdicts = 0, make(map[string]uint64)
	for _, v := range stats.GetVerdicts() {
		c.sum += v.GetPackets()
		c.verdicts[v.GetVerdict()] += v.GetPackets()
	}
	c.vips, c.backends = make(map[string]*sluicev1.Counter), make(map[string]*sluicev1.Counter)
	for _, v := range stats.GetVips() {
		c.vips[v.GetName()] = v.GetCounter()
	}
	for _, b := range stats.GetBackends() {
		c.backends[b.GetPool()+"/"+b.GetName()] = b.GetCounter()
	}
}

// send sends datagrams without looking at answers.
func send(t *testing.T, client *Namespace, address string, n, payload int) {
	t.Helper()
	c, err := client.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range n {
		if _, err := c.Write(make([]byte, payload)); err != nil {
			t.Fatalf("datagram %d to %s: %v", i, address, err)
		}
	}
}
