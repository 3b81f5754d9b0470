package main

import (
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// explainedItem is one explanation as -o json prints it. Fields that do not apply are left out.
type explainedItem struct {
	// Packet is its number in the capture, from 1; 0 where there is none.
	Packet      uint32            `json:"packet,omitempty"`
	Interface   string            `json:"interface"`
	Protocol    string            `json:"protocol,omitempty"`
	Source      string            `json:"source,omitempty"`
	Destination string            `json:"destination,omitempty"`
	SYN         bool              `json:"syn,omitempty"`
	Verdict     string            `json:"verdict"`
	Action      string            `json:"action"`
	VIP         string            `json:"vip,omitempty"`
	Pool        string            `json:"pool,omitempty"`
	Slot        *uint32           `json:"slot,omitempty"`
	PoolSlots   uint32            `json:"pool_slots,omitempty"`
	SlotState   string            `json:"slot_state,omitempty"`
	Hash        string            `json:"hash,omitempty"`
	Owner       string            `json:"owner,omitempty"`
	Previous    string            `json:"previous,omitempty"`
	Entry       *explainedEntry   `json:"entry,omitempty"`
	Inserted    bool              `json:"inserted,omitempty"`
	Held        bool              `json:"held,omitempty"`
	Backend     string            `json:"backend,omitempty"`
	Address     string            `json:"backend_address,omitempty"`
	Encap       string            `json:"encap,omitempty"`
	NextHop     *explainedNextHop `json:"next_hop,omitempty"`
	Out         string            `json:"out,omitempty"`
	Path        []stepItem        `json:"path"`
	Remedy      string            `json:"remedy,omitempty"`
	ProgramTag  string            `json:"program_tag"`
	LiveTag     string            `json:"live_tag,omitempty"`

	// about is what the capture says of the packet.
	about string
}

type explainedEntry struct {
	Backend     string  `json:"backend"`
	State       string  `json:"state"`
	IdleSeconds float64 `json:"idle_seconds"`
}

type explainedNextHop struct {
	Interface string `json:"interface,omitempty"`
	MAC       string `json:"mac,omitempty"`
	State     string `json:"state"`
}

type stepItem struct {
	Step string `json:"step"`
	Text string `json:"text"`
}

func explainedOf(e *sluicev1.ExplainResponse) explainedItem {
	out := explainedItem{
		Interface: e.GetInterface(), Source: e.GetSource(), Destination: e.GetDestination(), SYN: e.GetSyn(),
		Verdict: e.GetVerdict(), Action: e.GetAction(), VIP: e.GetVip(), Pool: e.GetPool(), Slot: e.Slot, PoolSlots: e.GetPoolSlots(),
		SlotState: e.GetSlotState(), Hash: e.GetHash(), Owner: e.GetOwner(), Previous: e.GetPrevious(),
		Inserted: e.GetInserted(), Held: e.GetHeld(), Backend: e.GetBackend(), Address: e.GetBackendAddress(),
		Out: e.GetOut(), Path: []stepItem{}, Remedy: e.GetRemedy(), ProgramTag: e.GetProgramTag(), LiveTag: e.GetLiveTag(),
	}
	if e.GetProtocol() != sluicev1.Protocol_PROTOCOL_UNSPECIFIED {
		out.Protocol = word("PROTOCOL_", e.GetProtocol().String())
	}
	if entry := e.GetEntry(); entry != nil {
		out.Entry = &explainedEntry{entry.GetBackend(), word("STATE_", entry.GetState().String()), entry.GetIdleSeconds()}
	}
	if hop := e.GetNextHop(); hop != nil {
		out.Encap = word("ENCAP_", e.GetEncap().String())
		out.NextHop = &explainedNextHop{hop.GetInterface(), hop.GetMac(), word("STATE_", hop.GetState().String())}
	}
	for _, s := range e.GetPath() {
		out.Path = append(out.Path, stepItem{s.GetStep(), s.GetText()})
	}
	return out
}
