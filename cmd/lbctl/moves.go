package main

import (
	"fmt"
	"math"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// moveItem says what a change does to the flows of one VIP.
type moveItem struct {
	VIP   string  `json:"vip"`
	Slots uint32  `json:"slots"`
	Moved uint32  `json:"moved"`
	Lost  uint32  `json:"lost"`
	Share float64 `json:"share"`
	// NewFlows began within the time that follows it; absent where nothing was measured.
	NewFlows *uint64  `json:"new_flows,omitempty"`
	Within   *float64 `json:"new_flows_within_seconds,omitempty"`
}

func moveItemOf(m *sluicev1.VipMove) moveItem {
	out := moveItem{VIP: m.GetVip(), Slots: m.GetSlots(), Moved: m.GetMoved(), Lost: m.GetLost()}
	if m.GetSlots() > 0 {
		out.Share = float64(m.GetMoved()) / float64(m.GetSlots())
	}
	if m.GetNewFlowsWithin() != nil {
		flows, within := m.GetNewFlows(), m.GetNewFlowsWithin().AsDuration().Seconds()
		out.NewFlows, out.Within = &flows, &within
	}
	return out
}

// youngFlows is the share that moves of the flows that began a short while ago.
func (m moveItem) youngFlows() string {
	if m.NewFlows == nil {
		return "-"
	}
	return fmt.Sprintf("~%.0f of %d in %.0fs", math.Round(m.Share*float64(*m.NewFlows)), *m.NewFlows, *m.Within)
}

var moveColumns = []column[moveItem]{
	{title: "VIP", cell: func(m moveItem) string { return m.VIP }},
	{title: "SLOTS", right: true, cell: func(m moveItem) string { return decimal(m.Slots) }},
	{title: "MOVED", right: true, cell: func(m moveItem) string { return decimal(m.Moved) }},
	{title: "LOST", right: true, cell: func(m moveItem) string { return decimal(m.Lost) }},
	{title: "FLOWS", right: true, cell: func(m moveItem) string { return share(m.Moved, m.Slots) }},
	{title: "NEW FLOWS", cell: moveItem.youngFlows},
}
