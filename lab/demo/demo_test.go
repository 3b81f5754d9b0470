package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/lab"
)

// runEnv turns the test binary into the demo.
const runEnv = "SLUICE_RUN_DEMO"

func TestMain(m *testing.M) {
	lab.ServeIfAsked()
	if os.Getenv(runEnv) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// output collects what the demo prints while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts the demo.
func start(t *testing.T) (*exec.Cmd, *output) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("root is needed to create network namespaces")
		}
		t.Skip("root is needed to create network namespaces")
	}
	bin := os.Getenv(lab.BinariesEnv)
	if bin == "" {
		bin = t.TempDir()
		if _, err := lab.BuildBinaries("../..", bin); err != nil {
			t.Fatal(err)
		}
	}
	printed := &output{}
	demo := exec.Command(os.Args[0], "-bin", bin, "-document", "../../deploy/examples/demo.yaml")
	demo.Env = append(os.Environ(), runEnv+"=1")
	demo.Stdout, demo.Stderr = printed, printed
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	return demo, printed
}

// labName is the name of the demo's lab.
func (o *output) labName() string {
	_, rest, _ := strings.Cut(o.String(), "lab sluice-")
	number, _, _ := strings.Cut(rest, ":")
	return "sluice-" + number
}

// checkNothingLeft fails where a lab has left something behind.
func checkNothingLeft(t *testing.T, name string) {
	t.Helper()
	if left := lab.Leftovers(name); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if pids := processesOf(t, name); len(pids) > 0 {
		t.Errorf("still running: %q", pids)
	}
}

// TestWhole lets the demo end: nothing broke, and it took no more than two minutes.
func TestWhole(t *testing.T) {
	started := time.Now()
	demo, printed := start(t)
	if err := demo.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if took := time.Since(started); took > 2*time.Minute {
		t.Errorf("it took %s", took)
	}
	for _, want := range []string{"web/web-4", "connections held", "lbd broke nothing"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if t.Failed() {
		t.Logf("it printed:\n%s", printed)
	}
	checkNothingLeft(t, printed.labName())
}

// TestInterrupt presses Ctrl-C in the middle of the demo, while requests are sent and a backend is about to be added: it
// says so, fails, and leaves nothing behind.
func TestInterrupt(t *testing.T) {
	demo, printed := start(t)
	for deadline := time.Now().Add(time.Minute); !strings.Contains(printed.String(), "requests answered"); {
		if time.Now().After(deadline) {
			_ = demo.Process.Kill()
			t.Fatalf("no table within a minute; it printed:\n%s", printed)
		}
		time.Sleep(20 * time.Millisecond)
	}
	name := printed.labName()
	if len(lab.Leftovers(name)) == 0 {
		t.Fatalf("lab %q is not there while the demo runs", name)
	}
	if err := demo.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := demo.Wait(); err == nil || demo.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v, want exit status 1", err)
	}
	if !strings.Contains(printed.String(), "interrupted") {
		t.Errorf("it does not say that it was interrupted; it printed:\n%s", printed)
	}
	checkNothingLeft(t, name)
}

// processesOf lists the processes that have a lab's name on their command line, as lbd and lbagent do.
func processesOf(t *testing.T, name string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, _ := os.ReadFile(file) // a process that has ended
		if bytes.Contains(data, []byte(name+"/")) {
			found = append(found, strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return found
}
