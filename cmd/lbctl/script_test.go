package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

var update = flag.Bool("update", false, "write what lbctl prints into testdata")

// noon is the time in all scripts.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// TestScripts runs testdata/*.txt, which show what users see. Each script has a server of its own at the default
// socket. Besides testscript's own commands there are
//
//	lbctl ARGS...        runs lbctl; standard input is the file that STDIN names
//	code N               checks the exit code of the last lbctl
//	fail POOL/NAME       makes a backend fail its health checks
//	server ok|hang|down|drop  answers, never answers, answers that it cannot, or drops watches
//	meanwhile ARGS...    has the next watch run lbctl ARGS once it has told what there is; "pass 1s" lets time pass
//	tls [expired]        serves on TCP, too: $TCP is the address, $PLAIN one where nobody speaks TLS; certificates are files
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("found %d scripts, %v", len(scripts), err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			e.Values["session"] = newSession(e.Defer)
			captures, err := filepath.Abs("../../testdata")
			e.Setenv("CAPTURES", captures)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"lbctl": func(ts *testscript.TestScript, neg bool, args []string) { sessionOf(ts).lbctl(ts, neg, args) },
			"code": func(ts *testscript.TestScript, _ bool, args []string) {
				if got := strconv.Itoa(sessionOf(ts).code); len(args) != 1 || got != args[0] {
					ts.Fatalf("exit code %s, want %v", got, args)
				}
			},
			"tls":       func(ts *testscript.TestScript, _ bool, args []string) { sessionOf(ts).serveTLS(ts, args) },
			"fail":      func(ts *testscript.TestScript, _ bool, args []string) { sessionOf(ts).server.fail(args[0]) },
			"meanwhile": func(ts *testscript.TestScript, _ bool, args []string) { sessionOf(ts).meanwhile(ts, args) },
			"server":    func(ts *testscript.TestScript, _ bool, args []string) { sessionOf(ts).server.setMode(args[0]) },
		},
	})
}

// session is one script's server and what its last lbctl returned.
type session struct {
	server   *server
	listener *bufconn.Listener
	cleanup  func(func())
	code     int
}

func newSession(cleanup func(func())) *session {
	s := &session{server: newServer(), listener: bufconn.Listen(1 << 20), cleanup: cleanup}
	g := grpc.NewServer()
	sluicev1.RegisterSluiceServer(g, s.server)
	go func() { _ = g.Serve(s.listener) }() // ends with Stop
	cleanup(g.Stop)
	return s
}

func sessionOf(ts *testscript.TestScript) *session { return ts.Value("session").(*session) }

func (s *session) lbctl(ts *testscript.TestScript, neg bool, args []string) {
	var stdin bytes.Buffer
	if file := ts.Getenv("STDIN"); file != "" {
		stdin.WriteString(ts.ReadFile(file))
	}
	s.code = run(context.Background(), env{
		stdin: &stdin, stdout: ts.Stdout(), stderr: ts.Stderr(), getenv: ts.Getenv,
		// Scripts run in one process, which has one directory.
		readFile: func(name string) ([]byte, error) { return os.ReadFile(ts.MkAbs(name)) },
		openFile: func(name string) (io.ReadCloser, error) { return os.Open(ts.MkAbs(name)) },
		now:      s.server.now,
		sleep:    func(_ context.Context, d time.Duration) error { s.server.pass(d); return nil },
		dial:     s.dial,
	}, args)
	if failed := s.code != exitOK; failed != neg {
		ts.Fatalf("exit code %d", s.code)
	}
}

// dial reaches the script's server at the default socket, and any other path for real.
func (s *session) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address == "/run/sluice/lbd.sock" {
		return s.listener.DialContext(ctx)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}
