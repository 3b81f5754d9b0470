// Command lbd is the Sluice daemon: it attaches the data plane, keeps the node's configuration and serves the control
// API. When it ends, by a signal or by accident, the data plane goes on forwarding; lbd --detach removes it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/internal/version"
)

// env is what the daemon takes from outside.
type env struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	// open and detach are the data plane's.
	open   func(settings, opening) (dataplane, error)
	detach func(bpffsDir string) error
	// capable says which capabilities are missing; confine gives up those that only the start needs.
	capable, confine func() error
	// hangup receives when files should be opened again.
	hangup <-chan os.Signal
	pid    int
}

func main() {
	store.VerifyIfAsked()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// A second signal ends the process at once: packets do not need it.
	context.AfterFunc(ctx, stop)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	os.Exit(run(ctx, os.Args[1:], env{
		stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv,
		open: openXDP, detach: detachXDP, capable: checkCapabilities, confine: dropCapabilities,
		hangup: hangup, pid: os.Getpid(),
	}))
}

// run returns the exit code: 0 after a signal, 1 when the daemon could not start or go on, 2 for wrong usage.
func run(ctx context.Context, args []string, e env) int {
	s, err := readSettings(args, e.stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(e.stderr, "lbd: %v\n", err)
		return 2
	case s.showVersion:
		fmt.Fprintf(e.stdout, "lbd %s\n", version.String())
		return 0
	}
	if err := serve(ctx, s, e); err != nil {
		fmt.Fprintf(e.stderr, "lbd: %v\n", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, s settings, e env) error {
	if err := e.capable(); err != nil {
		return err
	}
	if s.detach {
		return e.detach(s.bpffsDir)
	}
	d := daemon{settings: s, env: e, log: newLogger(s, e.stderr)}
	return d.run(ctx)
}

func newLogger(s settings, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if s.verbose {
		o.Level = slog.LevelDebug
	}
	if s.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
