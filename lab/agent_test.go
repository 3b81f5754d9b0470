package lab

import (
	"testing"
	"time"
)

// TestAgentIsNoOutage stops a backend's agent, starts it again, kills it, and starts it again, while connections are held
// and dials go on: what it set up stays.
func TestAgentIsNoOutage(t *testing.T) {
	topology := raiseBare(t, 1)
	b := topology.Backends[0]
	if _, err := topology.StartServers(b, testVIPs...); err != nil {
		t.Fatal(err)
	}
	agent, err := topology.StartAgent(b, testVIPs...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topology.StartLBD(); err != nil {
		t.Fatal(err)
	}
	apply(t, topology, site(b))
	awaitHops(t, topology)
	var lines, https []string
	for _, vip := range firstVIPs {
		lines = append(lines, HostPort(vip, LinePort))
		https = append(https, HostPort(vip, HTTPPort))
	}
	held, err := topology.Client.Hold(10, 20*time.Millisecond, lines...)
	if err != nil {
		t.Fatal(err)
	}
	dials := topology.Client.Request(20*time.Millisecond, https...)

	for what, end := range map[string]func(*Process) error{"SIGTERM": (*Process).Stop, "SIGKILL": (*Process).Kill} {
		if err := end(agent); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		before := dials.Tally().Total()
		time.Sleep(300 * time.Millisecond)
		if during := dials.Tally().Total() - before; during < 5 {
			t.Errorf("after %s: %d dials answered without an agent, want at least 5", what, during)
		}
		if agent, err = topology.StartAgent(b, testVIPs...); err != nil {
			t.Fatalf("after %s: %v", what, err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	for what, traffic := range map[string]*Traffic{"held connections": held, "dials": dials} {
		tally := traffic.Stop()
		if err := tally.Err(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		t.Logf("%s: %d answers", what, tally.Total())
	}
}
