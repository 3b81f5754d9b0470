package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) getBackendsCommand() *cobra.Command {
	var pool string
	cmd := &cobra.Command{
		Use: "backends [BACKEND]", Aliases: []string{"backend"}, Short: "List backends", Args: atMost("BACKEND"),
		Long:              "List backends: all, those of --pool, or one. A bare NAME lists every backend of that name.",
		ValidArgsFunction: c.complete(1, c.backendNames),
		RunE: c.does(func(ctx context.Context, args []string) error {
			name := first(args)
			if before, after, ok := strings.Cut(name, "/"); ok {
				if pool != "" && pool != before {
					return usagef("backend %q is not in --pool %q", name, pool)
				}
				pool, name = before, after
			}
			backends, err := c.backends(ctx, pool, name)
			if err != nil {
				return err
			}
			return printList(c, listing[backendItem]{backends, backendColumns, func(b backendItem) string { return "backend/" + b.name() }})
		}),
	}
	cmd.Flags().StringVar(&pool, "pool", "", "only those of this pool")
	_ = cmd.RegisterFlagCompletionFunc("pool", c.complete(1, c.poolNames))
	return cmd
}

// backends asks for those that match; an empty pool or name matches all.
func (c *cli) backends(ctx context.Context, pool, name string) ([]backendItem, error) {
	answer, err := call(ctx, c, sluicev1.SluiceClient.ListBackends, &sluicev1.ListBackendsRequest{Pool: pool, Name: name})
	var out []backendItem
	for _, b := range answer.GetBackends() {
		out = append(out, backendItemOf(b))
	}
	return out, err
}

func (b backendItem) name() string { return b.Pool + "/" + b.Name }

var backendColumns = []column[backendItem]{
	{title: "BACKEND", cell: backendItem.name},
	{title: "ADDRESS", cell: func(b backendItem) string { return b.Address }},
	{title: "WEIGHT", right: true, cell: func(b backendItem) string { return decimal(b.Weight) }},
	{title: "SCALE", right: true, cell: func(b backendItem) string { return factor(b.Scale) }},
	{title: "EFFECTIVE", right: true, cell: func(b backendItem) string { return decimal(b.EffectiveWeight) }},
	{title: "ADMIN", cell: func(b backendItem) string { return b.Admin }},
	{title: "SLOTS", right: true, cell: func(b backendItem) string { return decimal(b.Slots) }},
	{title: "SHARE", right: true, cell: func(b backendItem) string { return share(b.Slots, b.PoolSlots) }},
	{title: "NEXT-HOP", cell: func(b backendItem) string { return b.NextHop.State }},
	{title: "ENCAP", wide: true, cell: func(b backendItem) string { return b.EffectiveEncap }},
	{title: "INTERFACE", wide: true, cell: func(b backendItem) string { return dash(b.NextHop.Interface) }},
	{title: "GATEWAY", wide: true, cell: func(b backendItem) string { return dash(b.NextHop.Gateway) }},
	{title: "MAC", wide: true, cell: func(b backendItem) string { return dash(b.NextHop.MAC) }},
	{title: "MTU", right: true, wide: true, cell: func(b backendItem) string { return decimal(b.NextHop.MTU) }},
	{title: "PACKETS", right: true, wide: true, cell: func(b backendItem) string { return decimal(b.Counter.Packets) }},
	{title: "BYTES", right: true, wide: true, cell: func(b backendItem) string { return decimal(b.Counter.Bytes) }},
	{title: "INDEX", right: true, wide: true, cell: func(b backendItem) string { return decimal(b.Index) }},
}
