package main

import (
	"context"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) createBackendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backend POOL/NAME --address A", Short: "Add a backend to a pool", Args: exactly("POOL/NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	fields := backendFlags(cmd)
	_ = cmd.MarkFlagRequired("address")
	cmd.RunE = c.does(func(ctx context.Context, args []string) error {
		pool, name, err := splitBackend(args[0])
		if err != nil {
			return err
		}
		order, err := fields.order()
		if err != nil {
			return err
		}
		encap, err := fields.ownEncap()
		if err != nil {
			return err
		}
		answer, err := call(ctx, c, sluicev1.SluiceClient.CreateBackend, &sluicev1.CreateBackendRequest{
			Pool: pool,
			Backend: &sluicev1.Backend{
				Name: name, Address: fields.address,
				Weight: given(cmd, "weight", fields.weight), Scale: given(cmd, "scale", fields.scale), Admin: order,
				Encap: given(cmd, "encap", encap),
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
