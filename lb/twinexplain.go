package lb

// Explain runs one frame and says what became of it, as the data plane does. The twin has no flow table: a flow of a slot
// that is changing has no entry, and a first packet gets one.
func (t *Twin) Explain(frame []byte) Explanation {
	r := t.Process(frame)
	e := Explanation{Interface: t.Interface, Verdict: r.Verdict, Action: r.Action, VIP: r.VIP, Frame: r.Frame}
	e.Read(frame)
	if e.Flow.Protocol == 0 {
		return e
	}
	e.Path = e.Path.With(StepRead)
	if r.VIP == "" {
		return e
	}
	vip, _ := t.state.Config.VIP(r.VIP)
	e.Path, e.Pool = e.Path.With(StepVIP), vip.Pool
	if r.Verdict == VerdictMalformed {
		return e
	}
	t.explainSlot(&e, &vip)
	if r.Backend != "" {
		e.Path = e.Path.With(StepBackend)
		e.Select(t.state, r.Backend)
		e.Hop.MAC = t.state.Hops[e.Address].MAC
	}
	return e
}

// explainSlot tells of the slot, and of what was asked because it is changing.
func (t *Twin) explainSlot(e *Explanation, vip *VIP) {
	e.Path, e.Hash = e.Path.With(StepSlot), t.hasher.Hash(e.Flow)
	e.Slot, e.Slots = t.slot(e.Pool, e.Hash), uint32(len(t.state.Tables[e.Pool].Owners))
	words, previous := t.state.SlotWords(e.Pool)
	e.Word, e.State, e.Owner = words[e.Slot], t.state.Changing[e.Pool][e.Slot].Kind, t.owner(e.Pool, e.Slot)
	moved, isMoved := t.state.Moved[e.VIP]
	if isMoved {
		e.Path, e.PreviousPool = e.Path.With(StepMoved), moved.Previous
	}
	if e.State == SlotStable && !isMoved || e.Flow.Protocol != TCP {
		return
	}
	e.Path = e.Path.With(StepLookup)
	before, changing := t.before(vip, e.Hash)
	if changing {
		e.Previous, e.PreviousWord = before, previous[e.Slot]
	}
	if isMoved {
		e.PreviousWord = t.state.Layout.Backends[before].Index
	}
	switch {
	case !changing || e.First && e.Owner == "":
	case e.First:
		e.Path = e.Path.With(StepInsert)
	default:
		e.Path = e.Path.With(StepPrevious)
	}
}
