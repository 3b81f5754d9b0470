package main

import (
	"context"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) setBackendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backend BACKEND", Short: "Change fields of a backend", Args: exactly("BACKEND"),
		ValidArgsFunction: c.complete(1, c.backendNames),
	}
	fields := backendFlags(cmd)
	for _, flag := range []string{"weight", "scale"} {
		cmd.Flags().Lookup(flag).DefValue = "0" // what is not named stays: the help must not show a default
	}
	cmd.RunE = c.does(func(ctx context.Context, args []string) error {
		if err := needsOne(cmd, "address", "weight", "scale", "admin", "encap"); err != nil {
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
		pool, name, err := c.findBackend(ctx, args[0])
		if err != nil {
			return err
		}
		answer, err := call(ctx, c, sluicev1.SluiceClient.SetBackend, &sluicev1.SetBackendRequest{
			Pool: pool, Name: name, Address: given(cmd, "address", fields.address),
			Weight: given(cmd, "weight", fields.weight), Scale: given(cmd, "scale", fields.scale), Admin: order,
			Encap:   given(cmd, "encap", encap),
			Options: c.writeOptions(),
		})
		if err != nil {
			return err
		}
		return c.printOutcome(answer.GetOutcome())
	})
	return c.writes(cmd)
}
