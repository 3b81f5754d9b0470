package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (c *cli) describeVIPCommand() *cobra.Command {
	return &cobra.Command{
		Use: "vip NAME", Short: "Show a VIP and the backends of its pool", Args: exactly("NAME"),
		ValidArgsFunction: c.complete(1, c.vipNames),
		RunE: c.does(func(ctx context.Context, args []string) error {
			vips, err := c.vips(ctx, args[0])
			if err != nil {
				return err
			}
			v, err := only(vips, "vip", args[0])
			if err != nil {
				return err
			}
			backends, err := c.backends(ctx, v.Pool, "")
			if err != nil {
				return err
			}
			facts := append([]fact{
				{"Name", v.Name}, {"Address", v.Address}, {"Protocol", v.Protocol}, {"Ports", portList(v.Ports)},
				{"Pool", v.Pool}, {"Backends", decimal(v.BackendsWithSlots) + " of " + decimal(v.Backends) + " own slots"},
			}, append(v.Counter.facts(), fact{"Held", decimal(v.Held)})...)
			return describe(c, v, "vip/"+v.Name, facts, func() {
				section(c, listing[backendItem]{backends, backendColumns, nil})
			})
		}),
	}
}
