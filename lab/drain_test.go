package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// drainSite is a site whose tables keep their size, and whose drains are those of a test.
func drainSite(drainMax, drainIdle string, backends ...*Backend) string {
	var d document
	d.add("web", VIPV4.String(), VIPV6.String(), backends...)
	for i := range d.Pools {
		d.Pools[i].Slots, d.Pools[i].DrainMax, d.Pools[i].DrainIdle = 4096, drainMax, drainIdle
	}
	return d.text()
}

// raiseDrains raises a topology whose first backends are configured; the others run and wait to be added.
func raiseDrains(t *testing.T, backends, configured int, drainMax, drainIdle string, flags ...string) (*Topology, *Process) {
	t.Helper()
	topology := raiseBare(t, backends)
	if err := topology.Equip(topology.Backends, firstVIPs...); err != nil {
		t.Fatal(err)
	}
	lbd, err := topology.StartLBD(flags...)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, topology, drainSite(drainMax, drainIdle, topology.Backends[:configured]...))
	awaitHops(t, topology)
	return topology, lbd
}

func linesAndDials() (lines, https []string) {
	for _, vip := range firstVIPs {
		lines = append(lines, HostPort(vip, LinePort))
		https = append(https, HostPort(vip, HTTPPort))
	}
	return lines, https
}

// change is one command, given for both pools.
type change struct {
	what string
	args func(pool, address string, b *Backend) []string
}

var (
	drainIt   = change{"drain", func(pool, _ string, b *Backend) []string { return []string{"drain", pool + "/" + b.Server} }}
	undrainIt = change{"undrain", func(pool, _ string, b *Backend) []string { return []string{"undrain", pool + "/" + b.Server} }}
	removeIt  = change{"remove", func(pool, _ string, b *Backend) []string {
		return []string{"delete", "backend", pool + "/" + b.Server}
	}}
	addIt = change{"add", func(pool, address string, b *Backend) []string {
		return []string{"create", "backend", pool + "/" + b.Server, "--address", address}
	}}
)

func weighIt(weight int) change {
	return change{fmt.Sprintf("weight %d", weight), func(pool, _ string, b *Backend) []string {
		return []string{"weight", pool + "/" + b.Server, fmt.Sprint(weight)}
	}}
}

func (c change) make(topology *Topology, b *Backend) error {
	_, err4 := topology.LBCtl("", c.args("web", b.V4.String(), b)...)
	_, err6 := topology.LBCtl("", c.args("web6", b.V6.String(), b)...)
	return errors.Join(err4, err6)
}

// drainModel knows which changes are possible.
type drainModel struct {
	random  *rand.Rand
	there   []bool // by backend
	drained []bool
}

// next draws a change. One backend at least goes on taking new flows.
func (m *drainModel) next() (change, int) {
	for {
		i := m.random.IntN(len(m.there))
		active := 0
		for j := range m.there {
			if m.there[j] && !m.drained[j] && j != i {
				active++
			}
		}
		switch kind := m.random.IntN(4); {
		case !m.there[i]:
			m.there[i], m.drained[i] = true, false
			return addIt, i
		case kind == 0 && active > 0:
			m.there[i] = false
			return removeIt, i
		case kind == 1 && m.drained[i]:
			m.drained[i] = false
			return undrainIt, i
		case kind == 2 && !m.drained[i] && active > 0:
			m.drained[i] = true
			return drainIt, i
		case kind == 3:
			return weighIt(10 + m.random.IntN(290)), i
		}
	}
}

// TestDrainsKeepConnections holds 200 connections and dials all the time while backends are added, drained, undrained,
// removed and weighted, one change into the other, and lbd is killed in between: nothing breaks and nothing moves.
func TestDrainsKeepConnections(t *testing.T) {
	topology, lbd := raiseDrains(t, 4, 3, "10m", "1m")
	lines, https := linesAndDials()
	held, err := topology.Client.Hold(100, 100*time.Millisecond, lines...)
	if err != nil {
		t.Fatal(err)
	}
	dials := topology.Client.Request(20*time.Millisecond, https...)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	model := drainModel{rand.New(rand.NewPCG(seed, 0)), []bool{true, true, true, false}, make([]bool, 4)}
	var story []string
	for step := range 30 {
		c, i := model.next()
		b := topology.Backends[i]
		story = append(story, c.what+" "+b.Server)
		if err := c.make(topology, b); err != nil {
			t.Fatalf("after %v: %v", story, err)
		}
		time.Sleep(time.Duration(model.random.IntN(300)) * time.Millisecond)
		if step%10 == 9 {
			story = append(story, "kill lbd")
			if err := lbd.Kill(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
			if lbd, err = topology.StartLBD(); err != nil {
				t.Fatal(err)
			}
		}
		if tally := held.Tally(); tally.Err() != nil {
			break // the story so far is what broke it
		}
	}
	for what, traffic := range map[string]*Traffic{"held connections": held, "dials": dials} {
		tally := traffic.Stop()
		if err := tally.Err(); err != nil {
			t.Errorf("%s: %v; after %s", what, err, strings.Join(story, ", "))
		}
		t.Logf("%s: %d held, answers %v, slowest %s", what, tally.Held, tally.Answers, tally.Slowest)
	}
	stats, err := api(t, topology).GetStats(context.Background(), &sluicev1.GetStatsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("tracking: %v; story: %s", stats.GetTracking(), strings.Join(story, ", "))
	if n := stats.GetTracking(); n.GetInserts() == 0 || n.GetHits() == 0 {
		t.Errorf("tracking %v: nothing was tracked, so nothing was tested", n)
	}
}

// drainWait runs lbctl drain --wait and returns its exit code and what it said.
func drainWait(t *testing.T, topology *Topology, backend string) (code int, said string) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(topology.binaries.LBCtl, "--server", topology.API(), "drain", backend, "--wait", "--wait-timeout", "1m")
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	t.Logf("drain --wait: exit code %d\n%s", cmd.ProcessState.ExitCode(), stderr.String())
	return cmd.ProcessState.ExitCode(), stderr.String()
}

// steady waits until no slot changes and no flow is tracked.
func steady(t *testing.T, topology *Topology, timeout time.Duration) {
	t.Helper()
	client := api(t, topology)
	eventually(t, timeout, func() error {
		pools, err := client.ListPools(context.Background(), &sluicev1.ListPoolsRequest{})
		if err != nil {
			return err
		}
		for _, p := range pools.GetPools() {
			if p.GetTransitionSlots() > 0 || p.GetPinnedSlots() > 0 {
				return fmt.Errorf("pool %s: %d slots in transition, %d pinned", p.GetPool().GetName(), p.GetTransitionSlots(), p.GetPinnedSlots())
			}
		}
		flows, err := topology.LBCtl("", "get", "flows", "--no-headers")
		if err == nil && flows != "" {
			err = fmt.Errorf("flows are tracked:\n%s", flows)
		}
		return err
	})
}

// TestDrainEnds lets drains end in every way.
func TestDrainEnds(t *testing.T) {
	topology, _ := raiseDrains(t, 2, 2, "1m", "2s")
	lines, https := linesAndDials()
	dials := topology.Client.Request(20*time.Millisecond, https...)
	hold := func(t *testing.T) *Traffic {
		t.Helper()
		held, err := topology.Client.Hold(10, 50*time.Millisecond, lines...)
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	t.Run("quiet", func(t *testing.T) {
		held := hold(t)
		ended := make(chan Tally, 1)
		closed := 4 * time.Second
		started := time.Now()
		time.AfterFunc(closed, func() { ended <- held.Stop() })
		code, said := drainWait(t, topology, "web/web-1")
		if took := time.Since(started); code != 0 || !strings.Contains(said, "the last flow is gone: silent for drain_idle") || took < closed {
			t.Errorf("after %s exit code %d, want 0 after the connections are closed", took, code)
		}
		if tally := <-ended; tally.Err() != nil {
			t.Error(tally.Err())
		}
		steady(t, topology, 20*time.Second)
		if err := undrainIt.make(topology, topology.Backends[0]); err != nil {
			t.Fatal(err)
		}
		steady(t, topology, 20*time.Second)
	})
	t.Run("removed", func(t *testing.T) {
		testRemoved(t, topology, hold(t))
		apply(t, topology, drainSite("1m", "2s", topology.Backends...))
		steady(t, topology, 20*time.Second)
	})
	t.Run("deadline", func(t *testing.T) {
		if _, err := topology.LBCtl("", "set", "pool", "web", "--drain-max", "3s"); err != nil {
			t.Fatal(err)
		}
		held := hold(t)
		code, said := drainWait(t, topology, "web/web-1")
		if code != 5 || !strings.Contains(said, "drain_max has passed") {
			t.Errorf("exit code %d, want 5 and that drain_max has passed", code)
		}
		if tally := held.Stop(); tally.Answers["web-1"] == 0 {
			t.Error("web-1 held no connection, so nothing was tested")
		}
		if err := undrainIt.make(topology, topology.Backends[0]); err != nil {
			t.Fatal(err)
		}
	})
	if tally := dials.Stop(); tally.Err() != nil {
		t.Error(tally.Err())
	}
}

// testRemoved takes web-1 out of the document: it leaves when its connections have.
func testRemoved(t *testing.T, topology *Topology, held *Traffic) {
	apply(t, topology, drainSite("1m", "2s", topology.Backends[1]))
	leaving := func() string {
		text, err := topology.LBCtl("", "get", "backends", "--no-headers", "-o", "name")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	names := []string{"backend/web/web-1@" + topology.Backends[0].V4.String(), "backend/web6/web-1@" + topology.Backends[0].V6.String()}
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, name := range names {
			if got := leaving(); !strings.Contains(got, name+"\n") {
				t.Fatalf("%s is not leaving while it holds connections; backends are\n%s", name, got)
			}
		}
	}
	if tally := held.Stop(); tally.Err() != nil || tally.Answers["web-1"] == 0 {
		t.Errorf("%v, answers %v", tally.Err(), tally.Answers)
	}
	eventually(t, 20*time.Second, func() error {
		if got := leaving(); strings.Contains(got, "@") {
			return fmt.Errorf("backends are\n%s", got)
		}
		return nil
	})
	steady(t, topology, 20*time.Second)
}

// TestFloodDuringDrain floods the VIPs with forged first packets while a backend drains and the flow tables are tiny:
// entries are refused, the drain takes longer, and nothing breaks.
func TestFloodDuringDrain(t *testing.T) {
	node := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(node, []byte("limits: {flows_v4: 256, flows_v6: 256}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	topology, _ := raiseDrains(t, 3, 3, "1m", "3s", "--config", node)
	client := api(t, topology)
	lines, https := linesAndDials()
	held, err := topology.Client.Hold(50, 100*time.Millisecond, lines...)
	if err != nil {
		t.Fatal(err)
	}
	dials := topology.Client.Request(20*time.Millisecond, https...)
	time.Sleep(300 * time.Millisecond)
	if err := drainIt.make(topology, topology.Backends[0]); err != nil {
		t.Fatal(err)
	}
	flood := make(chan error, 1)
	go func() { flood <- floodSYN(topology.Client, 8*time.Second, 4000) }()
	time.Sleep(4 * time.Second)
	if err := undrainIt.make(topology, topology.Backends[0]); err != nil {
		t.Fatal(err)
	}
	if err := drainIt.make(topology, topology.Backends[1]); err != nil {
		t.Fatal(err)
	}
	if err := <-flood; err != nil {
		t.Fatal(err)
	}
	stats, err := client.GetStats(context.Background(), &sluicev1.GetStatsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("tracking: %v", stats.GetTracking())
	for _, vip := range stats.GetVips() {
		if strings.HasSuffix(vip.GetName(), "-udp") {
			continue
		}
		if vip.GetCounter().GetHeld() == 0 {
			t.Errorf("vip %s held no first packet, so nothing was tested", vip.GetName())
		}
	}
	b, err := client.ListBackends(context.Background(), &sluicev1.ListBackendsRequest{Pool: "web", Name: "web-2"})
	if err != nil {
		t.Fatal(err)
	}
	if b.GetBackends()[0].GetKeepsSlots() == 0 {
		t.Error("web-2 keeps no slot at the end of the flood, so the drain was not slowed down")
	}
	for what, traffic := range map[string]*Traffic{"held connections": held, "dials": dials} {
		tally := traffic.Stop()
		if err := tally.Err(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		t.Logf("%s: answers %v, slowest %s", what, tally.Answers, tally.Slowest)
	}
}
