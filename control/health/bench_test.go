package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/lb"
)

// BenchmarkTenThousand checks 10,000 backends every 2 s, as one core must be able to. cores is the CPU time that the
// checker used, the kernel's for its packets included, by the time that passed; the servers are another process.
//
//	go test -run '^$' -bench TenThousand -benchtime 1x ./control/health
func BenchmarkTenThousand(b *testing.B) {
	const backends, window = 10_000, 6 * time.Second
	for _, row := range []struct {
		name  string
		check lb.Health
		// hang tells that the servers are stopped: no check is ever answered.
		hang bool
	}{
		{"tcp", lb.Health{Type: lb.CheckTCP}, false},
		{"http", lb.Health{Type: lb.CheckHTTP}, false},
		{"http-no-answer", lb.Health{Type: lb.CheckHTTP}, true},
	} {
		b.Run(row.name, func(b *testing.B) {
			server, port := startServer(b)
			if row.hang {
				if err := server.Signal(syscall.SIGSTOP); err != nil {
					b.Fatal(err)
				}
			}
			row.check.Port = port
			pools := lb.Config{}
			for i := range backends {
				if i%1000 == 0 {
					pools.Pools = append(pools.Pools, lb.Pool{Name: fmt.Sprint(i / 1000), Health: row.check})
				}
				p := &pools.Pools[len(pools.Pools)-1]
				p.Backends = append(p.Backends, lb.Backend{Name: fmt.Sprint(i), Address: netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})})
			}
			c := New(Options{Log: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan struct{})
			c.Track(pools)
			go func() { c.Run(ctx); close(done) }()
			time.Sleep(3 * time.Second) // the first round, and its consequences
			for b.Loop() {
				measure(b, c, window)
			}
			cancel()
			<-done
		})
	}
}

func measure(b *testing.B, c *Checker, window time.Duration) {
	before, cpu, goroutines, outstanding := c.Snapshot(), cpuTime(b), 0, 0
	for end := time.Now().Add(window); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		goroutines = max(goroutines, runtime.NumGoroutine())
		outstanding = max(outstanding, len(c.running))
	}
	used, after := cpuTime(b)-cpu, c.Snapshot()
	var checks uint64
	for g, n := range after.Results {
		checks += n - before.Results[g]
	}
	b.ReportMetric(used.Seconds()/window.Seconds(), "cores")
	b.ReportMetric(float64(checks)/window.Seconds(), "checks/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(checks), "cpu-ns/check")
	b.ReportMetric(float64(after.Results[Good]-before.Results[Good])/float64(checks), "good/check")
	b.ReportMetric(float64(after.Late-before.Late), "late")
	b.ReportMetric(float64(goroutines), "goroutines")
	b.ReportMetric(float64(outstanding), "outstanding")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// startServer starts TestHelperServer in a process of its own.
func startServer(b *testing.B) (*os.Process, uint16) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperServer$")
	cmd.Env = append(os.Environ(), "SLUICE_HELPER=server")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // its end is the server's end
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGCONT); _ = stdin.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	port, err := strconv.ParseUint(line[:len(line)-1], 10, 16)
	if err != nil {
		b.Fatal(err)
	}
	return cmd.Process, uint16(port)
}

// TestHelperServer is no test: it answers HTTP on all loopback addresses, until its standard input ends.
func TestHelperServer(*testing.T) {
	if os.Getenv("SLUICE_HELPER") != "server" {
		return
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		failed := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), "lo") })
		return errors.Join(failed, err)
	}}
	l, err := config.Listen(context.Background(), "tcp4", "0.0.0.0:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); os.Exit(0) }()
	answer := []byte("HTTP/1.1 200 OK\r\nServer: test\r\nDate: Fri, 02 Jan 2026 12:00:00 GMT\r\nContent-Length: 2\r\n\r\nok")
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			if n, _ := c.Read(make([]byte, 4096)); n > 0 {
				_, _ = c.Write(answer)
			}
			_ = c.Close()
		}()
	}
}
