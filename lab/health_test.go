package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

const healthPort = 8080

// clinic answers the health checks of one backend, at its own addresses.
type clinic struct{ status, asked atomic.Int32 }

// openClinic serves in the backend's namespace until the test ends.
func openClinic(t *testing.T, b *Backend) *clinic {
	t.Helper()
	c := &clinic{}
	c.status.Store(http.StatusOK)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			http.NotFound(w, r)
			return
		}
		c.asked.Add(1)
		w.WriteHeader(int(c.status.Load()))
	})}
	for _, address := range []string{b.V4.String(), b.V6.String()} {
		var l net.Listener
		err := b.Do(func() (err error) {
			l, err = net.Listen("tcp", HostPort(address, healthPort))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = server.Serve(l) }() // ends with Close
	}
	t.Cleanup(func() { _ = server.Close() })
	return c
}

// checkedSite is site with a health check for both pools.
func checkedSite(t *testing.T, backends ...*Backend) string {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal([]byte(site(backends...)), &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d["pools"].([]any) {
		p.(map[string]any)["health"] = map[string]any{
			"type": "http", "port": healthPort, "path": "/healthz", "interval": "200ms", "rise": 2, "fall": 3,
		}
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ward is a topology whose backends are checked.
type ward struct {
	*Topology
	t       *testing.T
	api     sluicev1.SluiceClient
	clinics []*clinic
}

func raiseWard(t *testing.T) (*ward, *Process) {
	t.Helper()
	topology, lbd := raiseWhole(t, 3)
	w := &ward{Topology: topology, t: t, api: api(t, topology)}
	for _, b := range topology.Backends {
		w.clinics = append(w.clinics, openClinic(t, b))
	}
	apply(t, topology, checkedSite(t, topology.Backends...))
	w.await("up up up up up up")
	return w, lbd
}

// await waits until the backends of web and web6 are in these states, and own slots or not accordingly.
func (w *ward) await(states string) {
	w.t.Helper()
	eventually(w.t, 20*time.Second, func() error {
		answer, err := w.api.ListBackends(context.Background(), &sluicev1.ListBackendsRequest{})
		if err != nil {
			return err
		}
		var got []string
		for _, b := range answer.GetBackends() {
			state := b.GetHealth().GetState()
			got = append(got, strings.ToLower(strings.TrimPrefix(state.String(), "STATE_")))
			used := state == sluicev1.BackendHealth_STATE_UP || b.GetHealth().GetIgnored()
			if used != (b.GetSlots() > 0) {
				return fmt.Errorf("%s/%s is %s and owns %d slots", b.GetPool(), b.GetBackend().GetName(), state, b.GetSlots())
			}
		}
		if s := strings.Join(got, " "); s != states {
			return fmt.Errorf("backends are %s, want %s", s, states)
		}
		return nil
	})
}

// set makes a backend answer its checks with a status, from now on.
func (w *ward) set(backend, status int) { w.clinics[backend].status.Store(int32(status)) }

// tables are the digests of both slot tables, and the revision.
func (w *ward) tables() string {
	w.t.Helper()
	answer, err := w.api.ListPools(context.Background(), &sluicev1.ListPoolsRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	out := fmt.Sprintf("revision %d", answer.GetRevision())
	for _, p := range answer.GetPools() {
		out += fmt.Sprintf(", %s %s", p.GetPool().GetName(), p.GetDigest())
	}
	return out
}

// awaitTables waits until the tables are as they were.
func (w *ward) awaitTables(want string) {
	w.t.Helper()
	eventually(w.t, 5*time.Second, func() error {
		if got := w.tables(); got != want {
			return fmt.Errorf("tables are %s, were %s", got, want)
		}
		return nil
	})
}

// newFlows asks on many new connections and returns who answered.
func (w *ward) newFlows() map[string]int {
	w.t.Helper()
	who := map[string]int{}
	for _, vip := range firstVIPs {
		for range 60 {
			name, err := w.Client.Get(HostPort(vip, HTTPPort))
			if err != nil {
				w.t.Fatal(err)
			}
			who[name]++
		}
	}
	return who
}

func TestSoftFailureMovesNewFlowsOnly(t *testing.T) {
	w, _ := raiseWard(t)
	before := w.tables()
	held, err := w.Client.Hold(60, 50*time.Millisecond, HostPort(VIPV4.String(), LinePort), HostPort(VIPV6.String(), LinePort))
	if err != nil {
		t.Fatal(err)
	}
	requests := w.Client.Request(20*time.Millisecond, HostPort(VIPV4.String(), HTTPPort), HostPort(VIPV6.String(), HTTPPort))

	w.set(1, http.StatusServiceUnavailable)
	w.await("up down up up down up")
	if who := w.newFlows(); who["web-2"] != 0 || who["web-1"] == 0 || who["web-3"] == 0 {
		t.Errorf("web-2 is down, new flows go to %v", who)
	}
	described, err := w.LBCtl("", "describe", "backend", "web/web-2")
	if err != nil || !strings.Contains(described, "status 503, want 200-399") {
		t.Errorf("describe says (err %v):\n%s", err, described)
	}
	status, err := w.LBCtl("", "status", "-o", "json")
	if err != nil || !strings.Contains(status, `backend \"web/web-2\" (10.9.12.2) is down: status 503, want 200-399`) {
		t.Errorf("status says (err %v):\n%s", err, status)
	}

	w.set(1, http.StatusOK)
	w.await("up up up up up up")
	if after := w.tables(); after != before {
		t.Errorf("tables are %s, were %s", after, before)
	}
	if who := w.newFlows(); who["web-2"] == 0 {
		t.Errorf("web-2 is up again, new flows go to %v", who)
	}
	for name, traffic := range map[string]*Traffic{"held connections": held, "requests": requests} {
		tally := traffic.Stop()
		if err := tally.Err(); err != nil || tally.Total() == 0 {
			t.Errorf("%s: %v of %+v", name, err, tally)
		}
	}
}

func TestHealthSurvivesTheDaemon(t *testing.T) {
	w, lbd := raiseWard(t)
	w.set(2, http.StatusServiceUnavailable)
	w.await("up up down up up down")
	before := w.tables()
	if err := lbd.Kill(); err != nil {
		t.Fatal(err)
	}
	w.clinics[2].asked.Store(0)
	if _, err := w.StartLBD(); err != nil {
		t.Fatal(err)
	}
	if after := w.tables(); after != before {
		t.Errorf("tables are %s, were %s", after, before)
	}
	w.await("up up down up up down")
	if after := w.tables(); after != before {
		t.Errorf("tables are %s, were %s", after, before)
	}
	eventually(t, 10*time.Second, func() error {
		if n := w.clinics[2].asked.Load(); n < 3 {
			return fmt.Errorf("checked %d times", n)
		}
		return nil
	})
}

func TestPanicUsesAll(t *testing.T) {
	w, _ := raiseWard(t)
	before := w.tables()
	for i := range w.clinics {
		w.set(i, http.StatusInternalServerError)
	}
	w.await("down down down down down down")
	w.awaitTables(before) // a backend that is shown as ignored is used 50 ms later
	if who := w.newFlows(); len(who) != 3 {
		t.Errorf("new flows go to %v", who)
	}
	status, err := w.LBCtl("", "status", "-o", "json")
	if err != nil || !strings.Contains(status, `pool \"web\" panics: 0 of its 3 enabled backends are up, fewer than 25 %`) {
		t.Errorf("status says (err %v):\n%s", err, status)
	}
}

// The router loses its way to one host, and says so.
func TestGoneHostIsNoticed(t *testing.T) {
	w, _ := raiseWard(t)
	before := w.tables()
	w.setPort("b1", netlink.LinkSetDown)
	w.await("gone up up gone up up")
	if who := w.newFlows(); who["web-1"] != 0 {
		t.Errorf("web-1 is gone, new flows go to %v", who)
	}
	status, err := w.LBCtl("", "status", "-o", "json")
	if err != nil || !strings.Contains(status, `backend \"web/web-1\" (10.9.11.2) is gone: `) {
		t.Errorf("status says (err %v):\n%s", err, status)
	}
	w.setPort("b1", netlink.LinkSetUp) // which has lost its IPv6 addresses
	w.await("up up up gone up up")
	v4 := func(tables string) string { before, _, _ := strings.Cut(tables, ", web6"); return before }
	if after := w.tables(); v4(after) != v4(before) {
		t.Errorf("tables are %s, were %s", after, before)
	}
}

// setPort changes one of the router's ports.
func (w *ward) setPort(name string, set func(netlink.Link) error) {
	w.t.Helper()
	err := w.Router.Do(func() error {
		port, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return set(port)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}
