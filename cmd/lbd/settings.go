package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/control/access"
	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

// settings are those of the node: they come from flags and the node's file, and hold until the daemon ends.
type settings struct {
	// interfaces are the managed ones; mode is native, generic or auto.
	interfaces []string
	mode       string
	// api is where the control API listens, apiGroup who may open its sockets besides root.
	api      []string
	apiGroup string
	// tls is for the addresses of the API that are not sockets, roles say who may do what.
	tls   access.Files
	roles []access.Rule
	// auditLog is empty for audit.log in the state directory.
	auditLog string
	// http is where metrics and the read API are served, empty for nowhere; httpHosts are names that requests may be for.
	http      string
	httpHosts []string
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
	api:       []string{"unix:///run/sluice/lbd.sock"},
	http:      "127.0.0.1:9180",
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
		if _, err := parseFlags(&s, args, stderr); err != nil {
			return s, err
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
	f.Func("interface", "`name` of an interface to manage (repeatable)", repeatable(&s.interfaces))
	f.StringVar(&s.mode, "mode", s.mode, "how the program is attached: native, generic or auto")
	f.Func("api", "`address` of the control API: unix:///PATH or HOST:PORT (repeatable; default "+strings.Join(defaults.api, ", ")+")", repeatable(&s.api))
	f.StringVar(&s.http, "http", s.http, "`address` of metrics, read API and page, as HOST:PORT; empty for none")
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

// repeatable collects the values of a flag, instead of those that were there before.
func repeatable(to *[]string) func(string) error {
	var values []string
	return func(v string) error {
		values = append(values, v)
		*to = values
		return nil
	}
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
	return errors.Join(s.validateAPI(), s.validateHTTP(), s.sources.Validate(), s.limits.Validate())
}

// validateAPI has TCP only with certificates: what the API takes decides over all traffic.
func (s settings) validateAPI() error {
	if len(s.api) == 0 {
		return fmt.Errorf("api: no address (leave the field out for %s)", strings.Join(defaults.api, ", "))
	}
	for i, address := range s.api {
		if slices.Contains(s.api[:i], address) {
			return fmt.Errorf("api %q is named twice (remove one)", address)
		}
		if control.IsUnix(address) || s.tls.Cert != "" && s.tls.Key != "" && s.tls.ClientCA != "" {
			continue
		}
		return fmt.Errorf("api %q: is not a socket, and tls is incomplete (set tls: {cert: FILE, key: FILE, client_ca: FILE} in the file of --config, or use unix:///run/sluice/lbd.sock)", address)
	}
	return nil
}

// auditPath is where the audit log is.
func (s settings) auditPath() string {
	if s.auditLog != "" {
		return s.auditLog
	}
	return filepath.Join(s.stateDir, "audit.log")
}

func (s settings) validateHTTP() error {
	if s.http != "" {
		if _, _, err := net.SplitHostPort(s.http); err != nil {
			return fmt.Errorf("http %q: must be HOST:PORT, as in %s, or empty for none", s.http, defaults.http)
		}
	}
	for i, name := range s.httpHosts {
		if name == "" || strings.ContainsAny(name, ":/ *") {
			return fmt.Errorf("http_hosts[%d] %q: must be a name without a port, as in lb1.example.net", i, name)
		}
	}
	return nil
}
