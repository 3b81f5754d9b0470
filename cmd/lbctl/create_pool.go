package main

import (
	"context"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) createPoolCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pool NAME", Short: "Add a pool without backends", Args: exactly("NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	fields := poolFlags(cmd)
	cmd.RunE = c.does(func(ctx context.Context, args []string) error {
		encap, err := fields.encapValue()
		if err != nil {
			return err
		}
		health, err := fields.value(cmd)
		if err != nil {
			return err
		}
		answer, err := call(ctx, c, sluicev1.SluiceClient.CreatePool, &sluicev1.CreatePoolRequest{
			Pool: &sluicev1.Pool{
				Name: args[0], Encap: encap, Slots: fields.slots, Health: health,
				PanicThreshold: given(cmd, "panic-threshold", fields.panicThreshold),
				DrainMax:       givenDuration(cmd, "drain-max", fields.drainMax), DrainIdle: givenDuration(cmd, "drain-idle", fields.drainIdle),
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
