package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

// settings are those of the node: they come from flags and the node's file, and hold until the daemon ends.
type settings struct {
	// interfaces are the managed ones; mode is native, generic or auto.
	interfaces []string
	mode       string
	// api is where the control API listens, apiGroup who may use it besides root.
	api, apiGroup string
	// stateDir holds the store, bpffsDir the pins. seedFile is empty for the state directory's own.
	stateDir, bpffsDir, seedFile string
	// unmatched, pass or drop, is for packets to a VIP's address and none of its ports.
	unmatched string
	limits    lb.Limits
	// history is how many revisions are kept.
	history uint32
	// sources are the prefixes of outer sources; none: the egress interface's address.
	sources lb.OuterSources
	// logFormat is text or json.
	logFormat string
	verbose   bool

	detach, showVersion bool
}

// defaults are the settings of a node of which nothing is said.
var defaults = settings{
	mode:      "native",
	api:       "unix:///run/sluice/lbd.sock",
	stateDir:  "/var/lib/sluice",
	bpffsDir:  "/sys/fs/bpf/sluice",
	unmatched: "pass",
	limits:    lb.DefaultLimits,
	history:   store.DefaultHistory,
	logFormat: "text",
}

// readSettings reads the flags and the file that they name; a flag beats the file.
func readSettings(args []string, stderr io.Writer) (settings, error) {
	s := defaults
	file, err := parseFlags(&s, args, stderr)
	if err != nil {
		return s, err
	}
	if file != "" {
		s = defaults
		data, err := os.ReadFile(file)
		if err != nil {
			return s, fmt.Errorf("read node configuration: %w", err)
		}
		if err := readNodeFile(&s, file, data); err != nil {
			return s, err
		}
		fromFile := s.interfaces
		s.interfaces = nil
		if _, err := parseFlags(&s, args, stderr); err != nil {
			return s, err
		}
		if s.interfaces == nil {
			s.interfaces = fromFile
		}
	}
	return s, s.validate()
}

// parseFlags sets what flags name and leaves everything else alone.
func parseFlags(s *settings, args []string, stderr io.Writer) (file string, err error) {
	f := flag.NewFlagSet("lbd", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintf(stderr, "Usage: lbd --interface NAME [flags]\n       lbd --config node.yaml [flags]\n       lbd --detach [--bpffs-dir DIR]\n\nFlags:\n")
		f.PrintDefaults()
	}
	f.StringVar(&file, "config", "", "the node's `file`; flags beat it")
	f.Func("interface", "`name` of an interface to manage (repeatable)", func(name string) error {
		s.interfaces = append(s.interfaces, name)
		return nil
	})
	f.StringVar(&s.mode, "mode", s.mode, "how the program is attached: native, generic or auto")
	f.StringVar(&s.api, "api", s.api, "`address` of the control API")
	f.StringVar(&s.stateDir, "state-dir", s.stateDir, "`directory` of the store")
	f.StringVar(&s.bpffsDir, "bpffs-dir", s.bpffsDir, "`directory` of the pins, on a bpffs")
	f.StringVar(&s.seedFile, "seed-file", s.seedFile, "`file` with the cluster's seed, 32 hex digits (default: generated in the state directory)")
	f.StringVar(&s.logFormat, "log-format", s.logFormat, "text or json")
	f.BoolVar(&s.verbose, "v", s.verbose, "log more")
	f.BoolVar(&s.detach, "detach", false, "remove the data plane: interfaces, maps and counters; the store stays")
	f.BoolVar(&s.showVersion, "version", false, "print the version")
	if err := f.Parse(args); err != nil {
		return "", err
	}
	if f.NArg() > 0 {
		return "", fmt.Errorf("argument %q is not expected (see lbd -h)", f.Arg(0))
	}
	return file, nil
}

func (s settings) validate() error {
	if s.detach || s.showVersion {
		return nil
	}
	if len(s.interfaces) == 0 {
		return fmt.Errorf("no interfaces (name one with --interface, or list them under interfaces: in the file of --config)")
	}
	for i, name := range s.interfaces {
		if slices.Contains(s.interfaces[:i], name) {
			return fmt.Errorf("interface %q is named twice (remove one)", name)
		}
	}
	for _, word := range []struct {
		name, value string
		words       []string
	}{
		{"mode", s.mode, []string{"native", "generic", "auto"}},
		{"unmatched", s.unmatched, []string{"pass", "drop"}},
		{"log-format", s.logFormat, []string{"text", "json"}},
	} {
		if !slices.Contains(word.words, word.value) {
			return fmt.Errorf("%s %q: must be one of %s", word.name, word.value, strings.Join(word.words, ", "))
		}
	}
	if s.history < store.MinHistory {
		return fmt.Errorf("history %d: must be at least %d (the newest revision, and the one to go back to)", s.history, store.MinHistory)
	}
	if err := s.sources.Validate(); err != nil {
		return err
	}
	return s.limits.Validate()
}
