package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// flowItem is one entry of the flow tables.
type flowItem struct {
	Protocol    string `json:"protocol"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	VIP         string `json:"vip"`
	Pool        string `json:"pool"`
	// Backend is the name within the pool; that of one which is leaving has "@ADDRESS" behind it.
	Backend     string  `json:"backend"`
	State       string  `json:"state"`
	IdleSeconds float64 `json:"idle_seconds"`
}

func flowItemOf(f *sluicev1.Flow) flowItem {
	return flowItem{
		Protocol: word("PROTOCOL_", f.GetProtocol().String()), Source: f.GetSource(), Destination: f.GetDestination(),
		VIP: f.GetVip(), Pool: f.GetPool(), Backend: f.GetBackend(), State: word("STATE_", f.GetState().String()),
		IdleSeconds: f.GetIdleSeconds(),
	}
}

func (c *cli) getFlowsCommand() *cobra.Command {
	var pool string
	var limit uint32
	cmd := c.watchFlag(&cobra.Command{
		Use: "flows", Aliases: []string{"flow"}, Short: "List the flows that are tracked while slots change", Args: none,
		Long: `List the entries of the flow tables, those that were silent longest first. There are entries only for new flows of
slots that are changing; in the steady state there are none.`,
		RunE: c.does(func(ctx context.Context, _ []string) error {
			if c.watch {
				if limit != 0 {
					return usagef("--limit does not go with --watch, which shows the 10000 flows that were silent longest")
				}
				return c.watchFlows(ctx, pool)
			}
			answer, err := call(ctx, c, sluicev1.SluiceClient.ListFlows, &sluicev1.ListFlowsRequest{Pool: pool, Limit: limit})
			if err != nil {
				return err
			}
			return c.printFlows(answer)
		}),
	})
	cmd.Flags().StringVar(&pool, "pool", "", "only those of this pool")
	cmd.Flags().Uint32Var(&limit, "limit", 0, "at most so many; 0 is 1000")
	_ = cmd.RegisterFlagCompletionFunc("pool", c.complete(1, c.poolNames))
	return cmd
}

func (c *cli) printFlows(answer *sluicev1.ListFlowsResponse) error {
	items := flowItemsOf(answer.GetFlows())
	if c.output == "json" || c.output == "yaml" {
		return c.printObject(struct {
			Items []flowItem `json:"items"`
			Total uint32     `json:"total"`
		}{items, answer.GetTotal()})
	}
	if err := printList(c, listing[flowItem]{items, flowColumns, flowItem.object}); err != nil {
		return err
	}
	if shown := uint32(len(items)); shown < answer.GetTotal() {
		fmt.Fprintf(c.stderr, "%d of %d flows are shown (raise --limit)\n", shown, answer.GetTotal())
	}
	return nil
}

func (f flowItem) object() string { return "flow/" + f.Protocol + "/" + f.Source + "/" + f.Destination }

func flowItemsOf(flows []*sluicev1.Flow) []flowItem {
	out := make([]flowItem, len(flows))
	for i, f := range flows {
		out[i] = flowItemOf(f)
	}
	return out
}

var flowColumns = []column[flowItem]{
	{title: "SOURCE", cell: func(f flowItem) string { return f.Source }},
	{title: "DESTINATION", cell: func(f flowItem) string { return f.Destination }},
	{title: "VIP", cell: func(f flowItem) string { return dash(f.VIP) }},
	{title: "BACKEND", cell: func(f flowItem) string { return dash(f.Pool) + "/" + dash(f.Backend) }},
	{title: "STATE", cell: func(f flowItem) string { return f.State }},
	{title: "IDLE", right: true, cell: func(f flowItem) string {
		return time.Duration(f.IdleSeconds * float64(time.Second)).Round(time.Second).String()
	}},
}
