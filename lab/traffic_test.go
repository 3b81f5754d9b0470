package lab

import (
	"testing"
	"time"
)

// TestTrafficSeesWhatBreaks makes sure that the client would notice: held connections break with their server, a dial
// that nobody answers fails, and another name on a held connection is a move.
func TestTrafficSeesWhatBreaks(t *testing.T) {
	needRoot(t)
	topology, err := Raise(Binaries{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = topology.Close() })
	b := topology.Backends[0]
	server, err := topology.StartServers(b, b.V4.String(), b.V6.String())
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{HostPort(b.V4.String(), LinePort), HostPort(b.V6.String(), LinePort)}
	held, err := topology.Client.Hold(5, 10*time.Millisecond, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	dials := topology.Client.Request(10*time.Millisecond, HostPort(b.V4.String(), HTTPPort))
	time.Sleep(100 * time.Millisecond)
	for what, tally := range map[string]Tally{"held": held.Tally(), "dials": dials.Tally()} {
		if err := tally.Err(); err != nil || tally.Answers[b.Server] == 0 {
			t.Errorf("%s before: %v, answers %v", what, err, tally.Answers)
		}
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if tally := held.Stop(); tally.Held != 10 || tally.Failures != 10 || tally.Err() == nil {
		t.Errorf("after the server's death: %d of %d held connections broke, %v; want 10 of 10", tally.Failures, tally.Held, tally.Err())
	}
	if tally := dials.Stop(); tally.Failures == 0 || tally.Err() == nil {
		t.Errorf("after the server's death: no dial failed")
	}
}

// TestTallyCountsMoves feeds answers of a held connection to its bookkeeping.
func TestTallyCountsMoves(t *testing.T) {
	traffic, held := newTraffic(), heldLine{}
	for _, who := range []string{"web-1", "web-1", "web-2", "web-2", "web-1"} {
		held.answered(traffic, who)
	}
	if tally := traffic.Tally(); tally.Moved != 2 || tally.Err() == nil {
		t.Errorf("%d moves, %v; want 2 and an error", tally.Moved, tally.Err())
	}
}
