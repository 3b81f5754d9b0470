package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/agent"
	"github.com/sluice-lb/sluice/agent/agenttest"
)

const patience = 10 * time.Second

var binary string

// The tests run the real program: built once, as it is shipped, or the one that LBAGENT names where there is no Go.
func TestMain(m *testing.M) {
	if binary = os.Getenv("LBAGENT"); binary != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "lbagent-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "lbagent")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building lbagent:", err)
	} else {
		code = m.Run()
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// kernelSince says whether this kernel is of at least that release.
func kernelSince(t *testing.T, wantMajor, wantMinor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major > wantMajor || major == wantMajor && minor >= wantMinor
}

// hooks are those that this kernel has.
func hooks(t *testing.T) []string {
	t.Helper()
	if kernelSince(t, 6, 6) {
		return []string{"tcx", "clsact"}
	}
	return []string{"clsact"}
}

// host is the backend of a lab and the directories of its agents.
type host struct {
	*agenttest.Lab
	dirs []string // as flags
	bpf  string
}

func mustHost(t *testing.T) *host {
	t.Helper()
	lab := agenttest.MustLab(t)
	dir := t.TempDir()
	h := &host{Lab: lab, bpf: filepath.Join(dir, "bpf")}
	h.dirs = []string{"--state-dir", filepath.Join(dir, "state"), "--bpffs-dir", h.bpf}
	// The first agent mounts it; unmounting lets go of what a failing test has left pinned.
	t.Cleanup(func() { _ = unix.Unmount(h.bpf, unix.MNT_DETACH) })
	return h
}

// both families, on the lab's interface.
var standard = []string{
	"--vip", agenttest.VIPv4.String(), "--vip", agenttest.VIPv6.String(),
	"--from", "10.9.0.0/24", "--from", "fd00:9::/64",
	"--interface", agenttest.BackendDevice,
}

// process is a running agent.
type process struct {
	*exec.Cmd
	log  *buffer
	done chan struct{}
}

type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// start runs an agent and waits until it has told the service manager that it is ready, and alive.
func (h *host) start(t *testing.T, args ...string) *process {
	t.Helper()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	p := &process{Cmd: exec.Command(binary, append(args, h.dirs...)...), log: &buffer{}, done: make(chan struct{})}
	p.Stderr = p.log
	p.Env = append(os.Environ(), "NOTIFY_SOCKET="+manager.LocalAddr().String(), "WATCHDOG_USEC=60000000")
	// The child inherits the namespace of the thread that forks it.
	h.Backend.Do(t, func() { err = p.Start() })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("agent %d:\n%s", p.Process.Pid, p.log)
		}
	})
	if err := manager.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"READY=1", "WATCHDOG=1"} { // the latter after its first look
		message := make([]byte, 64)
		n, err := manager.Read(message)
		if err != nil || string(message[:n]) != want {
			t.Fatalf("agent said %q: %v", message[:n], err)
		}
	}
	return p
}

// mustSay waits for the log, which arrives by a pipe of its own.
func (p *process) mustSay(t *testing.T, part string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q in the log", part), func() bool { return strings.Contains(p.log.String(), part) })
}

func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.done
}

func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatal("agent does not end on SIGTERM")
	}
	if code := p.ProcessState.ExitCode(); code != 0 {
		t.Errorf("agent ended with %d on SIGTERM", code)
	}
}

// run executes the program in the backend's namespace to its end.
func (h *host) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return h.runAs(t, nil, args...)
}

func (h *host) runAs(t *testing.T, who *syscall.Credential, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errors bytes.Buffer
	c := exec.CommandContext(ctx, binary, append(args, h.dirs...)...)
	c.Stdout, c.Stderr = &out, &errors
	c.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	var err error
	h.Backend.Do(t, func() { err = c.Start() })
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	return out.String(), errors.String(), c.ProcessState.ExitCode()
}

func (h *host) mustDetach(t *testing.T) {
	t.Helper()
	if _, stderr, code := h.run(t, "--detach"); code != 0 {
		t.Fatalf("detach: %d\n%s", code, stderr)
	}
}

func (h *host) mustStatus(t *testing.T) agent.Status {
	t.Helper()
	stdout, stderr, code := h.run(t, "--status", "-o", "json")
	var st agent.Status
	if err := json.Unmarshal([]byte(stdout), &st); err != nil || code != 0 {
		t.Fatalf("status: %d %v\n%s%s", code, err, stdout, stderr)
	}
	return st
}

func packets(st agent.Status, v agent.Verdict) (packets, bytes uint64) {
	for _, c := range st.Counters {
		if c.Verdict == v.String() {
			return c.Packets, c.Bytes
		}
	}
	return 0, 0
}

// eventually waits for a state that somebody else brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func mustContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}
