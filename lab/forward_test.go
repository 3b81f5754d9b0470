package lab

import (
	"strings"
	"testing"
	"time"
)

// TestForwarding sends TCP and UDP, little and much, through VIPs of both families.
func TestForwarding(t *testing.T) {
	topology, _ := raiseWhole(t, 3)
	for _, vip := range firstVIPs {
		t.Run(vip+"/dials", func(t *testing.T) { testDials(t, topology, vip) })
		t.Run(vip+"/upload", func(t *testing.T) { testUpload(t, topology, vip) })
		t.Run(vip+"/datagrams", func(t *testing.T) { testDatagrams(t, topology, vip) })
	}
	t.Run("weight-zero", func(t *testing.T) { testWeightZero(t, topology) })
}

// TestGenericMode forwards the same with the program in the network stack instead of the driver.
func TestGenericMode(t *testing.T) {
	topology := raiseBare(t, 2)
	if err := topology.Equip(topology.Backends, testVIPs...); err != nil {
		t.Fatal(err)
	}
	if _, err := topology.StartLBD("--mode", "generic"); err != nil {
		t.Fatal(err)
	}
	apply(t, topology, site(topology.Backends...))
	awaitHops(t, topology)
	for _, vip := range firstVIPs {
		t.Run(vip+"/datagrams", func(t *testing.T) { testDatagrams(t, topology, vip) })
		t.Run(vip+"/upload", func(t *testing.T) { testUpload(t, topology, vip) })
	}
}

// testDials dials 300 times: every dial is answered, and every backend answers its share of them.
func testDials(t *testing.T, topology *Topology, vip string) {
	const dials, share, tolerance = 300, 100, 45 // 5 standard deviations of a fair draw are 41
	answers := make(map[string]int)
	for i := range dials {
		who, err := topology.Client.Get(HostPort(vip, HTTPPort))
		if err != nil {
			t.Fatalf("dial %d: %v", i, err)
		}
		answers[who]++
	}
	for _, b := range topology.Backends {
		if n := answers[b.Server]; n < share-tolerance || n > share+tolerance {
			t.Errorf("%s answered %d of %d dials, want %d±%d", b.Server, n, dials, share, tolerance)
		}
	}
	t.Logf("answers: %v", answers)
}

// testUpload sends more than a window of whole segments: each is 1500 bytes long before it gets the outer header.
func testUpload(t *testing.T, topology *Topology, vip string) {
	line, err := topology.Client.DialLine(HostPort(vip, LinePort))
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	started := time.Now()
	if _, err := line.Ask(strings.Repeat("x", 4<<20)); err != nil {
		t.Fatal(err)
	}
	t.Logf("4 MiB there and back in %s", time.Since(started))
}

// testDatagrams asks from 60 sockets in datagrams small and as large as the client's link takes them.
func testDatagrams(t *testing.T, topology *Topology, vip string) {
	headers := 20 + 8
	if strings.Contains(vip, ":") {
		headers = 40 + 8
	}
	answers := make(map[string]int)
	for i := range 60 {
		question := "hello"
		if i%2 == 1 {
			// The answer repeats the question after the name and a blank.
			question = strings.Repeat("x", ClientMTU-headers-len("web-1 "))
		}
		who, err := topology.Client.AskDatagram(HostPort(vip, UDPPort), question)
		if err != nil {
			t.Fatalf("datagram %d of %d bytes: %v", i, len(question), err)
		}
		answers[who]++
	}
	if len(answers) != len(topology.Backends) {
		t.Errorf("answers %v, want some from each of %d backends", answers, len(topology.Backends))
	}
}

// testWeightZero takes the weight from one backend: no new connection reaches it.
func testWeightZero(t *testing.T, topology *Topology) {
	if _, err := topology.LBCtl("", "weight", "web/web-2", "0"); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		who, err := topology.Client.Get(HostPort(firstVIPs[0], HTTPPort))
		if err != nil || who == "web-2" {
			t.Fatalf("dial %d: answered by %q, %v; want web-1 or web-3", i, who, err)
		}
	}
}

// TestNewVIP applies a document with one more site while the first has traffic: the new VIPs answer within a second, and
// the old ones do not notice.
func TestNewVIP(t *testing.T) {
	topology, _ := raiseWhole(t, 3)
	var d document
	d.add("web", VIPV4.String(), VIPV6.String(), topology.Backends...)
	d.add("later", laterVIP4, laterVIP6, topology.Backends[2])
	old := topology.Client.Request(20*time.Millisecond, HostPort(firstVIPs[0], HTTPPort), HostPort(firstVIPs[1], HTTPPort))
	held, err := topology.Client.Hold(10, 50*time.Millisecond, HostPort(firstVIPs[0], LinePort), HostPort(firstVIPs[1], LinePort))
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	apply(t, topology, d.text())
	for _, vip := range []string{laterVIP4, laterVIP6} {
		who, err := topology.Client.Get(HostPort(vip, HTTPPort))
		if err != nil || who != "web-3" {
			t.Errorf("%s answered at %s, %v; want web-3", who, vip, err)
		}
		if took := time.Since(started); took > time.Second {
			t.Errorf("%s answered %s after the apply was started", vip, took)
		}
	}
	t.Logf("both new VIPs answered %s after the apply was started", time.Since(started))
	for what, traffic := range map[string]*Traffic{"requests": old, "held": held} {
		if err := traffic.Stop().Err(); err != nil {
			t.Errorf("%s on the VIPs that were there before: %v", what, err)
		}
	}
}

// TestNewBackend adds a backend to a pool that has traffic: it answers within a second.
func TestNewBackend(t *testing.T) {
	topology, _ := raiseWhole(t, 2)
	b, err := topology.AddBackend()
	if err != nil {
		t.Fatal(err)
	}
	if err := topology.Equip([]*Backend{b}, testVIPs...); err != nil {
		t.Fatal(err)
	}
	for _, vip := range firstVIPs {
		traffic := topology.Client.Request(10*time.Millisecond, HostPort(vip, HTTPPort))
		defer traffic.Stop()
		if vip == firstVIPs[0] {
			apply(t, topology, site(topology.Backends...))
		}
		applied := time.Now()
		for traffic.Tally().Answers[b.Server] == 0 {
			if time.Since(applied) > time.Second {
				t.Fatalf("%s did not answer at %s within a second", b.Server, vip)
			}
			time.Sleep(time.Millisecond)
		}
	}
}
