package translate

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// ExplanationToProto translates an explanation, all but the next hop, of which the data plane does not know the state.
func ExplanationToProto(e lb.Explanation) *sluicev1.ExplainResponse {
	out := &sluicev1.ExplainResponse{
		Interface: e.Interface, Verdict: e.Verdict.String(), Action: e.Action.String(), Vip: e.VIP, Pool: e.Pool,
		Inserted: e.Inserted(), Held: e.Held(), Out: e.Outer(), Remedy: e.Verdict.Remedy(), ProgramTag: e.ProgramTag, LiveTag: e.LiveTag,
	}
	if e.Path.Has(lb.StepRead) {
		out.Protocol = ProtocolToProto(e.Flow.Protocol)
		out.Source, out.Destination, out.Syn = e.Flow.Source.String(), e.Flow.Destination.String(), e.First
	}
	if e.Path.Has(lb.StepSlot) {
		out.Slot, out.SlotState, out.PoolSlots = proto.Uint32(e.Slot), e.State.String(), e.Slots
		out.Hash, out.Owner, out.Previous = fmt.Sprintf("%016x", e.Hash), e.Owner, e.Previous
	}
	if e.Path.Has(lb.StepEntry) {
		out.Entry = &sluicev1.ExplainedEntry{
			Backend: e.Entry.Backend, State: sluicev1.Flow_State(e.Entry.State + 1), IdleSeconds: e.Entry.Age.Seconds(),
		}
	}
	if e.Backend != "" {
		out.Backend, out.BackendAddress, out.Encap = e.Backend, e.Address.String(), EncapToProto(e.Encap)
	}
	for _, line := range e.Story() {
		out.Path = append(out.Path, &sluicev1.ExplainedStep{Step: line.Step, Text: line.Text})
	}
	return out
}
