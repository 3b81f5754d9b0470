package main

import (
	"context"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) createVIPCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "vip NAME --address A --protocol P --ports L --pool P", Short: "Add a VIP", Args: exactly("NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	fields := c.vipFlags(cmd)
	for _, flag := range []string{"address", "protocol", "ports", "pool"} {
		_ = cmd.MarkFlagRequired(flag)
	}
	cmd.RunE = c.does(func(ctx context.Context, args []string) error {
		protocol, err := fields.protocolValue()
		if err != nil {
			return err
		}
		answer, err := call(ctx, c, sluicev1.SluiceClient.CreateVip, &sluicev1.CreateVipRequest{
			Vip: &sluicev1.Vip{
				Name: args[0], Address: fields.address, Protocol: protocol, Ports: fields.ports, Pool: fields.pool,
			},
			Options: c.writeOptions(),
		})
		if err != nil {
			return err
		}
		return c.printOutcome(answer.GetOutcome())
	})
	return c.writes(cmd)
}
