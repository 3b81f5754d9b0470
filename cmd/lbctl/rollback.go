package main

import (
	"context"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) rollbackCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rollback REV", Short: "Bring an old configuration back", Args: exactly("REV"),
		Long: `Bring the configuration of an old revision back. That is a new revision: nothing is taken out of the history.
Revision 0 is the empty configuration of a new node.`,
		ValidArgsFunction: c.complete(1, c.revisionNumbers),
		RunE: c.does(func(ctx context.Context, args []string) error {
			n, err := revisionNumber(args[0])
			if err != nil {
				return err
			}
			answer, err := call(ctx, c, sluicev1.SluiceClient.Rollback, &sluicev1.RollbackRequest{Revision: &n, Options: c.writeOptions()})
			if err != nil {
				return err
			}
			return c.printOutcome(answer.GetOutcome())
		}),
	}
	c.confirmFlag(cmd)
	return c.writes(cmd)
}
