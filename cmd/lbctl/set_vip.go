package main

import (
	"context"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) setVIPCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "vip NAME", Short: "Change fields of a VIP", Args: exactly("NAME"),
		Long:              "Change fields of a VIP; those that are not named stay. --ports replaces all ports.",
		ValidArgsFunction: c.complete(1, c.vipNames),
	}
	fields := c.vipFlags(cmd)
	cmd.RunE = c.does(func(ctx context.Context, args []string) error {
		if err := needsOne(cmd, "address", "protocol", "ports", "pool"); err != nil {
			return err
		}
		protocol, err := fields.protocolValue()
		if err != nil {
			return err
		}
		answer, err := call(ctx, c, sluicev1.SluiceClient.SetVip, &sluicev1.SetVipRequest{
			Name: args[0], Address: given(cmd, "address", fields.address), Protocol: protocol, Ports: fields.ports,
			Pool: given(cmd, "pool", fields.pool), Options: c.writeOptions(),
		})
		if err != nil {
			return err
		}
		return c.printOutcome(answer.GetOutcome())
	})
	return c.writes(cmd)
}
