package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/sluice-lb/sluice/internal/certtest"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// The API on a socket and on TCP at once: the same daemon, each caller with a role of its own; SIGHUP after the audit log
// and the certificates have moved.
func TestSocketAndTCP(t *testing.T) {
	f := newFixture(t)
	ca := certtest.MustCA(t, "Sluice")
	address := freeAddress(t)
	f.writeTLS(t, ca, address)
	var out output
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	args := append(f.args(), "--config", filepath.Join(f.dir, "node.yaml"), "--api", address)
	go func() { code <- run(ctx, args, f.env(&out)) }()
	f.notified(t, "READY=1")

	local := f.dial(t)
	defer local.Close()
	remote := dialTLS(t, ca, address, "monitor")
	defer remote.Close()
	for conn, want := range map[*grpc.ClientConn]string{local: "editor", remote: "viewer"} {
		s, err := sluicev1.NewSluiceClient(conn).GetStatus(ctx, &sluicev1.GetStatusRequest{})
		if err != nil || s.GetRole() != want || len(s.GetCertificates()) != 2 {
			t.Errorf("%s: %v, err %v", want, s, err)
		}
	}
	if _, err := sluicev1.NewSluiceClient(remote).CreatePool(ctx, &sluicev1.CreatePoolRequest{Pool: &sluicev1.Pool{Name: "p"}}); err == nil ||
		!strings.Contains(err.Error(), "tls:monitor has role viewer, CreatePool needs editor") {
		t.Errorf("a viewer creates a pool: %v", err)
	}
	f.rotated(t, ca, local)
	cancel()
	f.notified(t, "STOPPING=1")
	if c := <-code; c != 0 {
		t.Errorf("exit code %d:\n%s", c, out.String())
	}
	if !strings.Contains(out.String(), "certificates reloaded") {
		t.Errorf("the log does not tell of the new certificate:\n%s", out.String())
	}
	mustEnd(t)
}

// rotated moves the audit log away, brings a new certificate and sends SIGHUP.
func (f *fixture) rotated(t *testing.T, ca *certtest.CA, local *grpc.ClientConn) {
	t.Helper()
	log := filepath.Join(f.dir, "state", "audit.log")
	if err := os.Rename(log, log+".old"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.MustIssue(t, certtest.Spec{CN: "next"}).Write(f.dir, "node"); err != nil {
		t.Fatal(err)
	}
	f.hangup <- syscall.SIGHUP
	f.hangup <- syscall.SIGHUP // taken only after the first has been served
	if _, err := sluicev1.NewSluiceClient(local).CreatePool(t.Context(), &sluicev1.CreatePoolRequest{Pool: &sluicev1.Pool{Name: "q"}}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{log + ".old": `"caller":"tls:monitor","role":"viewer"`, log: `"object":"pool/q","outcome":"ok"`} {
		if data, err := os.ReadFile(path); err != nil || strings.Count(string(data), "\n") != 1 || !strings.Contains(string(data), want) {
			t.Errorf("%s: %s, err %v; want one line with %s", path, data, err, want)
		}
	}
}

func (f *fixture) writeTLS(t *testing.T, ca *certtest.CA, address string) {
	t.Helper()
	pair := ca.MustIssue(t, certtest.Spec{CN: "node", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	cert, key, err := pair.Write(f.dir, "node")
	if err != nil {
		t.Fatal(err)
	}
	clients := filepath.Join(f.dir, "ca.crt")
	text := fmt.Sprintf("tls: {cert: %s, key: %s, client_ca: %s}\nroles:\n  viewer: [cn:monitor]\n", cert, key, clients)
	for path, data := range map[string][]byte{clients: ca.PEM, filepath.Join(f.dir, "node.yaml"): []byte(text)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// freeAddress is one that nobody uses: a moment ago the kernel chose it for us.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func dialTLS(t *testing.T, ca *certtest.CA, address, cn string) *grpc.ClientConn {
	t.Helper()
	own, err := ca.MustIssue(t, certtest.Spec{CN: cn}).TLS()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: ca.Pool(), Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13,
	})))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// The service manager hears of life for as long as the data plane takes changes, and no longer.
func TestWatchdog(t *testing.T) {
	f := newFixture(t)
	f.getenv["WATCHDOG_USEC"] = "150000"
	f.getenv["WATCHDOG_PID"] = fmt.Sprint(os.Getpid())
	var out output
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- run(ctx, f.args(), f.env(&out)) }()
	f.notified(t, "READY=1")
	for range 3 {
		f.notified(t, "WATCHDOG=1")
	}
	f.dp.mu.Lock() // the data plane does not come back from the next publication
	conn := f.dial(t)
	stuck := make(chan error, 1)
	go func() {
		_, err := sluicev1.NewSluiceClient(conn).CreatePool(ctx, &sluicev1.CreatePoolRequest{Pool: &sluicev1.Pool{Name: "p"}})
		stuck <- err
	}()
	eventually(t, func() bool { return strings.Contains(out.String(), "no sign of life") })
	f.drain(t)
	time.Sleep(200 * time.Millisecond)
	if got := f.drain(t); got != 0 {
		t.Errorf("%d signs of life of a daemon that is stuck", got)
	}
	f.dp.mu.Unlock()
	f.notified(t, "WATCHDOG=1")
	if err := <-stuck; err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d:\n%s", c, out.String())
	}
	mustEnd(t)
}

func TestWatchdogIntervals(t *testing.T) {
	for _, row := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"30000000", "", 30 * time.Second}, {"30000000", "7", 30 * time.Second}, {"30000000", "8", 0}, {"0", "7", 0}, {"soon", "7", 0},
	} {
		d := daemon{env: env{pid: 7, getenv: func(name string) string {
			return map[string]string{"WATCHDOG_USEC": row.usec, "WATCHDOG_PID": row.pid}[name]
		}}}
		if got := d.watchdogInterval(); got != row.want {
			t.Errorf("%+v: got %s", row, got)
		}
	}
}

// drain throws away what was told to the service manager and counts it.
func (f *fixture) drain(t *testing.T) (n int) {
	t.Helper()
	for buf := make([]byte, 64); ; n++ {
		if err := f.manager.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.manager.Read(buf); err != nil {
			return n
		}
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never happens")
		}
	}
}
