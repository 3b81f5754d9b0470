package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTopology reaches a backend's servers directly, without a load balancer, and looks for leftovers afterwards.
func TestTopology(t *testing.T) {
	needRoot(t)
	topology, err := Raise(Binaries{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	name := topology.Name
	t.Cleanup(func() { _ = topology.Close() })
	b := topology.Backends[1]
	server, err := topology.StartServers(b, b.V4.String(), b.V6.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{b.V4.String(), b.V6.String()} {
		checkServers(t, topology.Client, address, "web-2")
	}
	pid := server.PID()
	if err := topology.Close(); err != nil {
		t.Error(err)
	}
	if left := Leftovers(name); len(left) > 0 {
		t.Errorf("left after Close: %q", left)
	}
	if _, err := startTime(pid); err == nil {
		t.Errorf("the server, process %d, still runs after Close", pid)
	}
}

// checkServers expects one name from all three servers at an address.
func checkServers(t *testing.T, client *Namespace, address, want string) {
	t.Helper()
	if got, err := client.Get(HostPort(address, HTTPPort)); err != nil || got != want {
		t.Errorf("HTTP at %s: %q, %v; want %q", address, got, err, want)
	}
	line, err := client.DialLine(HostPort(address, LinePort))
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	if got, err := line.Ask("who are you"); err != nil || got != want {
		t.Errorf("line at %s: %q, %v; want %q", address, got, err, want)
	}
	// Longer than a frame: the checksum and fragments are the stack's.
	question := strings.Repeat("x", 3000)
	if got, err := client.AskDatagram(HostPort(address, UDPPort), question); err != nil || got != want {
		t.Errorf("UDP at %s: %q, %v; want %q", address, got, err, want)
	}
}

// TestSweep removes the lab of an owner that was killed, with its processes, and neither a living owner's nor a kept one.
func TestSweep(t *testing.T) {
	needRoot(t)
	alive, err := Raise(Binaries{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = alive.Close() })
	kept := raiseAndDie(t, true)
	t.Cleanup(func() { _ = Remove(kept) })
	dead := raiseAndDie(t, false) // last, because raising a lab sweeps
	pids, err := running(dead, procsFile)
	if err != nil || len(pids) != 1 {
		t.Fatalf("processes of the dead owner's lab: %v, %v; want 1", pids, err)
	}
	if err := Sweep(); err != nil {
		t.Fatal(err)
	}
	if left := Leftovers(dead); len(left) > 0 {
		t.Errorf("left of the dead owner's lab: %q", left)
	}
	if _, err := startTime(pids[0]); err == nil {
		t.Errorf("process %d of the dead owner's lab still runs", pids[0])
	}
	for _, name := range []string{alive.Name, kept} {
		if len(Leftovers(name)) == 0 {
			t.Errorf("lab %q is gone", name)
		}
	}
	if err := Remove(kept); err != nil {
		t.Error(err)
	}
	if left := Leftovers(kept); len(left) > 0 {
		t.Errorf("left of the kept lab: %q", left)
	}
}

// raiseAndDie runs TestHelperRaise in another process, which is killed as soon as its lab stands.
func raiseAndDie(t *testing.T, keep bool) (name string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "name")
	owner := exec.Command(os.Args[0], "-test.run=^TestHelperRaise$")
	owner.Env = append(os.Environ(), "SLUICE_LAB_HELPER="+file)
	if keep {
		owner.Env = append(owner.Env, "SLUICE_LAB_KEEP=1")
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = owner.Process.Kill()
		_ = owner.Wait()
	}()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if data, err := os.ReadFile(file); err == nil && strings.HasSuffix(string(data), "\n") {
			return strings.TrimSpace(string(data))
		}
	}
	t.Fatal("the other process raised no lab within 10 s")
	return ""
}

// TestHelperRaise is not a test: raiseAndDie runs it.
func TestHelperRaise(t *testing.T) {
	file := os.Getenv("SLUICE_LAB_HELPER")
	if file == "" {
		return
	}
	topology, err := Raise(Binaries{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := topology.Backends[0]
	if _, err := topology.StartServers(b, b.V4.String()); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("SLUICE_LAB_KEEP") != "" {
		if err := topology.Keep(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, []byte(topology.Name+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute) // until it is killed
}
