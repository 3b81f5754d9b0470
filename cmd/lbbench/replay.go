package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/bench"
	"github.com/sluice-lb/sluice/lb"
)

const replayHelp = `Replay shows traffic to the real program, inside the kernel, and prints what a packet costs:
raw, and net of an empty program that is fed the same way, beside the floor: a program that
only grows the head, writes a constant outer header and transmits. All three are measured in
turn in one run. The program is loaded and configured but attached to no interface.

Traffic is a capture (--pcap), of which the packets of clients are sent to the VIPs instead,
or generated (--flows). The configuration is made up (--vips, --pools, --backends) or read
from a document (--document). Needs root.`

const replayExamples = `  lbbench replay --flows 1000000
  lbbench replay --flows 1000000 --dist zipf --syn 0.01 --family 6
  lbbench replay --pcap echo.pcap.gz --backends 3 -o json`

// replayFlags is the command line, read.
type replayFlags struct {
	traffic  trafficFlags
	shape    bench.Shape
	document string
	options  bench.Options
	output   string
}

func newReplay() *cobra.Command {
	f := &replayFlags{}
	cmd := &cobra.Command{
		Use:     "replay (--flows N | --pcap FILE)",
		Short:   "Time the program over recorded or generated traffic",
		Long:    replayHelp,
		Example: replayExamples,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd.Flags()); err != nil {
				return usageError{err}
			}
			return f.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	f.traffic.register(flags)
	flags.IntVar(&f.shape.VIPs, "vips", 1, fmt.Sprintf("`number` of VIPs for each family and protocol, to %d", bench.MaxVIPs))
	flags.IntVar(&f.shape.Pools, "pools", 1, fmt.Sprintf("`number` of pools for each family, to %d", bench.MaxPools))
	flags.IntVar(&f.shape.Backends, "backends", 100, fmt.Sprintf("`number` of backends in each pool, to %d", lb.MaxBackends))
	flags.StringVar(&f.document, "document", "", "configuration `file` to use instead of a made-up one")
	flags.IntVar(&f.options.Rounds, "rounds", bench.DefaultRounds, fmt.Sprintf("`number` of rounds, at least %d", bench.MinRounds))
	flags.Uint32Var(&f.options.Repeat, "repeat", 0, fmt.Sprintf("`frames` in a round, at least %d (default: all of the traffic once, at least %d)", bench.MinRepeat, bench.DefaultRepeat))
	flags.IntVar(&f.options.CPU, "cpu", -1, "`CPU` to run on (default: the last one)")
	flags.StringVarP(&f.output, "output", "o", "table", "`format`: table or json")
	return cmd
}

// check finds what is wrong with the flags taken together.
func (f *replayFlags) check(given *pflag.FlagSet) error {
	if given.Changed("flows") == given.Changed("pcap") {
		return errors.New("either --flows or --pcap must be given")
	}
	for _, flag := range []string{"vips", "pools", "backends"} {
		if f.document != "" && given.Changed(flag) {
			return fmt.Errorf("--%s: the configuration is in --document already", flag)
		}
	}
	if f.output != "table" && f.output != "json" {
		return fmt.Errorf("output %q: must be table or json", f.output)
	}
	return f.options.Validate()
}

func (f *replayFlags) run(ctx context.Context, out io.Writer) (err error) {
	source, err := f.traffic.source()
	if err != nil {
		return err
	}
	config, err := f.config(source.kinds)
	if err != nil {
		return err
	}
	stream, err := source.aim(bench.Endpoints(config))
	if err != nil {
		return err
	}
	node, err := bench.Open(config, lb.Seed{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	report, err := bench.Replay(ctx, node.Target(), stream, f.options)
	if err != nil {
		return err
	}
	if f.output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	return report.WriteTable(out)
}

// config reads the document, or makes up a configuration with VIPs for the traffic.
func (f *replayFlags) config(kinds []bench.Kind) (lb.Config, error) {
	if f.document != "" {
		return readDocument(f.document)
	}
	c, err := f.shape.Config(kinds)
	if err != nil {
		return c, usageError{err}
	}
	return c, nil
}
