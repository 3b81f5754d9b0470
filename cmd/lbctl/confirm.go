package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) confirmCommand() *cobra.Command {
	return &cobra.Command{
		Use: "confirm [REV]", Short: "Keep a revision that was made with --confirm", Args: atMost("REV"),
		Long: `Keep a revision that was made with --confirm. Without that, the revision before comes back at the deadline, which
status shows. With REV fail where another revision waits.`,
		RunE: c.does(func(ctx context.Context, args []string) error {
			request := &sluicev1.ConfirmRequest{}
			if len(args) == 1 {
				var err error
				if request.Revision, err = revisionNumber(args[0]); err != nil {
					return err
				}
			}
			if c.dryRun {
				return usagef("confirm has no --dry-run: it changes nothing that packets see")
			}
			answer, err := call(ctx, c, sluicev1.SluiceClient.Confirm, request)
			if err != nil {
				return err
			}
			switch c.output {
			case "json", "yaml":
				return c.printObject(struct {
					Revision uint64 `json:"revision"`
				}{answer.GetRevision()})
			case "name":
				fmt.Fprintf(c.stdout, "revision/%d\n", answer.GetRevision())
			default:
				fmt.Fprintf(c.stdout, "revision %d confirmed\n", answer.GetRevision())
			}
			return nil
		}),
	}
}
