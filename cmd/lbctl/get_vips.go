package main

import (
	"context"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) getVIPsCommand() *cobra.Command {
	return c.watchFlag(&cobra.Command{
		Use: "vips [NAME]", Aliases: []string{"vip"}, Short: "List VIPs", Args: atMost("NAME"),
		ValidArgsFunction: c.complete(1, c.vipNames),
		RunE: c.does(func(ctx context.Context, args []string) error {
			if c.watch {
				return c.watchVIPs(ctx, first(args))
			}
			vips, err := c.vips(ctx, first(args))
			if err != nil {
				return err
			}
			return printList(c, listing[vipItem]{vips, vipColumns, func(v vipItem) string { return "vip/" + v.Name }})
		}),
	})
}

// vips asks for one VIP, or for all where name is empty.
func (c *cli) vips(ctx context.Context, name string) ([]vipItem, error) {
	answer, err := call(ctx, c, sluicev1.SluiceClient.ListVips, &sluicev1.ListVipsRequest{Name: name})
	var out []vipItem
	for _, v := range answer.GetVips() {
		out = append(out, vipItemOf(v))
	}
	return out, err
}

var vipColumns = []column[vipItem]{
	{title: "NAME", cell: func(v vipItem) string { return v.Name }},
	{title: "ADDRESS", cell: func(v vipItem) string { return v.Address }},
	{title: "PROTOCOL", cell: func(v vipItem) string { return v.Protocol }},
	{title: "PORTS", cell: func(v vipItem) string { return portList(v.Ports) }},
	{title: "POOL", cell: func(v vipItem) string { return v.Pool }},
	{title: "BACKENDS", cell: func(v vipItem) string { return decimal(v.BackendsWithSlots) + "/" + decimal(v.Backends) }},
	{title: "PACKETS", right: true, wide: true, cell: func(v vipItem) string { return decimal(v.Counter.Packets) }},
	{title: "BYTES", right: true, wide: true, cell: func(v vipItem) string { return decimal(v.Counter.Bytes) }},
	{title: "INDEX", right: true, wide: true, cell: func(v vipItem) string { return decimal(v.Index) }},
}

// first is the first argument, or empty.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
