package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) weightCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "weight BACKEND N", Short: "Change a backend's effective weight", Args: exactly("BACKEND", "N"),
		Long: `Change a backend's effective weight by its scale: scale = N / weight. Only the slots that the backend gains or
loses move, and they come back when the weight does. 0 takes no new flows.`,
		ValidArgsFunction: c.complete(1, c.backendNames),
		RunE: c.does(func(ctx context.Context, args []string) error {
			weight, err := strconv.ParseUint(args[1], 10, 32)
			if err != nil || weight > lb.MaxWeight {
				return usagef("weight %q: must be an integer from 0 to %d", args[1], lb.MaxWeight)
			}
			pool, name, err := c.findBackend(ctx, args[0])
			if err != nil {
				return err
			}
			answer, err := call(ctx, c, sluicev1.SluiceClient.SetWeight, &sluicev1.SetWeightRequest{
				Pool: pool, Name: name, Weight: uint32(weight), Options: c.writeOptions(),
			})
			if err != nil {
				return err
			}
			return c.printOutcome(answer.GetOutcome())
		}),
	}
	return c.writes(cmd)
}
