package access_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/sluice-lb/sluice/control/access"
	"github.com/sluice-lb/sluice/internal/certtest"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// api answers who calls, and has a fault.
type api struct {
	sluicev1.UnimplementedSluiceServer
}

func (api) GetStatus(ctx context.Context, _ *sluicev1.GetStatusRequest) (*sluicev1.GetStatusResponse, error) {
	c, ok := access.FromContext(ctx)
	if !ok {
		return nil, errors.New("nobody calls")
	}
	return &sluicev1.GetStatusResponse{Caller: c.Name, Role: c.Role.String()}, nil
}

func (api) DeleteVip(context.Context, *sluicev1.DeleteVipRequest) (*sluicev1.DeleteVipResponse, error) {
	panic("a fault")
}

// output is written by the server's goroutines.
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

// world is a server on a unix socket and on TCP.
type world struct {
	ca           *certtest.CA
	dir          string
	certificates *access.Certificates
	log          *output
	unix, tcp    string
}

func mustWorld(t *testing.T, rules ...access.Rule) *world {
	t.Helper()
	w := &world{ca: certtest.MustCA(t, "Sluice"), dir: t.TempDir(), log: &output{}}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	w.writeNode(t, w.ca)
	w.writeCA(t, w.ca)
	var err error
	if w.certificates, err = access.LoadCertificates(access.Files{Cert: w.path("node.crt"), Key: w.path("node.key"), ClientCA: w.path("ca.crt")}, log); err != nil {
		t.Fatal(err)
	}
	guard, err := access.New(access.Options{Rules: rules, Certificates: w.certificates, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(guard.ServerOptions(1<<20), grpc.UnaryInterceptor(guard.Unary))...)
	sluicev1.RegisterSluiceServer(server, api{})
	t.Cleanup(server.Stop)
	serve := func(network, address string) string {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = server.Serve(access.Limit(l, 3, log)) }() // ends with Stop
		return l.Addr().String()
	}
	w.unix, w.tcp = "unix://"+serve("unix", w.path("api")), serve("tcp", "127.0.0.1:0")
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) writeNode(t *testing.T, ca *certtest.CA) {
	t.Helper()
	pair := ca.MustIssue(t, certtest.Spec{CN: "node", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if _, _, err := pair.Write(w.dir, "node"); err != nil {
		t.Fatal(err)
	}
}

func (w *world) writeCA(t *testing.T, ca *certtest.CA) {
	t.Helper()
	if err := os.WriteFile(w.path("ca.crt"), ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
}

// client connects with what ca signs, and trusts what node signed.
func (w *world) client(t *testing.T, node, ca *certtest.CA, s certtest.Spec, change ...func(*tls.Config)) sluicev1.SluiceClient {
	t.Helper()
	own, err := ca.MustIssue(t, s).TLS()
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{
		RootCAs:              node.Pool(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil },
	}
	for _, f := range change {
		f(config)
	}
	return connect(t, w.tcp, credentials.NewTLS(config))
}

func connect(t *testing.T, address string, c credentials.TransportCredentials) sluicev1.SluiceClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return sluicev1.NewSluiceClient(conn)
}

func who(t *testing.T, c sluicev1.SluiceClient) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := c.GetStatus(ctx, &sluicev1.GetStatusRequest{})
	return s.GetCaller() + " " + s.GetRole(), err
}

var alice = []access.Rule{{Role: access.Editor, Kind: access.CN, Value: "alice"}}

func TestWhoCalls(t *testing.T) {
	w := mustWorld(t, alice...)
	if got, err := who(t, w.client(t, w.ca, w.ca, certtest.Spec{CN: "alice"})); err != nil || got != "tls:alice editor" {
		t.Errorf("tls: %q, %v", got, err)
	}
	got, err := who(t, connect(t, w.unix, insecure.NewCredentials()))
	if err != nil || !strings.HasPrefix(got, "unix:") || !strings.HasSuffix(got, " editor") {
		t.Errorf("unix: %q, %v", got, err)
	}
}

// Processes of other users connect: who they are, and their groups, come from the kernel.
func TestProcessesByTheirCredentials(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("being another user takes root")
		}
		t.Skip("being another user takes root")
	}
	w := mustWorld(t, access.Rule{Role: access.Viewer, Kind: access.GID, Value: "4002"}, access.Rule{Role: access.Operator, Kind: access.UID, Value: "4100"})
	path := strings.TrimPrefix(w.unix, "unix://")
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		uid    int
		groups []uint32
		want   string
	}{
		{4100, nil, "unix:4100 operator"},
		{4101, []uint32{4001, 4002}, "unix:4101 viewer"},
		{4101, []uint32{4001}, "has no role"},
		{4101, append(manyGroups(), 4002), "unix:4101 viewer"},
		{0, nil, "unix:root editor"},
	} {
		conn, err := grpc.NewClient("passthrough:unix", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return dialAs(row.uid, row.groups, path) }))
		if err != nil {
			t.Fatal(err)
		}
		got, err := who(t, sluicev1.NewSluiceClient(conn))
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, row.want) {
			t.Errorf("user %d in %d groups: %q, want %q", row.uid, len(row.groups), got, row.want)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// manyGroups are more than a first question to the kernel has room for.
func manyGroups() (out []uint32) {
	for i := range uint32(300) {
		out = append(out, 5000+i)
	}
	return out
}

// dialAs connects on a thread that is another user for the rest of its life.
func dialAs(uid int, groups []uint32, path string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var first unsafe.Pointer
		if len(groups) > 0 {
			first = unsafe.Pointer(&groups[0])
		}
		steps := []func() syscall.Errno{
			func() syscall.Errno {
				_, _, e := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0)
				return e
			},
			func() syscall.Errno {
				_, _, e := syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(uid), uintptr(uid), uintptr(uid))
				return e
			},
			func() syscall.Errno {
				_, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
				return e
			},
		}
		for _, step := range steps {
			if e := step(); e != 0 {
				err = e
				return
			}
		}
		conn, err = net.Dial("unix", path)
	}()
	<-done
	return conn, err
}

func TestConnectionsThatAreRefused(t *testing.T) {
	other := certtest.MustCA(t, "Other")
	spec := certtest.Spec{CN: "alice"}
	for _, row := range []struct {
		name   string
		client func(t *testing.T, w *world) sluicev1.SluiceClient
		want   string // of the client's error
		log    string // of the node's
	}{
		{"no-tls", func(t *testing.T, w *world) sluicev1.SluiceClient {
			return connect(t, w.tcp, insecure.NewCredentials())
		}, "", "does not look like a TLS handshake"},
		{"no-certificate", func(t *testing.T, w *world) sluicev1.SluiceClient {
			return connect(t, w.tcp, credentials.NewTLS(&tls.Config{RootCAs: w.ca.Pool()}))
		}, "certificate required", "didn't provide a certificate"},
		{"another-ca", func(t *testing.T, w *world) sluicev1.SluiceClient { return w.client(t, w.ca, other, spec) }, "unknown certificate authority", "signed by unknown authority"},
		{"expired", func(t *testing.T, w *world) sluicev1.SluiceClient {
			return w.client(t, w.ca, w.ca, certtest.Spec{CN: "alice", NotAfter: time.Now().Add(-time.Hour)})
		}, "expired certificate", "has expired"},
		{"old-tls", func(t *testing.T, w *world) sluicev1.SluiceClient {
			return w.client(t, w.ca, w.ca, spec, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
		}, "protocol version not supported", "unsupported versions"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := mustWorld(t, alice...) // one refusal a second is logged
			_, err := who(t, row.client(t, w))
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
			eventually(t, func() bool { return strings.Contains(w.log.String(), row.log) }, "the log lacks "+row.log)
		})
	}
}

// A new certificate and a new CA are for new connections; the one that is open goes on.
func TestReloadKeepsConnections(t *testing.T) {
	w := mustWorld(t, alice...)
	old := w.client(t, w.ca, w.ca, certtest.Spec{CN: "alice"})
	if _, err := who(t, old); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.certificates.Run(ctx); close(done) }()
	next := certtest.MustCA(t, "Next")
	w.writeNode(t, next)
	w.writeCA(t, next)
	eventually(t, func() bool { return w.certificates.List()[1].Subject == "CN=Next" }, "the new certificates are not in use")
	cancel()
	<-done
	if got, err := who(t, w.client(t, next, next, certtest.Spec{CN: "alice"})); err != nil || got != "tls:alice editor" {
		t.Errorf("a new connection: %q, %v", got, err)
	}
	if got, err := who(t, old); err != nil || got != "tls:alice editor" {
		t.Errorf("the open connection: %q, %v", got, err)
	}
	if _, err := who(t, w.client(t, next, w.ca, certtest.Spec{CN: "alice"})); err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("a client of the old CA: %v", err)
	}
}

// A connection outlives its certificate, but no call does.
func TestExpiryOnAnOpenConnection(t *testing.T) {
	w := mustWorld(t, alice...)
	c := w.client(t, w.ca, w.ca, certtest.Spec{CN: "alice", NotAfter: time.Now().Add(4 * time.Second)})
	if _, err := who(t, c); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4100 * time.Millisecond) // a certificate's time has whole seconds
	_, err := who(t, c)
	if status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "the certificate of tls:alice expired at") {
		t.Errorf("got %v", err)
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	w := mustWorld(t, alice...)
	c := w.client(t, w.ca, w.ca, certtest.Spec{CN: "alice"})
	_, err := c.DeleteVip(t.Context(), &sluicev1.DeleteVipRequest{Name: "web"})
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "DeleteVip failed by a fault in lbd") {
		t.Errorf("got %v", err)
	}
	if log := w.log.String(); !strings.Contains(log, "call panicked") || !strings.Contains(log, "guard_test.go") {
		t.Errorf("the log has no stack:\n%s", log)
	}
	if _, err := who(t, c); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// One too many is closed at once and does not keep others out for longer than the others are there.
func TestTooManyConnections(t *testing.T) {
	w := mustWorld(t, alice...)
	var open []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", w.tcp)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	eventually(t, func() bool { return closedAtOnce(t, w.tcp) }, "a fourth connection is kept")
	if !strings.Contains(w.log.String(), "too many connections") {
		t.Errorf("not told:\n%s", w.log.String())
	}
	if _, err := who(t, connect(t, w.unix, insecure.NewCredentials())); err != nil {
		t.Errorf("the socket suffers: %v", err)
	}
	for _, c := range open {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, func() bool {
		_, err := who(t, w.client(t, w.ca, w.ca, certtest.Spec{CN: "alice"}))
		return err == nil
	}, "nobody gets in any more")
}

func eventually(t *testing.T, ok func() bool, otherwise string) {
	t.Helper()
	for deadline := time.Now().Add(access.ReloadInterval + 5*time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func closedAtOnce(t *testing.T, address string) bool {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || strings.Contains(err.Error(), "reset")
}
