package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) getBackendsCommand() *cobra.Command {
	var pool string
	cmd := c.watchFlag(&cobra.Command{
		Use: "backends [BACKEND]", Aliases: []string{"backend"}, Short: "List backends", Args: atMost("BACKEND"),
		Long: `List backends: all, those of --pool, or one. A bare NAME lists every backend of that name.

KEEPS counts the slots whose flows a backend keeps although it owns them no longer, FLOWS its entries in the flow tables.
A backend that was removed, or got another address, is listed as leaving while it has either: it is POOL/NAME@ADDRESS.`,
		ValidArgsFunction: c.complete(1, c.backendNames),
		RunE: c.does(func(ctx context.Context, args []string) error {
			name := first(args)
			if before, after, ok := strings.Cut(name, "/"); ok {
				if pool != "" && pool != before {
					return usagef("backend %q is not in --pool %q", name, pool)
				}
				pool, name = before, after
			}
			if c.watch {
				return c.watchBackends(ctx, pool, name)
			}
			backends, err := c.backends(ctx, pool, name)
			if err != nil {
				return err
			}
			return printList(c, listing[backendItem]{backends, backendColumns, func(b backendItem) string { return "backend/" + b.name() }})
		}),
	})
	cmd.Flags().StringVar(&pool, "pool", "", "only those of this pool")
	_ = cmd.RegisterFlagCompletionFunc("pool", c.complete(1, c.poolNames))
	return cmd
}

// backends asks for those that match; an empty pool or name matches all. NAME@ADDRESS is one that is leaving.
func (c *cli) backends(ctx context.Context, pool, name string) ([]backendItem, error) {
	name, leaving, _ := strings.Cut(name, "@")
	answer, err := call(ctx, c, sluicev1.SluiceClient.ListBackends, &sluicev1.ListBackendsRequest{Pool: pool, Name: name})
	var out []backendItem
	for _, b := range answer.GetBackends() {
		item := backendItemOf(b)
		if leaving == "" || item.Leaving && item.Address == leaving {
			out = append(out, item)
		}
	}
	if err == nil && leaving != "" && len(out) == 0 {
		return nil, status.Errorf(codes.NotFound, "backend %q is not leaving", strings.TrimPrefix(pool+"/"+name+"@"+leaving, "/"))
	}
	return out, err
}

// name is POOL/NAME, with the address where the backend is leaving: another may have its name.
func (b backendItem) name() string {
	if b.Leaving {
		return b.Pool + "/" + b.Name + "@" + b.Address
	}
	return b.Pool + "/" + b.Name
}

// order is the word in the column ADMIN.
func (b backendItem) order() string {
	if b.Leaving {
		return "leaving"
	}
	return b.Admin
}

// staying are those that are configured.
func staying(backends []backendItem) []backendItem {
	return slices.DeleteFunc(slices.Clone(backends), func(b backendItem) bool { return b.Leaving })
}

var backendColumns = []column[backendItem]{
	{title: "BACKEND", cell: backendItem.name},
	{title: "ADDRESS", cell: func(b backendItem) string { return b.Address }},
	{title: "WEIGHT", right: true, cell: func(b backendItem) string { return decimal(b.Weight) }},
	{title: "SCALE", right: true, cell: func(b backendItem) string { return factor(b.Scale) }},
	{title: "EFFECTIVE", right: true, cell: func(b backendItem) string { return decimal(b.EffectiveWeight) }},
	{title: "ADMIN", cell: backendItem.order},
	{title: "HEALTH", cell: func(b backendItem) string { return dash(b.Health.text()) }},
	{title: "SLOTS", right: true, cell: func(b backendItem) string { return decimal(b.Slots) }},
	{title: "SHARE", right: true, cell: func(b backendItem) string { return share(b.Slots, b.PoolSlots) }},
	{title: "KEEPS", right: true, cell: func(b backendItem) string { return decimal(b.KeepsSlots) }},
	{title: "FLOWS", right: true, cell: func(b backendItem) string { return decimal(b.Flows) }},
	{title: "NEXT-HOP", cell: func(b backendItem) string { return b.NextHop.State }},
	{title: "INTERFACE", wide: true, cell: func(b backendItem) string { return dash(b.NextHop.Interface) }},
	{title: "GATEWAY", wide: true, cell: func(b backendItem) string { return dash(b.NextHop.Gateway) }},
	{title: "MAC", wide: true, cell: func(b backendItem) string { return dash(b.NextHop.MAC) }},
	{title: "MTU", right: true, wide: true, cell: func(b backendItem) string { return decimal(b.NextHop.MTU) }},
	{title: "PACKETS", right: true, wide: true, cell: func(b backendItem) string { return decimal(b.Counter.Packets) }},
	{title: "BYTES", right: true, wide: true, cell: func(b backendItem) string { return decimal(b.Counter.Bytes) }},
	{title: "INDEX", right: true, wide: true, cell: func(b backendItem) string { return decimal(b.Index) }},
}
