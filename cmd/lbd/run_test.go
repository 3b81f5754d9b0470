package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// memory is a data plane that outlives the daemon in a variable.
type memory struct {
	mu        sync.Mutex
	state     *lb.State
	attached  int
	closed    int
	attachErr error
}

func (m *memory) Published() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == nil {
		return 0
	}
	return m.state.Publication
}

func (m *memory) Adopt(*lb.State) error { return nil }

func (m *memory) Publish(st *lb.State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = st
	return nil
}

func (m *memory) Check(*lb.State) error                     { return nil }
func (m *memory) SetMAC([]uint32, lb.MAC) error             { return nil }
func (m *memory) Activity() (*lb.Activity, error)           { return &lb.Activity{}, nil }
func (m *memory) DropFlows([]lb.Flow) error                 { return nil }
func (m *memory) Repair() error                             { return nil }
func (m *memory) Counters() (lb.Counters, error)            { return lb.Counters{}, nil }
func (m *memory) Info() (lb.DataplaneInfo, error)           { return lb.DataplaneInfo{}, nil }
func (m *memory) Attach() error                             { m.attached++; return m.attachErr }
func (m *memory) Close() error                              { m.closed++; return nil }
func (m *memory) open(settings, opening) (dataplane, error) { return m, nil }

// output is a buffer that the daemon and the test share.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// fixture is a directory for one daemon after another.
type fixture struct {
	dir     string
	dp      *memory
	manager *net.UnixConn // receives what is told to the service manager
	hangup  chan os.Signal
	getenv  map[string]string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir(), dp: &memory{}, hangup: make(chan os.Signal)}
	f.getenv = map[string]string{"NOTIFY_SOCKET": filepath.Join(f.dir, "notify")}
	var err error
	if f.manager, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(f.dir, "notify"), Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.manager.Close() })
	return f
}

func (f *fixture) socket() string { return "unix://" + filepath.Join(f.dir, "lbd.sock") }

func (f *fixture) args() []string {
	return []string{"--interface", "lo", "--state-dir", filepath.Join(f.dir, "state"), "--api", f.socket(), "--bpffs-dir", filepath.Join(f.dir, "bpffs"),
		"--http", "127.0.0.1:0"}
}

func (f *fixture) env(out *output) env {
	return env{stdout: out, stderr: out, open: f.dp.open, capable: func() error { return nil }, confine: func() error { return nil }, pid: os.Getpid(), hangup: f.hangup,
		detach: func(string) error { return errors.New("detached") },
		getenv: func(name string) string { return f.getenv[name] }}
}

// notified waits for what is told to the service manager.
func (f *fixture) notified(t *testing.T, want string) {
	t.Helper()
	buf := make([]byte, 64)
	if err := f.manager.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := f.manager.Read(buf); err != nil || string(buf[:n]) != want {
		t.Fatalf("notified %q, err %v; want %q", buf[:n], err, want)
	}
}

func (f *fixture) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(f.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestLifeOfTheDaemon(t *testing.T) {
	f := newFixture(t)
	for life := range 2 {
		var out output
		ctx, cancel := context.WithCancel(t.Context())
		code := make(chan int, 1)
		go func() { code <- run(ctx, f.args(), f.env(&out)) }()
		f.notified(t, "READY=1")
		conn := f.dial(t)
		health, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
		if err != nil || health.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health %v, err %v", health, err)
		}
		r, err := sluicev1.NewSluiceClient(conn).CreatePool(ctx, &sluicev1.CreatePoolRequest{Pool: &sluicev1.Pool{Name: fmt.Sprintf("p%d", life)}})
		if err != nil || r.GetOutcome().GetRevision() != uint64(life+1) {
			t.Errorf("life %d: %v, err %v", life, r, err)
		}
		readHTTP(t, out.String(), fmt.Sprintf("sluice_revision %d\n", life+1))
		f.secondIsRefused(t)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		f.notified(t, "STOPPING=1")
		if c := <-code; c != 0 {
			t.Errorf("exit code %d:\n%s", c, out.String())
		}
		for _, words := range []string{"ready", "seed_fingerprint=", "map_memory_bytes=", "limit_slots=", "the data plane goes on"} {
			if !strings.Contains(out.String(), words) {
				t.Errorf("the log lacks %q:\n%s", words, out.String())
			}
		}
		mustEnd(t)
	}
	if f.dp.attached != 2 || f.dp.closed != 2 || len(f.dp.state.Config.Pools) != 2 {
		t.Errorf("attached %d and closed %d times, %d pools; want 2, 2, 2", f.dp.attached, f.dp.closed, len(f.dp.state.Config.Pools))
	}
}

// mustTake listens on a port until the test ends.
func mustTake(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

var httpAddress = regexp.MustCompile(`msg="http port open" http=(\S+)`)

// readHTTP finds the http port in the log and the words in the metrics.
func readHTTP(t *testing.T, log, words string) {
	t.Helper()
	m := httpAddress.FindStringSubmatch(log)
	if m == nil {
		t.Fatalf("the log does not tell the http port:\n%s", log)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + m[1] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), words) {
		t.Errorf("the metrics lack %q, err %v:\n%s", words, err, body)
	}
}

func (f *fixture) secondIsRefused(t *testing.T) {
	t.Helper()
	var out output
	args := append(f.args(), "--api", f.socket()+"2")
	if code := run(t.Context(), args, f.env(&out)); code != 1 || !strings.Contains(out.String(), fmt.Sprintf("process id %d", os.Getpid())) {
		t.Errorf("a second daemon: exit code %d, %s", code, out.String())
	}
}

// mustEnd fails where goroutines of the daemon are left.
func mustEnd(t *testing.T) {
	t.Helper()
	var stacks string
	for range 200 {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		ours := strings.Count(stacks, "sluice/control") + strings.Count(stacks, "netlink.") + strings.Count(stacks, "grpc.(*Server)") + strings.Count(stacks, "(*daemon)")
		if ours == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("goroutines are left:\n%s", stacks)
}

func TestStartFails(t *testing.T) {
	for _, row := range []struct {
		name  string
		setup func(t *testing.T, f *fixture, e *env)
		args  []string
		code  int
		want  string
		opens bool // the data plane was opened, and must be closed again
	}{
		{"usage", nil, []string{"--mode", "fast"}, 2, `mode "fast"`, false},
		{"no-capabilities", func(_ *testing.T, _ *fixture, e *env) {
			e.capable = func() error { return errors.New("start: missing CAP_BPF") }
		}, nil, 1, "missing CAP_BPF", false},
		{"host-and-port-without-tls", nil, []string{"--api", "127.0.0.1:0"}, 2, "tls is incomplete", false},
		{"http-port-taken", nil, []string{"--http", mustTake(t)}, 1, "address already in use (use another --http", false},
		{"corrupt-store", func(t *testing.T, f *fixture, _ *env) {
			if err := os.MkdirAll(filepath.Join(f.dir, "state"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(f.dir, "state", "sluice.db"), []byte("rubbish"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, 1, "the data plane is untouched and keeps forwarding", false},
		{"cannot-open", func(_ *testing.T, _ *fixture, e *env) {
			e.open = func(settings, opening) (dataplane, error) { return nil, errors.New("program refused") }
		}, nil, 1, "program refused", false},
		{"unreadable-certificate", nil, []string{"--config", "testdata/tls.yaml"}, 1, "tls.cert: open /nowhere/node.crt", false},
		{"cannot-confine", func(_ *testing.T, _ *fixture, e *env) {
			e.confine = func() error { return errors.New("capabilities stay") }
		}, nil, 1, "capabilities stay", true},
		{"cannot-attach", func(_ *testing.T, f *fixture, _ *env) { f.dp.attachErr = errors.New("interface has another program") }, nil, 1, "another program", true},
		{"foreign-maps", func(_ *testing.T, f *fixture, _ *env) { f.dp.state = &lb.State{Publication: 77} }, nil, 1, "packets see publication 77", true},
		{"detach", nil, []string{"--detach"}, 1, "detached", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFixture(t)
			var out output
			e := f.env(&out)
			if row.setup != nil {
				row.setup(t, f, &e)
			}
			code := run(t.Context(), append(f.args(), row.args...), e)
			if code != row.code || !strings.Contains(out.String(), row.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, row.code, row.want, out.String())
			}
			if opened := f.dp.closed == 1; opened != row.opens {
				t.Errorf("the data plane was opened and closed: %v, want %v", opened, row.opens)
			}
			if _, err := os.Stat(filepath.Join(f.dir, "lbd.sock")); err == nil {
				t.Error("the socket is left")
			}
			mustEnd(t)
		})
	}
}

func TestVersionAndHelp(t *testing.T) {
	f := newFixture(t)
	for arg, want := range map[string]string{"--version": "lbd ", "-h": "--detach"} {
		var out output
		if code := run(t.Context(), []string{arg}, f.env(&out)); code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit code %d, %s", arg, code, out.String())
		}
	}
}
