package main

import (
	"context"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) setPoolCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pool NAME", Short: "Change fields of a pool; its backends stay", Args: exactly("NAME"),
		ValidArgsFunction: c.complete(1, c.poolNames),
	}
	fields := poolFlags(cmd)
	for _, flag := range []string{"drain-max", "drain-idle"} {
		cmd.Flags().Lookup(flag).DefValue = "0" // what is not named stays: the help must not show a default
	}
	cmd.RunE = c.does(func(ctx context.Context, args []string) error {
		if err := needsOne(cmd, append([]string{"encap", "slots", "panic-threshold", "drain-max", "drain-idle"}, healthFlagNames...)...); err != nil {
			return err
		}
		encap, err := fields.encapValue()
		if err != nil {
			return err
		}
		health, err := fields.value(cmd)
		if err != nil {
			return err
		}
		answer, err := call(ctx, c, sluicev1.SluiceClient.SetPool, &sluicev1.SetPoolRequest{
			Name: args[0], Encap: encap, Slots: given(cmd, "slots", fields.slots), Health: health,
			PanicThreshold: given(cmd, "panic-threshold", fields.panicThreshold),
			DrainMax:       givenDuration(cmd, "drain-max", fields.drainMax), DrainIdle: givenDuration(cmd, "drain-idle", fields.drainIdle),
			Options: c.writeOptions(),
		})
		if err != nil {
			return err
		}
		return c.printOutcome(answer.GetOutcome())
	})
	return c.writes(cmd)
}
