package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sluice-lb/sluice/lb"
)

var loopbacks = []string{"127.0.0.1", "::1"}

// want checks a result, and that its probe left nothing behind.
func want(t *testing.T, check lb.Health, at netip.AddrPort, grade Grade, detail string) {
	t.Helper()
	if check.Port == 0 && check.Type != lb.CheckICMP {
		check.Port = at.Port()
	}
	if check.Timeout == 0 {
		check.Timeout = 5 * time.Second // only to be reached where the machine is very slow
	}
	r := Probe(t.Context(), Target{at.Addr(), check.WithDefaults()})
	if r.Grade != grade || !strings.Contains(r.Detail, detail) {
		t.Errorf("got %s %q after %s, want %s %q", r.Grade, r.Detail, r.Latency, grade, detail)
	}
	if r.At.IsZero() || r.Latency <= 0 || r.Latency > check.Timeout+time.Second {
		t.Errorf("started %s, took %s with a timeout of %s", r.At, r.Latency, check.Timeout)
	}
}

// serve accepts connections on a loopback address and gives each to handle, which closes it.
func serve(t *testing.T, address string, handle func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(c.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// silent accepts and never answers, until the client goes.
func silent(c *net.TCPConn) {
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

// resets answers with a reset as soon as something was sent.
func resets(c *net.TCPConn) {
	_, _ = c.Read(make([]byte, 1))
	_ = c.SetLinger(0)
	_ = c.Close()
}

// says answers anything with the same bytes and closes.
func says(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, text)
		_ = c.CloseWrite()
		silent(c)
	}
}

// closed is an address where nobody listens.
func closed(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	_ = l.Close()
	return at
}

// full is a listener whose backlog is full: SYNs get no answer.
func full(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*unix.SockaddrInet4).Port))
	for {
		c, err := net.DialTimeout("tcp", at.String(), 100*time.Millisecond)
		if err != nil {
			return at
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

const soon = 150 * time.Millisecond

func TestTCP(t *testing.T) {
	check := lb.Health{Type: lb.CheckTCP}
	for _, address := range loopbacks {
		want(t, check, serve(t, address, silent), Good, "connected")
	}
	want(t, check, closed(t), Soft, "connect: connection refused")
	check.Timeout = soon
	want(t, check, full(t), Silent, "connect: no answer within 150ms")
}

// A new network namespace has no routes.
func TestUnreachableIsHard(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, "a network namespace needs root")
	}
	for _, typ := range lb.CheckTypes {
		t.Run(typ.String(), func(t *testing.T) {
			runtime.LockOSThread() // and never unlocked: the thread ends with the namespace
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				t.Fatal(err)
			}
			want(t, lb.Health{Type: typ, Port: 9, Query: "a.example"}, netip.MustParseAddrPort("10.9.9.9:9"), Hard, "network is unreachable")
		})
	}
}

func TestHTTP(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, row := range []struct {
		name   string
		handle func(*net.TCPConn)
		grade  Grade
		detail string
	}{
		{"ok", says(ok), Good, "status 200"},
		{"no-body", says("HTTP/1.0 204 No Content\r\n\r\n"), Good, "status 204"},
		{"redirect", says("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), Good, "status 302"},
		{"unwell", says("HTTP/1.1 503 Service Unavailable\r\n\r\n"), Soft, "status 503, want 200-399"},
		{"interim", says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + ok), Good, "status 200"},
		{"interim-for-ever", says(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20)), Soft, "more than 8 interim answers"},
		{"body-that-never-comes", says("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), Good, "status 200"},
		{"silent", silent, Soft, "answer: no answer within 150ms"},
		{"head-that-never-ends", says("HTTP/1.1 200 OK\r\nX: 1\r\n"), Soft, "answer: connection closed before the answer was complete"},
		{"endless-head", endless, Soft, "answer: "},
		{"reset", resets, Soft, "connection reset by peer"},
		{"closes", says(""), Soft, "answer: connection closed before the answer was complete"},
		{"garbage", says("\x00\xff SSH-2.0-OpenSSH\r\n\r\n"), Soft, `malformed HTTP`},
		{"long-garbage", says(strings.Repeat("x", 5000) + "\r\n"), Soft, `xxx...`},
	} {
		t.Run(row.name, func(t *testing.T) {
			check := lb.Health{Type: lb.CheckHTTP}
			if row.name == "silent" {
				check.Timeout = soon
			}
			want(t, check, serve(t, "127.0.0.1", row.handle), row.grade, row.detail)
		})
	}
	want(t, lb.Health{Type: lb.CheckHTTP}, serve(t, "::1", says(ok)), Good, "status 200")
	want(t, lb.Health{Type: lb.CheckHTTP}, closed(t), Soft, "connect: connection refused")
}

// endless sends one head for as long as it is read.
func endless(c *net.TCPConn) {
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
	for i := 0; ; i++ {
		if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("y", 1000)); err != nil {
			_ = c.Close()
			return
		}
	}
}

// One byte at a time, each long before the timeout.
func TestSlowHeadIsBoundedByTheTimeout(t *testing.T) {
	at := serve(t, "127.0.0.1", func(c *net.TCPConn) {
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(c, "%c", "HTTP/1.1 200 OK\r\nX: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"[i%50]); err != nil {
				_ = c.Close()
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	want(t, lb.Health{Type: lb.CheckHTTP, Timeout: soon}, at, Soft, "no answer within 150ms")
}

func TestHTTPRequest(t *testing.T) {
	var seen atomic.Int32
	requests := make(chan *http.Request, 10)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		requests <- r.Clone(context.Background())
		http.Redirect(w, r, r.URL.String(), http.StatusFound) // to itself, for ever
	})
	for _, row := range []struct {
		name   string
		server *httptest.Server
		typ    lb.CheckType
	}{
		{"http", httptest.NewServer(handler), lb.CheckHTTP},
		{"https", secureServer(handler), lb.CheckHTTPS},
	} {
		t.Run(row.name, func(t *testing.T) {
			defer row.server.Close()
			seen.Store(0)
			at := row.server.Listener.Addr().(*net.TCPAddr).AddrPort()
			want(t, lb.Health{Type: row.typ, Path: "/healthz?deep=1", Host: "web.example:8443"}, at, Good, "status 302")
			r := <-requests
			if seen.Load() != 1 || r.Method != "GET" || r.URL.String() != "/healthz?deep=1" || r.Host != "web.example:8443" || r.UserAgent() != userAgent {
				t.Errorf("%d requests; %s %s of %s by %s", seen.Load(), r.Method, r.URL, r.Host, r.UserAgent())
			}
			if row.typ == lb.CheckHTTPS && r.TLS.ServerName != "web.example" {
				t.Errorf("TLS server name %q", r.TLS.ServerName)
			}
			want(t, lb.Health{Type: row.typ}, at, Good, "status 302")
			if r := <-requests; r.URL.String() != "/" || r.Host != "127.0.0.1" {
				t.Errorf("by default %s of %s", r.URL, r.Host)
			}
			want(t, lb.Health{Type: row.typ, Expect: lb.StatusRange{Low: 200, High: 299}}, at, Soft, "status 302, want 200-299")
			<-requests
		})
	}
}

// secureServer has a certificate that nobody signed.
func secureServer(h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	return s
}

func TestHTTPSWithoutTLS(t *testing.T) {
	check := lb.Health{Type: lb.CheckHTTPS}
	want(t, check, serve(t, "127.0.0.1", says("HTTP/1.1 400 Bad Request\r\n\r\n")), Soft, "tls: first record does not look like a TLS handshake")
	want(t, check, serve(t, "127.0.0.1", resets), Soft, "tls: connection reset by peer")
	check.Timeout = soon
	want(t, check, serve(t, "127.0.0.1", silent), Soft, "tls: no answer within 150ms")
	if name := serverName("[2001:db8::1]:443"); name != "" {
		t.Errorf("an address became the server name %q", name)
	}
	old := secureServer(http.NotFoundHandler())
	defer old.Close()
	old.TLS.MaxVersion = tls.VersionTLS12
	want(t, lb.Health{Type: lb.CheckHTTPS}, old.Listener.Addr().(*net.TCPAddr).AddrPort(), Soft, "status 404, want 200-399")
}

func TestGRPC(t *testing.T) {
	s := grpc.NewServer()
	states := health.NewServer()
	healthpb.RegisterHealthServer(s, states)
	states.SetServingStatus("down", healthpb.HealthCheckResponse_NOT_SERVING)
	states.SetServingStatus("up", healthpb.HealthCheckResponse_SERVING)
	bare := grpc.NewServer()
	at := serveGRPC(t, s)
	check := func(service string) lb.Health { return lb.Health{Type: lb.CheckGRPC, Service: service} }
	want(t, check(""), at, Good, "SERVING")
	want(t, check("up"), at, Good, "SERVING")
	want(t, check("down"), at, Soft, "NOT_SERVING, want SERVING")
	want(t, check("other"), at, Soft, `grpc-status 5 "unknown service", want 0`)
	want(t, check(""), serveGRPC(t, bare), Soft, `grpc-status 12`)
	want(t, check(""), serve(t, "127.0.0.1", says("HTTP/1.1 400 Bad Request\r\n\r\n")), Soft, "answer: ")
	want(t, check(""), serve(t, "127.0.0.1", says("")), Soft, "answer: connection closed")
	want(t, check(""), serve(t, "127.0.0.1", resets), Soft, "connection reset by peer")
	want(t, check(""), serve(t, "127.0.0.1", settingsForEver), Soft, "no answer in 64 frames")
	want(t, check(""), closed(t), Soft, "connect: connection refused")
	silence := check("")
	silence.Timeout = soon
	want(t, silence, serve(t, "127.0.0.1", silent), Soft, "answer: no answer within 150ms")
}

func serveGRPC(t *testing.T, s *grpc.Server) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = s.Serve(l); close(done) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// settingsForEver speaks HTTP/2 and says nothing.
func settingsForEver(c *net.TCPConn) {
	defer func() { _ = c.Close() }()
	for range 1000 {
		if _, err := c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}); err != nil {
			return
		}
	}
	silent(c)
}

func TestDNS(t *testing.T) {
	reply := func(change func(*dnsmessage.Message)) func([]byte) [][]byte {
		return func(query []byte) [][]byte {
			var m dnsmessage.Message
			if err := m.Unpack(query); err != nil {
				panic(err)
			}
			m.Response = true
			change(&m)
			out, err := m.Pack()
			if err != nil {
				panic(err)
			}
			return [][]byte{out}
		}
	}
	same := reply(func(*dnsmessage.Message) {})
	for _, row := range []struct {
		name   string
		answer func(query []byte) [][]byte
		grade  Grade
		detail string
	}{
		{"ok", same, Good, "NOERROR"},
		{"other-case", reply(func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("WWW.example.") }), Good, "NOERROR"},
		{"no-question", reply(func(m *dnsmessage.Message) { m.Questions = nil; m.RCode = dnsmessage.RCodeRefused }), Soft, "answer REFUSED, want NOERROR"},
		{"unknown-name", reply(func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError }), Soft, "answer NXDOMAIN, want NOERROR"},
		{"odd-code", reply(func(m *dnsmessage.Message) { m.RCode = 9 }), Soft, "answer code 9, want NOERROR"},
		{"another-id", reply(func(m *dnsmessage.Message) { m.ID++ }), Soft, "no answer within 150ms, only a message that is no answer to this query"},
		{"another-question", reply(func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeMX }), Soft, "only an answer to another question"},
		{"echo", func(q []byte) [][]byte { return [][]byte{q} }, Soft, "only a message that is no answer"},
		{"garbage", func([]byte) [][]byte { return [][]byte{[]byte("hello")} }, Soft, "only what is no DNS message"},
		{"garbage-first", func(q []byte) [][]byte { return append([][]byte{{}, []byte("hello")}, same(q)...) }, Good, "NOERROR"},
		{"silent", func([]byte) [][]byte { return nil }, Silent, "answer: no answer within 150ms"},
	} {
		t.Run(row.name, func(t *testing.T) {
			check := lb.Health{Type: lb.CheckDNS, Query: "www.example", Timeout: soon}
			if row.grade == Good {
				check.Timeout = 5 * time.Second
			}
			for _, address := range loopbacks {
				want(t, check, serveUDP(t, address, row.answer), row.grade, row.detail)
			}
		})
	}
	want(t, lb.Health{Type: lb.CheckDNS, Query: "www.example"}, closed(t), Soft, "answer: connection refused")
}

func serveUDP(t *testing.T, address string, answer func([]byte) [][]byte) netip.AddrPort {
	c, err := net.ListenPacket("udp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2000)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, a := range answer(buf[:n]) {
				_, _ = c.WriteTo(a, from)
			}
		}
	}()
	t.Cleanup(func() { _ = c.Close(); <-done })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// mayOpenRaw tells whether icmp checks can work here.
func mayOpenRaw() bool {
	c, err := net.ListenPacket("ip4:icmp", "127.0.0.1")
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func TestICMP(t *testing.T) {
	if !mayOpenRaw() {
		skip(t, "icmp checks need CAP_NET_RAW")
	}
	for _, address := range loopbacks {
		want(t, lb.Health{Type: lb.CheckICMP}, netip.AddrPortFrom(netip.MustParseAddr(address), 0), Good, "echo reply")
	}
}

func skip(t *testing.T, why string) {
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// A fault of this node must not take backends out.
func TestGrades(t *testing.T) {
	for _, row := range []struct {
		err  error
		want Grade
	}{
		{unix.EHOSTUNREACH, Hard}, {unix.ENETUNREACH, Hard}, {unix.ECONNREFUSED, Soft}, {unix.ECONNRESET, Soft},
		{unix.ETIMEDOUT, Soft}, {os.ErrDeadlineExceeded, Soft}, {io.EOF, Soft}, {errors.New("status 500"), Soft},
		{unix.EMFILE, Void}, {unix.ENOBUFS, Void}, {unix.EADDRNOTAVAIL, Void}, {unix.EPERM, Void}, {context.Canceled, Void},
	} {
		wrapped := stepError{"connect", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", row.err)}}
		if got := grade(wrapped); got != row.want {
			t.Errorf("%v is %s, want %s", row.err, got, row.want)
		}
	}
}

// A daemon that ends does not wait for answers.
func TestProbesAreBrokenOff(t *testing.T) {
	stream, datagram := serve(t, "127.0.0.1", silent), serveUDP(t, "127.0.0.1", func([]byte) [][]byte { return nil })
	for _, typ := range []lb.CheckType{lb.CheckHTTP, lb.CheckHTTPS, lb.CheckGRPC, lb.CheckDNS} {
		t.Run(typ.String(), func(t *testing.T) {
			at := stream
			if typ == lb.CheckDNS {
				at = datagram
			}
			check := lb.Health{Type: typ, Port: at.Port(), Query: "a.example", Interval: time.Hour, Timeout: time.Hour}
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			if r := Probe(ctx, Target{at.Addr(), check.WithDefaults()}); r.Grade == Good || r.Latency > 10*time.Second {
				t.Errorf("%s %q after %s", r.Grade, r.Detail, r.Latency)
			}
		})
	}
}

// A daemon that was stopped for a minute finds that all its checks have taken too long.
func TestStallsSayNothingOfBackends(t *testing.T) {
	silent, late := silenceError{stepError{"connect", os.ErrDeadlineExceeded}}, stepError{"answer", os.ErrDeadlineExceeded}
	for _, row := range []struct {
		err     error
		latency time.Duration
		want    Grade
		detail  string
	}{
		{silent, time.Second, Silent, "connect: no answer within 1s"},
		{late, time.Second, Soft, "answer: no answer within 1s"},
		{late, 2100 * time.Millisecond, Soft, "answer: no answer within 1s"},
		{late, 2200 * time.Millisecond, Void, "this node stalled: a check with a timeout of 1s took 2.2s"},
		{silent, time.Minute, Void, "this node stalled: a check with a timeout of 1s took 1m0s"},
		{stepError{"connect", unix.EHOSTUNREACH}, time.Minute, Hard, "connect: no route to host"},
	} {
		if g, detail := judge(row.err, row.latency, time.Second); g != row.want || detail != row.detail {
			t.Errorf("%v after %s is %s %q, want %s %q", row.err, row.latency, g, detail, row.want, row.detail)
		}
	}
}

// A check starts nothing that stays, and gives its sockets back.
func TestProbesLeaveNothing(t *testing.T) {
	targets := []Target{}
	for _, at := range []netip.AddrPort{serve(t, "127.0.0.1", silent), serve(t, "127.0.0.1", says("x")), closed(t)} {
		for _, typ := range lb.CheckTypes {
			check := lb.Health{Type: typ, Port: at.Port(), Query: "a", Timeout: 20 * time.Millisecond}
			targets = append(targets, Target{at.Addr(), check.WithDefaults()})
		}
	}
	round := func() {
		for _, target := range targets {
			Probe(t.Context(), target)
		}
	}
	round()
	files, goroutines := settled(t)
	for range 5 {
		round()
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		f, g := settled(t)
		if f <= files && g <= goroutines {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d files and %d goroutines, %d and %d before", f, g, files, goroutines)
		}
	}
}

func settled(t *testing.T) (files, goroutines int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries), runtime.NumGoroutine()
}
