package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// minInterval keeps rates from being noise.
const minInterval = 100 * time.Millisecond

func (c *cli) statsCommand() *cobra.Command {
	var rate bool
	interval := time.Second
	cmd := &cobra.Command{
		Use: "stats", Short: "Show the counters of VIPs, backends and interfaces, or their rates", Args: none,
		Long: `Show the counters of VIPs and backends, and the verdicts of each interface. Bytes and bits are those of the
clients' IP packets. HELD are first packets that a slot kept for its previous owner, because no entry could be made for
them. TRACKING is what the flow tables did; they are used while slots change. What no packet had is left out of verdicts
and tracking, except with -o wide.`,
		RunE: c.does(func(ctx context.Context, _ []string) error {
			if interval < minInterval {
				return usagef("--interval %s: must be at least %s", interval, minInterval)
			}
			now, err := c.stats(ctx)
			if err != nil {
				return err
			}
			if !rate {
				return c.printStats(statItemsOf(now, c.output == "table"))
			}
			before := now
			if err := c.sleep(ctx, interval); err != nil {
				return err
			}
			if now, err = c.stats(ctx); err != nil {
				return err
			}
			return c.printRates(before, now)
		}),
	}
	cmd.Flags().BoolVar(&rate, "rate", false, "rates per second instead of totals")
	cmd.Flags().DurationVar(&interval, "interval", interval, "time over which rates are measured")
	return cmd
}

func (c *cli) stats(ctx context.Context) (*sluicev1.GetStatsResponse, error) {
	return call(ctx, c, sluicev1.SluiceClient.GetStats, &sluicev1.GetStatsRequest{})
}

// statItem is one counter. Its JSON form leaves out what its kind does not have.
type statItem struct {
	Kind      string `json:"kind"`
	Pool      string `json:"pool,omitempty"`
	Name      string `json:"name,omitempty"`
	Interface string `json:"interface,omitempty"`
	Verdict   string `json:"verdict,omitempty"`
	Action    string `json:"action,omitempty"`
	Help      string `json:"help,omitempty"`
	Packets   uint64 `json:"packets"`
	// The rest is nil for verdicts and tracking.
	Bytes    *uint64 `json:"bytes,omitempty"`
	NewFlows *uint64 `json:"new_flows,omitempty"`
	Refused  *uint64 `json:"refused,omitempty"`
	// Held is for VIPs only.
	Held *uint64 `json:"held,omitempty"`
}

// object identifies an item from one reading to the next.
func (i statItem) object() string {
	switch i.Kind {
	case "vip":
		return "vip/" + i.Name
	case "backend":
		return "backend/" + i.Pool + "/" + i.Name
	case "tracking":
		return "tracking/" + i.Name
	}
	return "verdict/" + i.Interface + "/" + i.Verdict
}

// statItemsOf lists VIPs, backends, verdicts and tracking in the order of the answer. brief leaves out verdicts and
// tracking without packets.
func statItemsOf(s *sluicev1.GetStatsResponse, brief bool) []statItem {
	out := []statItem{}
	add := func(i statItem, counter *sluicev1.Counter) {
		n := counterOf(counter)
		i.Packets, i.Bytes, i.NewFlows, i.Refused = n.Packets, &n.Bytes, &n.NewFlows, &n.Refused
		out = append(out, i)
	}
	for _, v := range s.GetVips() {
		held := v.GetCounter().GetHeld()
		add(statItem{Kind: "vip", Name: v.GetName(), Held: &held}, v.GetCounter())
	}
	for _, b := range s.GetBackends() {
		add(statItem{Kind: "backend", Pool: b.GetPool(), Name: b.GetName()}, b.GetCounter())
	}
	for _, v := range s.GetVerdicts() {
		if brief && v.GetPackets() == 0 {
			continue
		}
		out = append(out, statItem{
			Kind: "verdict", Interface: v.GetInterface(), Verdict: v.GetVerdict(), Action: v.GetAction(),
			Help: v.GetHelp(), Packets: v.GetPackets(),
		})
	}
	for _, i := range trackingItems(s.GetTracking()) {
		if !brief || i.Packets > 0 {
			out = append(out, i)
		}
	}
	return out
}

// trackingItems say what the flow tables did.
func trackingItems(t *sluicev1.Tracking) []statItem {
	item := func(name string, packets uint64, help string) statItem {
		return statItem{Kind: "tracking", Name: name, Help: help, Packets: packets}
	}
	return []statItem{
		item("lookups", t.GetLookups(), "Came to a slot that is changing."),
		item("hits", t.GetHits(), "Of those, had an entry."),
		item("inserts", t.GetInserts(), "First packets that got an entry."),
		item("held", t.GetHeld(), "First packets that got none and stayed with the slot's previous owner."),
		item("bypassed", t.GetBypassed(), "First packets that got none and went to the owner, as the previous one fails."),
	}
}

func (c *cli) printStats(items []statItem) error {
	if c.output != "table" && c.output != "wide" {
		return printList(c, listing[statItem]{items, nil, statItem.object})
	}
	printTables(c, items, func(i statItem) string { return i.Kind }, statColumns, verdictColumns, trackingColumns)
	return nil
}

// printTables prints the items of each kind as a table of its own, with an empty line between.
func printTables[T any](
	c *cli, items []T, kind func(T) string, counters func(title string) []column[T], verdicts, tracking []column[T],
) {
	printed := false
	for _, table := range []struct {
		kind    string
		columns []column[T]
	}{{"vip", counters("VIP")}, {"backend", counters("BACKEND")}, {"verdict", verdicts}, {"tracking", tracking}} {
		var some []T
		for _, item := range items {
			if kind(item) == table.kind {
				some = append(some, item)
			}
		}
		if len(some) == 0 {
			continue
		}
		if printed {
			fmt.Fprintln(c.stdout)
		}
		printed = true
		printTable(c, listing[T]{some, table.columns, nil})
	}
}

// label is the first cell of a VIP's or a backend's line.
func (i statItem) label() string {
	if i.Kind == "backend" {
		return i.Pool + "/" + i.Name
	}
	return i.Name
}

func statColumns(title string) []column[statItem] {
	columns := []column[statItem]{
		{title: title, cell: statItem.label},
		{title: "PACKETS", right: true, cell: func(i statItem) string { return decimal(i.Packets) }},
		{title: "BYTES", right: true, cell: func(i statItem) string { return decimal(*i.Bytes) }},
		{title: "NEW-FLOWS", right: true, cell: func(i statItem) string { return decimal(*i.NewFlows) }},
		{title: "REFUSED", right: true, cell: func(i statItem) string { return decimal(*i.Refused) }},
	}
	if title == "VIP" {
		columns = append(columns, column[statItem]{title: "HELD", right: true, cell: func(i statItem) string { return decimal(*i.Held) }})
	}
	return columns
}

var trackingColumns = []column[statItem]{
	{title: "TRACKING", cell: func(i statItem) string { return i.Name }},
	{title: "PACKETS", right: true, cell: func(i statItem) string { return decimal(i.Packets) }},
	{title: "HELP", wide: true, cell: func(i statItem) string { return i.Help }},
}

var verdictColumns = []column[statItem]{
	{title: "INTERFACE", cell: func(i statItem) string { return i.Interface }},
	{title: "VERDICT", cell: func(i statItem) string { return i.Verdict }},
	{title: "ACTION", cell: func(i statItem) string { return i.Action }},
	{title: "PACKETS", right: true, cell: func(i statItem) string { return decimal(i.Packets) }},
	{title: "HELP", wide: true, cell: func(i statItem) string { return i.Help }},
}
