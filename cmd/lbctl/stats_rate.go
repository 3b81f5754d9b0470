package main

import (
	"fmt"
	"math"
	"strconv"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// rateItem is what a statItem grew by each second.
type rateItem struct {
	Kind      string  `json:"kind"`
	Pool      string  `json:"pool,omitempty"`
	Name      string  `json:"name,omitempty"`
	Interface string  `json:"interface,omitempty"`
	Verdict   string  `json:"verdict,omitempty"`
	Action    string  `json:"action,omitempty"`
	Packets   float64 `json:"packets_per_second"`
	// The rest is nil for verdicts and tracking, and Held for backends.
	Bits     *float64 `json:"bits_per_second,omitempty"`
	NewFlows *float64 `json:"new_flows_per_second,omitempty"`
	Refused  *float64 `json:"refused_per_second,omitempty"`
	Held     *float64 `json:"held_per_second,omitempty"`

	stat statItem
}

func (c *cli) printRates(before, now *sluicev1.GetStatsResponse) error {
	seconds := now.GetTime().AsTime().Sub(before.GetTime().AsTime()).Seconds()
	if seconds <= 0 {
		return fmt.Errorf("the clock of lbd did not advance between two readings (try again)")
	}
	items := ratesOf(statItemsOf(before, false), statItemsOf(now, c.output == "table"), seconds)
	if c.output != "table" && c.output != "wide" {
		return printList(c, listing[rateItem]{items, nil, func(i rateItem) string { return i.stat.object() }})
	}
	printTables(c, items, func(i rateItem) string { return i.Kind }, rateColumns, verdictRateColumns, trackingRateColumns)
	return nil
}

func ratesOf(before, now []statItem, seconds float64) []rateItem {
	old := make(map[string]statItem, len(before))
	for _, i := range before {
		old[i.object()] = i
	}
	out := make([]rateItem, len(now))
	for n, i := range now {
		was := old[i.object()]
		out[n] = rateItem{
			Kind: i.Kind, Pool: i.Pool, Name: i.Name, Interface: i.Interface, Verdict: i.Verdict, Action: i.Action,
			Packets: float64(growth(was.Packets, i.Packets)) / seconds,
			Bits:    rateOf(was.Bytes, i.Bytes, 8/seconds), NewFlows: rateOf(was.NewFlows, i.NewFlows, 1/seconds),
			Refused: rateOf(was.Refused, i.Refused, 1/seconds), Held: rateOf(was.Held, i.Held, 1/seconds), stat: i,
		}
	}
	return out
}

// growth of a counter; one that went back started anew in between.
func growth(was, is uint64) uint64 {
	if is < was {
		return is
	}
	return is - was
}

func rateOf(was, is *uint64, factor float64) *float64 {
	if is == nil {
		return nil
	}
	if was == nil {
		was = new(uint64)
	}
	rate := float64(growth(*was, *is)) * factor
	return &rate
}

func perSecond(rate float64) string { return strconv.FormatFloat(math.Round(rate), 'f', 0, 64) }

func rateColumns(title string) []column[rateItem] {
	columns := []column[rateItem]{
		{title: title, cell: func(i rateItem) string { return i.stat.label() }},
		{title: "PACKETS/S", right: true, cell: func(i rateItem) string { return perSecond(i.Packets) }},
		{title: "BIT/S", right: true, cell: func(i rateItem) string { return perSecond(*i.Bits) }},
		{title: "NEW-FLOWS/S", right: true, cell: func(i rateItem) string { return perSecond(*i.NewFlows) }},
		{title: "REFUSED/S", right: true, cell: func(i rateItem) string { return perSecond(*i.Refused) }},
	}
	if title == "VIP" {
		columns = append(columns, column[rateItem]{title: "HELD/S", right: true, cell: func(i rateItem) string { return perSecond(*i.Held) }})
	}
	return columns
}

var trackingRateColumns = []column[rateItem]{
	{title: "TRACKING", cell: func(i rateItem) string { return i.Name }},
	{title: "PACKETS/S", right: true, cell: func(i rateItem) string { return perSecond(i.Packets) }},
}

var verdictRateColumns = []column[rateItem]{
	{title: "INTERFACE", cell: func(i rateItem) string { return i.Interface }},
	{title: "VERDICT", cell: func(i rateItem) string { return i.Verdict }},
	{title: "ACTION", cell: func(i rateItem) string { return i.Action }},
	{title: "PACKETS/S", right: true, cell: func(i rateItem) string { return perSecond(i.Packets) }},
}
