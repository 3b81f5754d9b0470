package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Defaults of Options.
const (
	DefaultStateDir = "/var/lib/sluice-agent"
	DefaultBPFFSDir = "/sys/fs/bpf/sluice-agent"
)

// Options is what an agent is told.
type Options struct {
	// VIPs are the addresses whose packets are decapsulated. At least one.
	VIPs []netip.Addr
	// Encaps are the ways by which packets come. The zero value is ipip.
	Encaps Encaps
	// From are the sources of outer headers that are trusted: the load balancers. At least one, unless Encaps is l2 alone.
	From []netip.Prefix
	// Interfaces are the names of the Ethernet interfaces that packets arrive on and replies leave by. At least one.
	Interfaces []string
	// MSS says how the MSS of clients is kept small. The zero value is automatic.
	MSS MSSClamp
	// Attach chooses the kernel's hook. The zero value takes tcx where the kernel has it, else clsact.
	Attach AttachMode
	// StateDir holds the originals of what was changed. Empty: DefaultStateDir.
	StateDir string
	// BPFFSDir holds pinned links and maps. Empty: DefaultBPFFSDir.
	BPFFSDir string
	// Version is what `--status` shows of the agent that runs.
	Version string
	// Log receives what changes. Nil: nothing is logged.
	Log *slog.Logger
	// Ready is called once, when everything is set up. May be nil.
	Ready func()
	// Looked is called after each look at the host, every 10 s at least, whether or not all was well. May be nil.
	Looked func()
}

// normalize checks o and fills in the defaults.
func (o Options) normalize() (Options, error) {
	if o.StateDir == "" {
		o.StateDir = DefaultStateDir
	}
	if o.BPFFSDir == "" {
		o.BPFFSDir = DefaultBPFFSDir
	}
	o.StateDir, o.BPFFSDir = filepath.Clean(o.StateDir), filepath.Clean(o.BPFFSDir)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Interfaces = sortedUnique(o.Interfaces, strings.Compare)
	o.VIPs = sortedUnique(o.VIPs, netip.Addr.Compare)
	return o, errors.Join(o.checkVIPs(), o.checkFrom(), o.checkInterfaces())
}

func sortedUnique[T comparable](list []T, compare func(a, b T) int) []T {
	list = slices.Clone(list)
	slices.SortFunc(list, compare)
	return slices.Compact(list)
}

func (o Options) checkVIPs() error {
	if len(o.VIPs) == 0 {
		return errors.New("no VIP (give --vip ADDRESS)")
	}
	for _, vip := range o.VIPs {
		if err := checkVIP(vip); err != nil {
			return err
		}
	}
	return nil
}

func checkVIP(vip netip.Addr) error {
	switch {
	case !vip.IsValid():
		return errors.New("VIP without an address")
	case vip.Is4In6():
		return fmt.Errorf("VIP %q: an IPv4 address in IPv6 form (write %q)", vip, vip.Unmap())
	case vip.Zone() != "":
		return fmt.Errorf("VIP %q: has a zone (leave it away)", vip)
	case !vip.IsGlobalUnicast():
		return fmt.Errorf("VIP %q: not a unicast address that clients could dial", vip)
	}
	return nil
}

// checkFrom wants a source of outer headers where there are any, of either family: each family travels in both.
func (o Options) checkFrom() error {
	if len(o.From) == 0 && o.Encaps.decap() {
		return errors.New("no outer source (give --from PREFIX, the addresses of the load balancers)")
	}
	if len(o.From) > 0 && !o.Encaps.decap() {
		return fmt.Errorf("outer source %q: nothing is taken off with encap l2 alone (leave it out, or give --encap ipip,l2)", o.From[0])
	}
	for _, p := range o.From {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return fmt.Errorf("outer source %q: not a prefix (write %q)", p, p.Masked())
		}
	}
	return nil
}

func (o Options) checkInterfaces() error {
	if len(o.Interfaces) == 0 {
		return errors.New("no interface (give --interface NAME)")
	}
	for _, name := range o.Interfaces {
		if name == "" || len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/ \t\n") {
			return fmt.Errorf("interface %q: not an interface name", name)
		}
	}
	return nil
}

func (o Options) has(v4 bool) bool {
	return slices.ContainsFunc(o.VIPs, func(a netip.Addr) bool { return a.Is4() == v4 })
}

// MSSClamp says how large an MSS the replies of VIPs may advertise.
type MSSClamp struct {
	off   bool
	fixed uint16
}

// ParseMSSClamp reads "auto" (what fits the interface's MTU), "off", or a number of bytes from 536 to 65535.
func ParseMSSClamp(s string) (MSSClamp, error) {
	switch s {
	case "auto":
		return MSSClamp{}, nil
	case "off":
		return MSSClamp{off: true}, nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n < minMSS {
		return MSSClamp{}, fmt.Errorf("MSS clamp %q: not auto, off, or a number from %d to 65535", s, minMSS)
	}
	return MSSClamp{fixed: uint16(n)}, nil
}

// String is what ParseMSSClamp reads.
func (m MSSClamp) String() string {
	switch {
	case m.off:
		return "off"
	case m.fixed != 0:
		return strconv.Itoa(int(m.fixed))
	}
	return "auto"
}

// AttachMode is the kernel's hook for the programs.
type AttachMode int

// The hooks. AttachAuto takes tcx where the kernel has it (6.6 and later), else clsact.
const (
	AttachAuto AttachMode = iota
	AttachTCX
	AttachClsact
)

var attachModes = [...]string{AttachAuto: "auto", AttachTCX: "tcx", AttachClsact: "clsact"}

// String is what ParseAttachMode reads.
func (m AttachMode) String() string { return attachModes[m] }

// ParseAttachMode reads "auto", "tcx" or "clsact".
func ParseAttachMode(s string) (AttachMode, error) {
	if i := slices.Index(attachModes[:], s); i >= 0 {
		return AttachMode(i), nil
	}
	return 0, fmt.Errorf("attach mode %q: not one of %s", s, strings.Join(attachModes[:], ", "))
}

// Validate says what is wrong with o by itself, before the host is looked at.
func (o Options) Validate() error {
	_, err := o.normalize()
	return err
}
