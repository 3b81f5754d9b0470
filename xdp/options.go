package xdp

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/sluice-lb/sluice/lb"
)

// Mode is how the program is attached.
type Mode uint8

const (
	// ModeNative runs the program in the driver, or fails.
	ModeNative Mode = iota
	// ModeGeneric runs it on socket buffers: for tests and drivers without XDP, many times slower.
	ModeGeneric
	// ModeAuto tries native, then generic with a warning.
	ModeAuto
)

// Modes lists every Mode.
var Modes = []Mode{ModeNative, ModeGeneric, ModeAuto}

// String is the configuration's word for m.
func (m Mode) String() string {
	switch m {
	case ModeNative:
		return "native"
	case ModeGeneric:
		return "generic"
	case ModeAuto:
		return "auto"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// ParseMode accepts what String prints.
func ParseMode(s string) (Mode, error) {
	for _, m := range Modes {
		if s == m.String() {
			return m, nil
		}
	}
	return 0, fmt.Errorf("mode %q: must be one of native, generic, auto", s)
}

// Options are what Open needs to know.
type Options struct {
	// Interfaces are the names of the managed interfaces, at least one and at most MaxInterfaces. They need not exist
	// before Attach.
	Interfaces []string
	// Mode is native unless said otherwise.
	Mode Mode
	// BPFFSDir is the directory for pins, on a bpffs or below /sys/fs/bpf, where one is mounted if there is none.
	BPFFSDir string
	// Seed is the cluster's; the keys of the flow hash come from it.
	Seed lb.Seed
	// Limits are the sizes of the maps. Where they differ from those of the pinned maps, new maps take over.
	Limits lb.Limits
	// SourceEntropy takes the low bits of outer sources from the flow, where a next hop says how many (lb.NextHop.SourceBits).
	// Without it they stay 0.
	SourceEntropy bool
	// UnmatchedDrop drops what is for a VIP's address but for none of its ports, instead of passing it.
	UnmatchedDrop bool
	// CountSeen counts frames at entry too, for tests; see Dataplane.Seen.
	CountSeen bool
	// Log is where warnings go; nil discards them.
	Log *slog.Logger
}

// MaxInterfaces bounds Options.Interfaces.
const MaxInterfaces = int(bpfSizesMAX_INTERFACES)

func (o *Options) validate() error {
	if len(o.Interfaces) == 0 || len(o.Interfaces) > MaxInterfaces {
		return fmt.Errorf("interfaces: got %d, must be 1 to %d", len(o.Interfaces), MaxInterfaces)
	}
	for i, name := range o.Interfaces {
		if slices.Contains(o.Interfaces[:i], name) {
			return fmt.Errorf("interfaces: %q is there twice", name)
		}
	}
	if err := o.Limits.Validate(); err != nil {
		return err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}
