package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// TestRestart holds 100 connections to each VIP, and dials all the time, while lbd is killed and started, stopped and
// started: no connection breaks, none moves, no dial fails, not one datagram is lost, traffic flows while lbd is away, and
// every packet of that time is in a counter.
func TestRestart(t *testing.T) {
	topology, lbd := raiseWhole(t, 3)
	client := api(t, topology)
	before := readCounts(t, topology, client)
	var lines, https, udp []string
	for _, vip := range firstVIPs {
		lines = append(lines, HostPort(vip, LinePort))
		https = append(https, HostPort(vip, HTTPPort))
		udp = append(udp, HostPort(vip, UDPPort))
	}
	held, err := topology.Client.Hold(100, 100*time.Millisecond, lines...)
	if err != nil {
		t.Fatal(err)
	}
	dials := topology.Client.Request(20*time.Millisecond, https...)
	datagrams := topology.Client.Datagrams(5*time.Millisecond, udp...)
	for _, ending := range []struct {
		name string
		end  func(*Process) error
	}{{"SIGKILL", (*Process).Kill}, {"SIGTERM", (*Process).Stop}} {
		time.Sleep(300 * time.Millisecond)
		if err := ending.end(lbd); err != nil {
			t.Fatalf("%s: %v", ending.name, err)
		}
		heldBefore, dialsBefore := held.Tally().Total(), dials.Tally().Total()
		time.Sleep(time.Second)
		heldNow, dialsNow := held.Tally().Total()-heldBefore, dials.Tally().Total()-dialsBefore
		if heldNow < 200 || dialsNow < 20 {
			t.Errorf("in the second after %s: %d lines and %d dials answered, want at least 200 and 20", ending.name, heldNow, dialsNow)
		}
		if lbd, err = topology.StartLBD(); err != nil {
			t.Fatalf("after %s: %v", ending.name, err)
		}
	}
	time.Sleep(300 * time.Millisecond)
	for what, traffic := range map[string]*Traffic{"held connections": held, "dials": dials, "datagrams": datagrams} {
		tally := traffic.Stop()
		if err := tally.Err(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		t.Logf("%s: %d held, %d answers, %d failures, %d moved, slowest %s",
			what, tally.Held, tally.Total(), tally.Failures, tally.Moved, tally.Slowest)
	}
	after := readCounts(t, topology, client)
	if got, want := after.sum-before.sum, after.received-before.received; got != want {
		t.Errorf("verdicts add up to %d packets, the interface received %d", got, want)
	}
}

// TestDetach stops lbd, which leaves its program attached, and detaches, which does not.
func TestDetach(t *testing.T) {
	topology := raiseBare(t, 0)
	lbd, err := topology.StartLBD()
	if err != nil {
		t.Fatal(err)
	}
	if err := lbd.Stop(); err != nil {
		t.Fatal(err)
	}
	if xdpProgram(t, topology) == 0 {
		t.Error("no program is attached after SIGTERM")
	}
	if err := topology.detaches["lbd"](); err != nil {
		t.Fatal(err)
	}
	if id := xdpProgram(t, topology); id != 0 {
		t.Errorf("program %d is attached after lbd --detach", id)
	}
	if _, err := os.Stat(topology.BPFFSDir("lb")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("pins after lbd --detach: %v, want none", err)
	}
}

// TestKillDuringApply kills lbd at random moments of applies, each of which moves both VIPs from one backend to another.
// Packets see the old or the new configuration, whole; the restarted daemon exports what packets see; what was
// acknowledged is not lost.
func TestKillDuringApply(t *testing.T) {
	topology, lbd := raiseWhole(t, 2)
	client := api(t, topology)
	var configs [2]*sluicev1.Config
	takes := time.Hour // one apply, undisturbed
	for i, b := range topology.Backends {
		apply(t, topology, site(b))
		configs[i] = export(t, client)
	}
	for i := range 5 {
		started := time.Now()
		if _, err := client.Apply(context.Background(), &sluicev1.ApplyRequest{Config: configs[i%2]}); err != nil {
			t.Fatal(err)
		}
		takes = min(takes, time.Since(started))
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("an apply takes %s; seed %d", takes, seed)

	current, outcomes := 0, make(map[string]int) // the last of the five
	for round := range 20 {
		next := 1 - current
		acknowledged := make(chan bool, 1)
		go func() {
			_, err := client.Apply(context.Background(), &sluicev1.ApplyRequest{Config: configs[next]})
			acknowledged <- err == nil
		}()
		time.Sleep(time.Duration(random.Int64N(int64(takes))))
		if err := lbd.Kill(); err != nil {
			t.Fatal(err)
		}
		ack := <-acknowledged
		dead := whoAnswers(t, topology)
		var err error
		if lbd, err = topology.StartLBD(); err != nil {
			t.Fatal(err)
		}
		exported := soleBackend(t, export(t, client))
		if restarted := whoAnswers(t, topology); restarted != exported || dead != exported {
			t.Errorf("round %d: export names %s; packets went to %s while lbd was dead and to %s afterwards", round, exported, dead, restarted)
		}
		isNew := exported == topology.Backends[next].Server
		if ack && !isNew {
			t.Errorf("round %d: the apply was acknowledged and is lost", round)
		}
		outcomes[fmt.Sprintf("acknowledged=%t new=%t", ack, isNew)]++
		if isNew {
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

// export is the configuration that lbd exports.
func export(t *testing.T, client sluicev1.SluiceClient) *sluicev1.Config {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	answer, err := client.Export(ctx, &sluicev1.ExportRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetConfig()
}

// soleBackend is the one backend that all pools of a configuration have.
func soleBackend(t *testing.T, config *sluicev1.Config) string {
	t.Helper()
	names := make(map[string]bool)
	for _, pool := range config.GetPools() {
		for _, b := range pool.GetBackends() {
			names[b.GetName()] = true
		}
	}
	if len(names) != 1 {
		t.Fatalf("a mix of configurations is exported: %v", config)
	}
	for name := range names {
		return name
	}
	return ""
}
