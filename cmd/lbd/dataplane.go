package main

import (
	"fmt"
	"log/slog"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
)

// dataplane is what the daemon needs of the data plane beyond what control does. This file alone knows package xdp.
type dataplane interface {
	control.Dataplane
	// Attach makes packets meet it.
	Attach() error
	// Close leaves it running.
	Close() error
}

// opening is what is known only when the data plane is opened.
type opening struct {
	seed lb.Seed
	log  *slog.Logger
}

func openXDP(s settings, o opening) (dataplane, error) {
	mode, err := xdp.ParseMode(s.mode)
	if err != nil {
		return nil, err
	}
	// Not returned as it is: a nil *xdp.Dataplane would be a dataplane that is not nil.
	d, err := xdp.Open(xdp.Options{
		Interfaces:    s.interfaces,
		Mode:          mode,
		BPFFSDir:      s.bpffsDir,
		Seed:          o.seed,
		Limits:        s.limits,
		SourceEntropy: s.sources != lb.OuterSources{},
		UnmatchedDrop: s.unmatched == "drop",
		Log:           o.log.With("component", "xdp"),
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func detachXDP(bpffsDir string) error {
	if err := xdp.Detach(bpffsDir); err != nil {
		return fmt.Errorf("detach %q: %w", bpffsDir, err)
	}
	return nil
}
