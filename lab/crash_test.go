package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// TestKillAndRestart holds 100 connections to each VIP over kill -9 of lbd and its restart, and dials all the time: no
// connection breaks, none moves, no dial fails, and traffic flows while lbd is dead.
func TestKillAndRestart(t *testing.T) {
	topology, lbd := raiseWhole(t, 3)
	var lines, https []string
	for _, vip := range firstVIPs {
		lines = append(lines, HostPort(vip, LinePort))
		https = append(https, HostPort(vip, HTTPPort))
	}
	held, err := topology.Client.Hold(100, 100*time.Millisecond, lines...)
	if err != nil {
		t.Fatal(err)
	}
	dials := topology.Client.Request(20*time.Millisecond, https...)
	time.Sleep(500 * time.Millisecond)

	if err := lbd.Kill(); err != nil {
		t.Fatal(err)
	}
	heldBefore, dialsBefore := held.Tally().Total(), dials.Tally().Total()
	time.Sleep(time.Second)
	heldDuring, dialsDuring := held.Tally().Total()-heldBefore, dials.Tally().Total()-dialsBefore
	if heldDuring < 200 || dialsDuring < 20 {
		t.Errorf("in the second without lbd: %d lines and %d dials answered, want at least 200 and 20", heldDuring, dialsDuring)
	}

	if _, err := topology.StartLBD(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	for what, traffic := range map[string]*Traffic{"held connections": held, "dials": dials} {
		tally := traffic.Stop()
		if err := tally.Err(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		t.Logf("%s: %d held, %d answers, %d failures, %d moved", what, tally.Held, tally.Total(), tally.Failures, tally.Moved)
	}
}

// TestKillDuringApply kills lbd at random moments of applies, each of which moves both VIPs from one backend to another.
// Packets see the old or the new configuration, whole; the restarted daemon exports what packets see; what was
// acknowledged is not lost.
func TestKillDuringApply(t *testing.T) {
	topology, lbd := raiseWhole(t, 2)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	client := api(t, topology)
	current := 0
	apply(t, topology, site(topology.Backends[current]))
	outcomes := make(map[string]int)
	for round := range 12 {
		next := 1 - current
		acknowledged := make(chan bool, 1)
		go func() {
			_, err := topology.LBCtl(site(topology.Backends[next]), "apply", "-f", "-")
			acknowledged <- err == nil
		}()
		time.Sleep(time.Duration(random.Int64N(int64(60 * time.Millisecond))))
		if err := lbd.Kill(); err != nil {
			t.Fatal(err)
		}
		ack := <-acknowledged
		dead := whoAnswers(t, topology)
		var err error
		if lbd, err = topology.StartLBD(); err != nil {
			t.Fatal(err)
		}
		exported := exportedBackend(t, client)
		if restarted := whoAnswers(t, topology); restarted != exported {
			t.Errorf("round %d: export names %s, packets go to %s", round, exported, restarted)
		}
		if dead == topology.Backends[next].Server && exported != dead {
			t.Errorf("round %d: packets went to %s while lbd was dead, %s afterwards", round, dead, exported)
		}
		if ack && exported != topology.Backends[next].Server {
			t.Errorf("round %d: the apply of %s was acknowledged, %s is exported", round, topology.Backends[next].Server, exported)
		}
		outcomes[fmt.Sprintf("acknowledged=%t new=%t", ack, exported == topology.Backends[next].Server)]++
		if exported == topology.Backends[next].Server {
			current = next
		}
	}
	t.Logf("outcomes: %v", outcomes)
}

// whoAnswers asks both VIPs several times and expects one name.
func whoAnswers(t *testing.T, topology *Topology) string {
	t.Helper()
	answers := make(map[string]int)
	for range 4 {
		for _, vip := range firstVIPs {
			who, err := topology.Client.Get(HostPort(vip, HTTPPort))
			if err != nil {
				t.Fatal(err)
			}
			answers[who]++
		}
	}
	if len(answers) != 1 {
		t.Fatalf("a mix of configurations: answers %v", answers)
	}
	for who := range answers {
		return who
	}
	return ""
}

// exportedBackend is the one backend that the exported configuration has in both pools.
func exportedBackend(t *testing.T, client sluicev1.SluiceClient) string {
	t.Helper()
	answer, err := client.Export(context.Background(), &sluicev1.ExportRequest{})
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	for _, pool := range answer.GetConfig().GetPools() {
		for _, b := range pool.GetBackends() {
			if name != "" && name != b.GetName() {
				t.Fatalf("a mix of configurations is exported: %v", answer.GetConfig())
			}
			name = b.GetName()
		}
	}
	return name
}
