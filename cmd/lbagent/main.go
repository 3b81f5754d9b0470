// Command lbagent is the backend's side of Sluice: it takes the outer header off packets to VIPs and prepares the host
// for direct return.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/agent"
)

// Exit codes.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stderr)
	if errors.Is(err, pflag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "lbagent: %v\n", err)
		return exitUsage
	}
	if err := f.execute(ctx, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "lbagent: %s\n", f.describe(err))
		return exitFailed
	}
	return exitOK
}

func (f *flags) execute(ctx context.Context, stdout, stderr io.Writer) error {
	log := f.logger(stderr)
	switch {
	case f.version:
		_, err := fmt.Fprintln(stdout, "lbagent", version())
		return err
	case f.status:
		return printStatus(stdout, f.options.StateDir, f.output)
	case f.detach:
		return agent.Detach(f.options.StateDir, log)
	}
	o := f.options
	o.Log, o.Version = log, version()
	o.Ready = func() {
		if err := notify("READY=1"); err != nil {
			log.Warn("telling the service manager", "err", err)
		}
	}
	if os.Getenv("WATCHDOG_USEC") != "" {
		// A sign of life is a look at the host that came to its end.
		o.Looked = func() {
			if err := notify("WATCHDOG=1"); err != nil {
				log.Debug("telling the service manager", "err", err)
			}
		}
	}
	err := agent.Run(ctx, o)
	if err == nil {
		log.Info("stopped, decapsulation goes on")
	}
	return err
}

func (f *flags) logger(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if f.verbose {
		o.Level = slog.LevelDebug
	}
	if f.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// describe prints a refusal of the verifier whole with -v only.
func (f *flags) describe(err error) string {
	var refused *ebpf.VerifierError
	if f.verbose && errors.As(err, &refused) {
		return fmt.Sprintf("%v\n%+v", err, refused)
	}
	return err.Error()
}
