package lab

import (
	"strings"
	"testing"
	"time"
)

// TestUnconfirmedRevisionGoesBack applies a configuration that nobody confirms: once while lbd runs, once while lbd is
// killed and its deadline passes before it is started again. Packets see the configuration before, and the history says
// why.
func TestUnconfirmedRevisionGoesBack(t *testing.T) {
	topology, lbd := raiseWhole(t, 2)
	before, after := topology.Backends[0], topology.Backends[1]
	apply(t, topology, site(before))
	for _, row := range []struct {
		name   string
		killed bool
	}{{"daemon-runs", false}, {"daemon-dies", true}} {
		out, err := topology.LBCtl(site(after), "apply", "-f", "-", "--confirm", "3s", "-m", row.name)
		if err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(3 * time.Second)
		if !strings.Contains(out, "unless confirmed") {
			t.Errorf("%s: apply printed %q", row.name, out)
		}
		if who := whoAnswers(t, topology); who != after.Server {
			t.Errorf("%s: %s answers before the deadline, want %s", row.name, who, after.Server)
		}
		if status := mustLBCtl(t, topology, "status"); !strings.Contains(status, "to be confirmed until") {
			t.Errorf("%s: status is\n%s", row.name, status)
		}
		if row.killed {
			if err := lbd.Kill(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(deadline))
			if who := whoAnswers(t, topology); who != after.Server {
				t.Errorf("%s: %s answers while lbd is dead, want %s", row.name, who, after.Server)
			}
			if lbd, err = topology.StartLBD(); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, 10*time.Second, func() error {
			if time.Now().Before(deadline) {
				time.Sleep(time.Until(deadline))
			}
			_, err := topology.LBCtl(site(before), "diff", "-f", "-")
			return err
		})
		if who := whoAnswers(t, topology); who != before.Server {
			t.Errorf("%s: %s answers after the deadline, want %s", row.name, who, before.Server)
		}
		history := mustLBCtl(t, topology, "history", "-n", "2", "--no-headers")
		if !strings.Contains(history, "was not confirmed within 3s") || !strings.Contains(history, row.name) || !strings.Contains(history, "root") {
			t.Errorf("%s: the history is\n%s", row.name, history)
		}
	}
	// One that is confirmed stays, also over a restart after its deadline.
	if _, err := topology.LBCtl(site(after), "apply", "-f", "-", "--confirm", "2s"); err != nil {
		t.Fatal(err)
	}
	mustLBCtl(t, topology, "confirm")
	if err := lbd.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if _, err := topology.StartLBD(); err != nil {
		t.Fatal(err)
	}
	if who := whoAnswers(t, topology); who != after.Server {
		t.Errorf("%s answers after the confirmation, want %s", who, after.Server)
	}
}

func mustLBCtl(t *testing.T, topology *Topology, args ...string) string {
	t.Helper()
	out, err := topology.LBCtl("", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
