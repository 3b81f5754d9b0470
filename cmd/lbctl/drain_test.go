package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/document"
	"github.com/sluice-lb/sluice/lb"
)

const drainDocument = `
version: 1
pools:
  - name: web
    backends:
      - {name: a, address: 10.9.3.2}
      - {name: b, address: 10.9.4.2}
`

// TestDrainWait has something else happen after the first look.
func TestDrainWait(t *testing.T) {
	setAdmin := func(a lb.Admin) func(*server) {
		return func(s *server) { s.config.Pools[0].Backends[0].Admin = a }
	}
	for _, row := range []struct {
		name      string
		meanwhile func(*server)
		interrupt bool
		code      int
		want      string // the last line
	}{
		{"interrupted", nil, true, exitFailed, "lbctl: interrupted: the drain of web/a goes on (end it with lbctl undrain web/a)"},
		{"undrained", setAdmin(lb.AdminEnabled), false, exitFailed, "lbctl: web/a is enabled now: the drain did not end"},
		{"disabled", setAdmin(lb.AdminDisabled), false, exitFailed, "lbctl: web/a is disabled now: the drain did not end"},
		{"removed", func(s *server) {
			before := s.config.Normalize()
			s.config.Pools[0].Backends = s.config.Pools[0].Backends[1:]
			s.motion.note(before, s.config, s.clock)
		}, false, exitOK, "web/a: after 5s: it was removed, and the last flow is gone"},
		{"restarted", func(s *server) { s.mode = "down" }, false, exitOK, "web/a: after 4s: the last flow is gone: silent for drain_idle"},
		{"gone", func(s *server) { s.mode = "down for good" }, false, exitFailed, "lbctl: publish revision 1: no space in the map (raise limits.slots)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSession(t.Cleanup)
			config, err := document.Parse("web.yaml", []byte(drainDocument))
			if err != nil {
				t.Fatal(err)
			}
			s.server.config, s.server.revision = config.Normalize(), 1
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			polls := 0
			sleep := func(_ context.Context, d time.Duration) error {
				s.server.pass(d)
				if polls++; polls == 1 {
					s.server.mu.Lock()
					defer s.server.mu.Unlock()
					if row.meanwhile != nil {
						row.meanwhile(s.server)
					}
					if row.interrupt {
						cancel()
					}
				} else if polls == 3 && s.server.mode == "down" {
					s.server.setMode("ok")
				}
				return ctx.Err()
			}
			var stdout, stderr bytes.Buffer
			code := run(ctx, env{
				stdin: &bytes.Buffer{}, stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" },
				now: s.server.now, sleep: sleep, dial: s.dial,
			}, []string{"drain", "web/a", "--wait"})
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			if last := lines[len(lines)-1]; code != row.code || last != row.want {
				t.Errorf("exit code %d, %q, want %d, %q; all of it:\n%s", code, last, row.code, row.want, stderr.String())
			}
		})
	}
}
