package lb

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var explainedFlow = Flow{
	Source: netip.MustParseAddrPort("203.0.113.7:40000"), Destination: netip.MustParseAddrPort("198.51.100.10:80"), Protocol: TCP,
}

// explained is a packet on its way to a backend; rows change it.
func explained() Explanation {
	return Explanation{
		Interface: "eth0", ProgramTag: "aa", LiveTag: "aa", Flow: explainedFlow, Length: 40,
		Path: Path(0).With(StepRead).With(StepVIP).With(StepSlot).With(StepBackend), Verdict: VerdictForwarded, Action: ActionTX,
		VIP: "web", Pool: "pool", Hash: 0x123456789abcdef, Slot: 5, Slots: 1024, Owner: "pool/b", Backend: "pool/b",
		Address: netip.MustParseAddr("10.9.3.2"),
		Hop: NextHop{
			Interface: "eth0", Source: netip.MustParseAddr("10.9.0.2"), MTU: 1500, MAC: MAC{2, 0, 0, 0, 0, 1},
		},
	}
}

// TestStories checks the words of each step, where it occurs.
func TestStories(t *testing.T) {
	changing := func(e *Explanation, steps ...Step) {
		e.State, e.Previous, e.Path = SlotTransition, "pool/a", e.Path.With(StepLookup)
		for _, s := range steps {
			e.Path = e.Path.With(s)
		}
	}
	entry := func(e *Explanation, steps ...Step) {
		changing(e, append(steps, StepEntry)...)
		e.Entry = ExplainedEntry{Backend: "pool/c", State: FlowEstablished, Age: 3 * time.Second}
	}
	for name, row := range map[string]struct {
		edit func(*Explanation)
		want string // lines, without the ones that all have
	}{
		"stable":       {func(*Explanation) {}, "slot hash 0123456789abcdef chose slot 5 of 1024: stable, owned by pool/b"},
		"open":         {func(*Explanation) {}, "read in by eth0: tcp from 203.0.113.7:40000 to 198.51.100.10:80, not the first of its connection, 40 bytes"},
		"first":        {func(e *Explanation) { e.First = true }, "read in by eth0: tcp from 203.0.113.7:40000 to 198.51.100.10:80, a first packet (SYN), 40 bytes"},
		"vip":          {func(*Explanation) {}, `vip 198.51.100.10, tcp port 80 is vip "web", which pool "pool" answers`},
		"unread":       {func(e *Explanation) { e.Path = 0 }, "read in by eth0: the headers do not say who talks to whom"},
		"nobody":       {func(e *Explanation) { e.Owner = "" }, "slot hash 0123456789abcdef chose slot 5 of 1024: stable, owned by nobody"},
		"udp":          {func(e *Explanation) { e.State, e.Flow.Protocol = SlotPinned, UDP }, "slot hash 0123456789abcdef chose slot 5 of 1024: pinned, owned by pool/b (UDP flows move with their slot)"},
		"transition":   {func(e *Explanation) { changing(e) }, "slot hash 0123456789abcdef chose slot 5 of 1024: transition, owned by pool/b, before by pool/a"},
		"no-entry":     {func(e *Explanation) { changing(e) }, "lookup the slot is changing, so the flow table was asked: the flow has no entry"},
		"entry":        {func(e *Explanation) { entry(e) }, "lookup the slot is changing, so the flow table was asked: the flow has an entry"},
		"entry-of":     {func(e *Explanation) { entry(e) }, "entry of pool/c, established, its last packet 3s ago"},
		"entry-dead":   {func(e *Explanation) { entry(e, StepEntryDead) }, "entry_dead counts for nothing: the flows of that backend are lost"},
		"entry-over":   {func(e *Explanation) { entry(e, StepEntryOver) }, "entry_over counts for nothing: that connection is over, and this SYN opens another"},
		"entry-follow": {func(e *Explanation) { entry(e, StepEntryFollow) }, "entry_follow the packet goes where the entry says, so that the connection stays on pool/c"},
		"take":         {func(e *Explanation) { entry(e, StepTake) }, "take the entry would become that of the new connection, which goes to pool/b and stays there"},
		"insert":       {func(e *Explanation) { changing(e, StepInsert) }, "insert an entry would be made: the new connection goes to pool/b and stays there"},
		"bypass":       {func(e *Explanation) { changing(e, StepBypass) }, "bypass no entry could be made (table full, or too many new flows), but pool/a fails: the new connection goes to pool/b"},
		"held":         {func(e *Explanation) { changing(e, StepHeld, StepPrevious) }, "held no entry could be made (table full, or too many new flows): the new connection is held back with the previous owner"},
		"previous":     {func(e *Explanation) { changing(e, StepPrevious) }, "previous without an entry it stays with the previous owner, pool/a, which may know the connection"},
		"moved":        {func(e *Explanation) { changing(e, StepMoved); e.PreviousPool = "old" }, `moved the vip had pool "old" before: connections from then stay with pool/a`},
		"moved-lookup": {func(e *Explanation) { changing(e, StepMoved) }, "lookup the vip was moved, so the flow table was asked: the flow has no entry"},
		"backend":      {func(*Explanation) {}, "backend pool/b at 10.9.3.2 by ipip: next hop 02:00:00:00:00:01 on eth0, MTU 1500"},
		"no-route":     {func(e *Explanation) { e.Hop = NextHop{} }, "backend pool/b at 10.9.3.2 by ipip: there is no route to it"},
		"no-mac":       {func(e *Explanation) { e.Hop.MAC = MAC{} }, "backend pool/b at 10.9.3.2 by ipip: next hop on eth0, whose link-layer address is not known"},
		"forwarded":    {func(*Explanation) {}, "verdict forwarded, tx: " + VerdictForwarded.Info().Help},
		"remedy":       {func(e *Explanation) { e.Verdict, e.Action = VerdictTooBig, ActionDrop }, "remedy " + VerdictTooBig.Remedy()},
		"live":         {func(*Explanation) {}, "program tag aa, the one that is live on eth0"},
		"other-live":   {func(e *Explanation) { e.LiveTag = "bb" }, "program tag aa, but tag bb is live on eth0 and may decide otherwise"},
		"none-live":    {func(e *Explanation) { e.LiveTag = "" }, "program tag aa; none is live on eth0, whose packets therefore all go to the host"},
	} {
		t.Run(name, func(t *testing.T) {
			e := explained()
			row.edit(&e)
			var lines []string
			for _, l := range e.Story() {
				lines = append(lines, l.Step+" "+l.Text)
			}
			if !slices.Contains(lines, row.want) {
				t.Errorf("story\n%s\nlacks\n%s", strings.Join(lines, "\n"), row.want)
			}
			if got := strings.Count(e.String(), "\n"); got != len(lines) {
				t.Errorf("%d lines of %d steps", got, len(lines))
			}
		})
	}
}

// TestEveryStepIsTold: a step that a user never reads of is of no use.
func TestEveryStepIsTold(t *testing.T) {
	names := map[string]bool{}
	for s := range StepCount {
		if names[s.String()] || s.String() == "" {
			t.Errorf("step %d has the name %q", s, s)
		}
		names[s.String()] = true
		e := explained()
		e.Path = Path(0).With(s)
		told := slices.ContainsFunc(e.Story(), func(l StoryLine) bool { return l.Step == s.String() && l.Text != "" })
		if !told || !slices.Equal(e.Path.Steps(), []Step{s}) {
			t.Errorf("step %s: path %v, story\n%s", s, e.Path.Steps(), e)
		}
	}
}

// TestRemedies: whoever reads that a packet was not sent reads what to do about it.
func TestRemedies(t *testing.T) {
	for v := VerdictNext + 1; v < VerdictCount; v++ {
		action := v.Info().Action
		sent := action == ActionTX || action == ActionRedirect
		if has := v.Remedy() != ""; has == sent {
			t.Errorf("%s, %s: remedy %q", v, action, v.Remedy())
		}
	}
}

// TestFlowFrames reads back what Frame wrote, checksums included.
func TestFlowFrames(t *testing.T) {
	flow6 := Flow{Source: netip.MustParseAddrPort("[2001:db8::7]:40000"), Destination: netip.MustParseAddrPort("[2001:db8:1::1]:53")}
	for _, flow := range []Flow{explainedFlow, flow6} {
		for _, protocol := range Protocols {
			for _, first := range []bool{false, true} {
				flow.Protocol = protocol
				frame := flow.Frame(first)
				p, verdict := parseFrame(frame)
				if verdict != VerdictNext || p.fault || p.flow != flow || p.syn != (first && protocol == TCP) || p.length != len(frame)-14 {
					t.Errorf("%v, first %v: read as %+v, %s", flow, first, p, verdict)
				}
				header, addresses := 20, frame[26:34]
				if flow.Source.Addr().Is6() {
					header, addresses = 40, frame[22:54]
				} else if internetChecksum(frame[14:34]) != 0 {
					t.Errorf("%v: wrong header checksum", flow)
				}
				transport := frame[14+header:]
				pseudo := binary.BigEndian.AppendUint32(slices.Clone(addresses), uint32(len(transport)))
				pseudo = append(pseudo, 0, byte(protocol))
				if internetChecksum(append(pseudo, transport...)) != 0 {
					t.Errorf("%v: wrong transport checksum", flow)
				}
			}
		}
	}
}
