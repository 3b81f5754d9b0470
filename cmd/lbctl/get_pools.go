package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) getPoolsCommand() *cobra.Command {
	return c.watchFlag(&cobra.Command{
		Use: "pools [NAME]", Aliases: []string{"pool"}, Short: "List pools", Args: atMost("NAME"),
		ValidArgsFunction: c.complete(1, c.poolNames),
		RunE: c.does(func(ctx context.Context, args []string) error {
			if c.watch {
				return c.watchPools(ctx, first(args))
			}
			pools, err := c.pools(ctx, first(args))
			if err != nil {
				return err
			}
			return printList(c, listing[poolItem]{pools, poolColumns, func(p poolItem) string { return "pool/" + p.Name }})
		}),
	})
}

// pools asks for one pool, or for all where name is empty.
func (c *cli) pools(ctx context.Context, name string) ([]poolItem, error) {
	answer, err := call(ctx, c, sluicev1.SluiceClient.ListPools, &sluicev1.ListPoolsRequest{Name: name})
	var out []poolItem
	for _, p := range answer.GetPools() {
		out = append(out, poolItemOf(p))
	}
	return out, err
}

var poolColumns = []column[poolItem]{
	{title: "NAME", cell: func(p poolItem) string { return p.Name }},
	{title: "ENCAP", cell: func(p poolItem) string { return p.Encap }},
	{title: "BACKENDS", right: true, cell: func(p poolItem) string { return decimal(len(p.Backends)) }},
	{title: "UP", right: true, cell: func(p poolItem) string { return dash(p.Checks.text()) }},
	{title: "SLOTS", right: true, cell: func(p poolItem) string { return decimal(p.Slots) }},
	{title: "EMPTY", right: true, cell: func(p poolItem) string { return decimal(p.EmptySlots) }},
	{title: "VIPS", cell: func(p poolItem) string { return dash(strings.Join(p.VIPs, ",")) }},
	{title: "TRANSITION", right: true, wide: true, cell: func(p poolItem) string { return decimal(p.TransitionSlots) }},
	{title: "PINNED", right: true, wide: true, cell: func(p poolItem) string { return decimal(p.PinnedSlots) }},
	{title: "DRAIN-MAX", right: true, wide: true, cell: func(p poolItem) string { return p.DrainMax }},
	{title: "DRAIN-IDLE", right: true, wide: true, cell: func(p poolItem) string { return p.DrainIdle }},
	{title: "DIGEST", wide: true, cell: func(p poolItem) string { return p.Digest }},
	{title: "BASE", right: true, wide: true, cell: func(p poolItem) string { return decimal(p.Base) }},
}
