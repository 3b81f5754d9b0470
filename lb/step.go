package lb

import "fmt"

// Step is something that happened to a packet on its way. The values are those of enum step in xdp/bpf/types.h, in the
// order in which they happen; a test walks both.
type Step uint8

// The steps.
const (
	// StepRead: headers and ports are readable.
	StepRead Step = iota
	// StepVIP: a VIP has the address, port and protocol.
	StepVIP
	// StepSlot: the hash of the flow chose a slot.
	StepSlot
	// StepMoved: the VIP had another pool before, whose flows are kept.
	StepMoved
	// StepLookup: the slot is changing, or the VIP was moved, and the flow table was asked.
	StepLookup
	// StepEntry: it has an entry.
	StepEntry
	// StepEntryDead: of a backend whose flows are lost; it counts for nothing.
	StepEntryDead
	// StepEntryOver: of a flow that is over; this packet opens another one.
	StepEntryOver
	// StepEntryFollow: the packet goes where the entry says.
	StepEntryFollow
	// StepTake: a first packet takes over an entry that counts for nothing.
	StepTake
	// StepInsert: a first packet gets an entry.
	StepInsert
	// StepBypass: it gets none, and goes to the slot's owner all the same, because the previous one fails.
	StepBypass
	// StepHeld: it gets none, and stays with the previous owner.
	StepHeld
	// StepPrevious: the slot's default is its previous owner.
	StepPrevious
	// StepBackend: a backend is selected, and the way to it was asked for.
	StepBackend
	// StepCount is the number of steps, not one of them.
	StepCount
)

var stepNames = [StepCount]string{
	"read", "vip", "slot", "moved", "lookup", "entry", "entry_dead", "entry_over", "entry_follow", "take", "insert", "bypass", "held", "previous", "backend",
}

// String is what users read.
func (s Step) String() string {
	if s < StepCount {
		return stepNames[s]
	}
	return fmt.Sprintf("step(%d)", uint8(s))
}

// Path is the set of steps that a packet took; their order is that of the values.
type Path uint32

// With is the path with one more step.
func (p Path) With(s Step) Path { return p | 1<<s }

// Has tells whether the packet took the step.
func (p Path) Has(s Step) bool { return p&(1<<s) != 0 }

// Steps lists the steps in order.
func (p Path) Steps() []Step {
	var out []Step
	for s := range StepCount {
		if p.Has(s) {
			out = append(out, s)
		}
	}
	return out
}
