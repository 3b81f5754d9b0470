package main

import (
	"context"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

func (c *cli) applyCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "apply -f FILE|-", Short: "Replace the whole configuration by a document", Args: none,
		Long: `Replace the whole configuration by a document. What the document does not name is deleted. The change is made
whole or not at all; --dry-run shows it first, and which flows it moves: FLOWS is the share of a VIP's flows, NEW FLOWS the
same share of those that began within the last minute, as far as they are counted (TCP).`,
		RunE: c.does(func(ctx context.Context, _ []string) error {
			doc, err := c.readDocument(file)
			if err != nil {
				return err
			}
			answer, err := call(ctx, c, sluicev1.SluiceClient.Apply,
				&sluicev1.ApplyRequest{Config: translate.ConfigToProto(doc.Config), Options: c.writeOptions()})
			if err != nil {
				if len(violationsOf(err)) > 0 {
					return reportedError{c.explain(err, doc)}
				}
				return err
			}
			return c.printOutcome(answer.GetOutcome())
		}),
	}
	fileFlag(cmd, &file)
	c.confirmFlag(cmd)
	return c.writes(cmd)
}
