package lb

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Explanation is what becomes of one packet, and why. It is a value: the data plane and the twin fill it in, and it tells
// its story without either.
type Explanation struct {
	// Interface is the name of the interface that the packet was taken to come in by.
	Interface string
	// ProgramTag identifies the program that explained, LiveTag the one that is live on Interface; empty where none is, and
	// "(program ID)" where it may not be asked. They are equal unless a program of another release is attached.
	ProgramTag, LiveTag string

	// Flow is what the packet says of itself; the zero value where it cannot be read.
	Flow Flow
	// Length is the IP packet's in bytes.
	Length int
	// First tells that it opens a connection: TCP with SYN and without ACK.
	First bool

	// Path is the way that the packet took.
	Path    Path
	Verdict Verdict
	Action  Action
	// VIP and Pool are names, empty where the packet is for none. PreviousPool is the one that the VIP had before, where its
	// flows are kept.
	VIP, Pool, PreviousPool string

	// What follows is the zero value unless Path has StepSlot. Hash is the flow's, Slot its slot of Slots in the pool.
	Hash        uint64
	Slot, Slots uint32
	// State is the slot's, by the flags of its Word. PreviousWord is only read where the flow table is asked.
	State              SlotKind
	Word, PreviousWord uint32
	// Owner and Previous are keys (State.Layout.Backends) of the backends that the two words name, empty where nobody is.
	Owner, Previous string
	// Entry is the flow table's; only where Path has StepEntry.
	Entry ExplainedEntry

	// Backend is the key of the backend that was selected, empty where none was; Address, Encap and Hop are its.
	Backend string
	Address netip.Addr
	Encap   Encap
	Hop     NextHop

	// Frame is the frame as it leaves or goes on to the host.
	Frame []byte
}

// ExplainedEntry is an entry of the flow tables.
type ExplainedEntry struct {
	// Backend is a key; empty where the backend is gone.
	Backend string
	State   FlowState
	// Age is the time since its last packet, to about a second.
	Age time.Duration
}

// Inserted tells whether an entry for the flow would be made.
func (e Explanation) Inserted() bool { return e.Path.Has(StepInsert) }

// Held tells whether the packet would stay with the previous owner for want of an entry.
func (e Explanation) Held() bool { return e.Path.Has(StepHeld) }

// Sent tells whether the packet leaves for a backend.
func (e Explanation) Sent() bool { return e.Action == ActionTX || e.Action == ActionRedirect }

// StoryLine is one step as a user reads it.
type StoryLine struct{ Step, Text string }

// Story tells what was asked, what was found and why, a line for each step. The last lines are the verdict, what left,
// and what an operator can do.
func (e Explanation) Story() []StoryLine {
	lines := []StoryLine{{StepRead.String(), e.tellRead()}}
	for _, step := range e.Path.Steps() {
		if tell := tellers[step]; tell != nil {
			lines = append(lines, StoryLine{step.String(), tell(e)})
		}
	}
	return append(lines, e.tellEnd()...)
}

// storyIndent is the width of the column of steps.
const storyIndent = 14

// String is the story with a line for each step.
func (e Explanation) String() string {
	var b strings.Builder
	for _, line := range e.Story() {
		fmt.Fprintf(&b, "%-*s%s\n", storyIndent, line.Step, line.Text)
	}
	return b.String()
}

func (e Explanation) tellRead() string {
	if !e.Path.Has(StepRead) {
		return fmt.Sprintf("in by %s: the headers do not say who talks to whom", e.Interface)
	}
	kind := ""
	switch {
	case e.First:
		kind = ", a first packet (SYN)"
	case e.Flow.Protocol == TCP:
		kind = ", not the first of its connection"
	}
	return fmt.Sprintf("in by %s: %s from %s to %s%s, %d bytes", e.Interface, e.Flow.Protocol, e.Flow.Source, e.Flow.Destination, kind, e.Length)
}

// tellers say what a step found; StepRead is told even where it was not taken.
var tellers = [StepCount]func(Explanation) string{
	StepVIP: func(e Explanation) string {
		return fmt.Sprintf("%s, %s port %d is vip %q, which pool %q answers", e.Flow.Destination.Addr(), e.Flow.Protocol,
			e.Flow.Destination.Port(), e.VIP, e.Pool)
	},
	StepSlot: Explanation.tellSlot,
	StepMoved: func(e Explanation) string {
		if e.Flow.Protocol != TCP {
			return fmt.Sprintf("the vip had pool %q before; only TCP connections are kept there", e.PreviousPool)
		}
		return fmt.Sprintf("the vip had pool %q before: connections from then stay with %s", e.PreviousPool, nobody(e.Previous))
	},
	StepLookup: func(e Explanation) string {
		why := "the slot is changing"
		if e.Path.Has(StepMoved) {
			why = "the vip was moved"
		}
		if e.Path.Has(StepEntry) {
			return why + ", so the flow table was asked: the flow has an entry"
		}
		return why + ", so the flow table was asked: the flow has no entry"
	},
	StepEntry: func(e Explanation) string {
		return fmt.Sprintf("of %s, %s, its last packet %s ago", nobody(e.Entry.Backend), e.Entry.State, e.Entry.Age.Round(time.Second))
	},
	StepEntryDead: func(Explanation) string { return "counts for nothing: the flows of that backend are lost" },
	StepEntryOver: func(Explanation) string {
		return "counts for nothing: that connection is over, and this SYN opens another"
	},
	StepEntryFollow: func(e Explanation) string {
		return "the packet goes where the entry says, so that the connection stays on " + nobody(e.Entry.Backend)
	},
	StepTake: func(e Explanation) string {
		return fmt.Sprintf("the entry would become that of the new connection, which goes to %s and stays there", nobody(e.Owner))
	},
	StepInsert: func(e Explanation) string {
		return fmt.Sprintf("an entry would be made: the new connection goes to %s and stays there", nobody(e.Owner))
	},
	StepBypass: func(e Explanation) string {
		return fmt.Sprintf("no entry could be made (table full, or too many new flows), but %s fails: the new connection goes to %s",
			nobody(e.Previous), nobody(e.Owner))
	},
	StepHeld: func(Explanation) string {
		return "no entry could be made (table full, or too many new flows): the new connection is held back with the previous owner"
	},
	StepPrevious: func(e Explanation) string {
		return fmt.Sprintf("without an entry it stays with the previous owner, %s, which may know the connection", nobody(e.Previous))
	},
	StepBackend: Explanation.tellBackend,
}

func (e Explanation) tellSlot() string {
	text := fmt.Sprintf("hash %016x chose slot %d of %d: %s, owned by %s", e.Hash, e.Slot, e.Slots, e.State, nobody(e.Owner))
	switch {
	case e.State != SlotStable && e.Flow.Protocol != TCP:
		text += " (UDP flows move with their slot)"
	case e.State == SlotTransition && !e.Path.Has(StepMoved):
		text += ", before by " + nobody(e.Previous)
	}
	return text
}

func (e Explanation) tellBackend() string {
	text := fmt.Sprintf("%s at %s by %s: ", e.Backend, e.Address, e.Encap)
	switch {
	case !e.Hop.Routed():
		return text + "there is no route to it"
	case e.Hop.MAC.IsZero():
		return text + fmt.Sprintf("next hop on %s, whose link-layer address is not known", e.Hop.Interface)
	}
	return text + fmt.Sprintf("next hop %s on %s, MTU %d", e.Hop.MAC, e.Hop.Interface, e.Hop.MTU)
}

// nobody names a backend, or says that there is none.
func nobody(key string) string {
	if key == "" {
		return "nobody"
	}
	return key
}

func (e Explanation) tellEnd() []StoryLine {
	lines := []StoryLine{{"verdict", fmt.Sprintf("%s, %s: %s", e.Verdict, e.Action, e.Verdict.Info().Help)}}
	if e.Sent() {
		lines = append(lines, StoryLine{"out", e.Outer()})
	}
	if remedy := e.Verdict.Remedy(); remedy != "" {
		lines = append(lines, StoryLine{"remedy", remedy})
	}
	return append(lines, StoryLine{"program", e.tellProgram()})
}

func (e Explanation) tellProgram() string {
	switch e.LiveTag {
	case e.ProgramTag:
		return fmt.Sprintf("tag %s, the one that is live on %s", e.ProgramTag, e.Interface)
	case "":
		return fmt.Sprintf("tag %s; none is live on %s, whose packets therefore all go to the host", e.ProgramTag, e.Interface)
	}
	return fmt.Sprintf("tag %s, but tag %s is live on %s and may decide otherwise", e.ProgramTag, e.LiveTag, e.Interface)
}

// Outer describes the headers of the frame that leaves, up to the client's packet; empty where none leaves.
func (e Explanation) Outer() string {
	f := e.Frame
	if !e.Sent() || len(f) < 14 {
		return ""
	}
	text := fmt.Sprintf("%s > %s", MAC(f[6:12]), MAC(f[:6]))
	switch p := f[14:]; {
	case e.Address.Is4() && f[12] == 0x08 && len(p) >= 20 && netip.AddrFrom4([4]byte(p[16:20])) == e.Address:
		text += fmt.Sprintf(", %s > %s, protocol %d, TTL %d", netip.AddrFrom4([4]byte(p[12:16])), e.Address, p[9], p[8])
	case e.Address.Is6() && f[12] == 0x86 && len(p) >= 40 && netip.AddrFrom16([16]byte(p[24:40])) == e.Address:
		text += fmt.Sprintf(", %s > %s, protocol %d, hop limit %d", netip.AddrFrom16([16]byte(p[8:24])), e.Address, p[6], p[7])
	}
	return text + fmt.Sprintf(", %d bytes", len(f))
}

// Read fills in what the frame says of itself, as far as it can be read.
func (e *Explanation) Read(frame []byte) {
	if p, verdict := parseFrame(frame); verdict == VerdictNext {
		e.Flow, e.Length, e.First = p.flow, p.length, p.syn
	}
}

// Select fills in the backend that was selected, by its key in state.
func (e *Explanation) Select(state *State, key string) {
	place := state.Layout.Backends[key]
	e.Backend, e.Address, e.Encap, e.Hop = key, place.Address, place.Encap, place.Hop
}

// SlotKindOf is the kind that the flags of a slot word stand for.
func SlotKindOf(word uint32) SlotKind {
	switch {
	case word&SlotPrevious != 0:
		return SlotTransition
	case word&SlotLookup != 0:
		return SlotPinned
	}
	return SlotStable
}
