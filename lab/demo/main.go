// Command demo shows Sluice at work: it raises a lab in network namespaces, sends real HTTP requests through a VIP over
// IPv4 and IPv6 and holds connections, adds a backend, drains another, kills lbd and restarts it, and says what broke.
// Needs root, and lbd, lbctl and lbagent beside its own executable. It takes about half a minute and leaves nothing
// behind, unless -keep says so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sluice-lb/sluice/lab"
)

func main() {
	lab.ServeIfAsked()
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	bin := flag.String("bin", filepath.Dir(executable), "directory of lbd, lbctl and lbagent")
	document := flag.String("document", "deploy/examples/demo.yaml", "configuration to apply; must use the lab's addresses")
	keep := flag.Bool("keep", false, "leave the lab up and print commands to try")
	remove := flag.String("remove", "", "remove the lab of this `name`, which was kept, and do nothing else")
	flag.Parse()
	if *remove != "" {
		return lab.Remove(*remove)
	}
	if os.Geteuid() != 0 {
		return errors.New("creating network namespaces: root is needed (try sudo)")
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go cancelOnSignal(cancel)
	d := newDemo(os.Stdout, *document)
	err = d.tell(ctx, *bin)
	if err == nil && *keep {
		return d.keep(executable)
	}
	closing := d.close()
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	return errors.Join(err, closing)
}

// cancelOnSignal ends the story in order at the first signal, and at once at the second.
func cancelOnSignal(cancel func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	<-signals
	cancel()
	<-signals
	if err := lab.RemoveOwned(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(130)
}
