package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// checkItem is what check found.
type checkItem struct {
	Revision    uint64   `json:"revision"`
	Publication uint64   `json:"publication"`
	Faults      []string `json:"faults"`
}

func (c *cli) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Compare the data plane, the store and the history", Args: none,
		Long: `Compare what packets see, word by word, with the configuration that lbd has in memory, in its store and in its history.
They never differ unless something else wrote to the maps or the store, or a change is not committed yet.

Exit codes: 0 all agree, 1 something differs or the check failed.`,
		RunE: c.does(func(ctx context.Context, _ []string) error {
			answer, err := call(ctx, c, sluicev1.SluiceClient.Check, &sluicev1.CheckRequest{})
			if err != nil {
				return err
			}
			item := checkItem{answer.GetRevision(), answer.GetPublication(), append([]string{}, answer.GetFaults()...)}
			switch {
			case c.output == "json" || c.output == "yaml":
				err = c.printObject(item)
			case len(item.Faults) == 0:
				fmt.Fprintf(c.stdout, "maps, store and history agree: revision %d, publication %d\n", item.Revision, item.Publication)
			}
			if len(item.Faults) == 0 || err != nil {
				return err
			}
			if c.output != "json" && c.output != "yaml" {
				for _, fault := range item.Faults {
					fmt.Fprintf(c.stderr, "lbctl: %s\n", fault)
				}
			}
			return reportedError{exitFailed}
		}),
	}
}
