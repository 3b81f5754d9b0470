package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/agent"
)

// flags is the command line.
type flags struct {
	options                 agent.Options
	status, detach, version bool
	verbose                 bool
	output, logFormat       string
}

const usage = `Usage:
  lbagent --vip ADDRESS... --from PREFIX... --interface NAME... [flags]
  lbagent --status [-o table|json]
  lbagent --detach

Takes the outer header off packets that load balancers send to this backend, puts
the VIPs on the loopback interface, sets the sysctls that direct return needs and
keeps the MSS of clients small enough. What it sets up stays when it stops;
--detach takes it away and restores the originals.

Flags:
`

func parseFlags(args []string, stderr io.Writer) (*flags, error) {
	f := &flags{}
	var vips, from, encap []string
	var mss, attach string
	set := pflag.NewFlagSet("lbagent", pflag.ContinueOnError)
	set.SortFlags = false
	set.SetOutput(stderr)
	set.Usage = func() { fmt.Fprint(stderr, usage, set.FlagUsages()) }
	set.StringSliceVar(&vips, "vip", nil, "`ADDRESS` of a VIP, IPv4 or IPv6 (repeatable)")
	set.StringSliceVar(&from, "from", nil, "`PREFIX` that outer headers may come from: the load balancers (repeatable)")
	set.StringSliceVar(&f.options.Interfaces, "interface", nil, "`NAME` of an interface towards load balancers or clients (repeatable)")
	set.StringSliceVar(&encap, "encap", []string{"ipip"}, "how packets come: ipip (IPv4 or IPv6 in either), l2 (as they are), or both")
	set.StringVar(&mss, "mss-clamp", "auto", "largest MSS that VIPs advertise: auto (what fits the MTU), off, or bytes")
	set.StringVar(&attach, "attach", "auto", "kernel hook: auto, tcx (Linux 6.6 and later) or clsact")
	set.StringVar(&f.options.StateDir, "state-dir", agent.DefaultStateDir, "directory for the originals of what is changed")
	set.StringVar(&f.options.BPFFSDir, "bpffs-dir", agent.DefaultBPFFSDir, "directory for pinned links and maps, on a BPF file system")
	set.BoolVar(&f.status, "status", false, "print what is set up, and counters")
	set.StringVarP(&f.output, "output", "o", "table", "form of --status: table or json")
	set.BoolVar(&f.detach, "detach", false, "take everything away and restore the originals")
	set.StringVar(&f.logFormat, "log-format", "text", "text or json")
	set.BoolVarP(&f.verbose, "verbose", "v", false, "log details")
	set.BoolVar(&f.version, "version", false, "print the version")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if err := f.check(set, encap); err != nil {
		return nil, err
	}
	if f.status || f.detach || f.version {
		return f, nil
	}
	return f, f.parseOptions(vips, from, mss, attach)
}

func (f *flags) check(set *pflag.FlagSet, encap []string) error {
	if set.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q (lbagent has flags only)", set.Arg(0))
	}
	if f.status && f.detach {
		return errors.New("flags --status and --detach exclude each other")
	}
	for name, allowed := range map[string][]string{"output": {"table", "json"}, "log-format": {"text", "json"}} {
		if value := set.Lookup(name).Value.String(); !slices.Contains(allowed, value) {
			return fmt.Errorf("flag --%s: %q is not one of %q", name, value, allowed)
		}
	}
	var err error
	if f.options.Encaps, err = agent.ParseEncaps(encap); err != nil {
		return fmt.Errorf("flag --encap: %w", err)
	}
	return nil
}

func (f *flags) parseOptions(vips, from []string, mss, attach string) error {
	for _, s := range vips {
		vip, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("flag --vip: %q is not an address", s)
		}
		f.options.VIPs = append(f.options.VIPs, vip)
	}
	for _, s := range from {
		p, err := parsePrefix(s)
		if err != nil {
			return err
		}
		f.options.From = append(f.options.From, p)
	}
	var err error
	if f.options.MSS, err = agent.ParseMSSClamp(mss); err != nil {
		return fmt.Errorf("flag --mss-clamp: %w", err)
	}
	if f.options.Attach, err = agent.ParseAttachMode(attach); err != nil {
		return fmt.Errorf("flag --attach: %w", err)
	}
	return f.options.Validate()
}

// parsePrefix also takes a bare address, as a prefix of its whole length.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("flag --from: %q is neither a prefix nor an address", s)
	}
	return p, nil
}
