package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// VIPs that every agent and every server of a test knows; documents configure some of them.
var (
	testVIPs  = []string{VIPV4.String(), VIPV6.String(), laterVIP4, laterVIP6}
	firstVIPs = testVIPs[:2]
)

const (
	laterVIP4 = "198.51.100.20"
	laterVIP6 = "2001:db8:100::20"
)

// document is what tests apply, as JSON.
type document struct {
	Version int            `json:"version"`
	Pools   []documentPool `json:"pools"`
	VIPs    []documentVIP  `json:"vips"`
}

type documentPool struct {
	Name      string            `json:"name"`
	Slots     int               `json:"slots,omitempty"`
	DrainMax  string            `json:"drain_max,omitempty"`
	DrainIdle string            `json:"drain_idle,omitempty"`
	Backends  []documentBackend `json:"backends"`
}

type documentBackend struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Weight  int    `json:"weight"`
}

type documentVIP struct {
	Name     string `json:"name"`
	Address  string `json:"address"`
	Protocol string `json:"protocol"`
	Ports    []int  `json:"ports"`
	Pool     string `json:"pool"`
}

// add adds a pool and its VIPs for each family: NAME and NAME-udp for IPv4, NAME6 and NAME6-udp for IPv6.
func (d *document) add(name, vip4, vip6 string, backends ...*Backend) {
	d.Version = 1
	for _, family := range []struct {
		suffix, vip string
		address     func(*Backend) string
	}{
		{"", vip4, func(b *Backend) string { return b.V4.String() }},
		{"6", vip6, func(b *Backend) string { return b.V6.String() }},
	} {
		pool := documentPool{Name: name + family.suffix, Backends: []documentBackend{}}
		for _, b := range backends {
			pool.Backends = append(pool.Backends, documentBackend{b.Server, family.address(b), 100})
		}
		d.Pools = append(d.Pools, pool)
		d.VIPs = append(d.VIPs,
			documentVIP{pool.Name, family.vip, "tcp", []int{HTTPPort, LinePort}, pool.Name},
			documentVIP{pool.Name + "-udp", family.vip, "udp", []int{UDPPort}, pool.Name})
	}
}

// text is the document as lbctl reads it.
func (d *document) text() string {
	data, err := json.Marshal(d)
	if err != nil {
		panic(err) // no value of these types fails
	}
	return string(data)
}

// site is the document of one site on the first VIPs.
func site(backends ...*Backend) string {
	var d document
	d.add("web", VIPV4.String(), VIPV6.String(), backends...)
	return d.text()
}

// raiseBare raises a topology without processes, to be closed and looked over at the end of the test.
func raiseBare(t testing.TB, backends int) *Topology {
	t.Helper()
	needRoot(t)
	b, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	topology, err := Raise(b, backends)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		name := topology.Name
		checkAgreement(t, topology)
		if t.Failed() {
			for _, p := range topology.procs {
				t.Logf("%s printed:\n%s", p.Name, p.Log())
			}
		}
		if err := topology.Close(); err != nil {
			t.Errorf("closing the lab: %v", err)
		}
		if left := Leftovers(name); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	return topology
}

// checkAgreement has a running lbd compare what packets see with its store and its history.
func checkAgreement(t testing.TB, topology *Topology) {
	t.Helper()
	for _, p := range topology.procs {
		select {
		case <-p.done:
			continue
		default:
		}
		if p.Name != "lbd" {
			continue
		}
		// A neighbour that is being confirmed at this moment may be published and not committed yet.
		eventually(t, 2*time.Second, func() error {
			_, err := topology.LBCtl("", "check")
			return err
		})
	}
}

// raiseWhole raises a topology in which everything runs and the first VIPs are configured with all backends.
func raiseWhole(t *testing.T, backends int) (*Topology, *Process) {
	t.Helper()
	topology := raiseBare(t, backends)
	if err := topology.Equip(topology.Backends, testVIPs...); err != nil {
		t.Fatal(err)
	}
	lbd, err := topology.StartLBD()
	if err != nil {
		t.Fatal(err)
	}
	apply(t, topology, site(topology.Backends...))
	awaitHops(t, topology)
	return topology, lbd
}

// apply applies a document.
func apply(t *testing.T, topology *Topology, document string) {
	t.Helper()
	if _, err := topology.LBCtl(document, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// api is a client of the API that ends with the test.
func api(t *testing.T, topology *Topology) sluicev1.SluiceClient {
	t.Helper()
	client, connection, err := topology.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return client
}

// awaitHops waits until the next hop of every backend is resolved, so that no packet need be lost.
func awaitHops(t *testing.T, topology *Topology) {
	t.Helper()
	client := api(t, topology)
	eventually(t, 5*time.Second, func() error {
		answer, err := client.ListBackends(context.Background(), &sluicev1.ListBackendsRequest{})
		if err != nil {
			return err
		}
		for _, b := range answer.GetBackends() {
			if b.GetNextHop().GetMac() == "" {
				return fmt.Errorf("next hop of %s/%s: %s", b.GetPool(), b.GetBackend().GetName(), b.GetNextHop().GetState())
			}
		}
		return nil
	})
}

// eventually repeats a check until it succeeds; after the timeout its error fails the test.
func eventually(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still after %s: %v", timeout, err)
		}
	}
}
