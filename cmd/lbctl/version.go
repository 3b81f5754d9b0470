package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/internal/version"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

type versionItem struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the versions of lbctl and, where it answers, of lbd", Args: none,
		RunE: c.does(func(ctx context.Context, _ []string) error {
			items := []versionItem{{"lbctl", version.String()}}
			answer, err := call(ctx, c, sluicev1.SluiceClient.GetStatus, &sluicev1.GetStatusRequest{})
			if err == nil {
				items = append(items, versionItem{"lbd", answer.GetVersion()})
			} else if c.output == "table" || c.output == "wide" {
				fmt.Fprintf(c.stderr, "warning: %s\n", c.message(err))
			}
			return printList(c, listing[versionItem]{items, []column[versionItem]{
				{title: "NAME", cell: func(i versionItem) string { return i.Name }},
				{title: "VERSION", cell: func(i versionItem) string { return i.Version }},
			}, func(i versionItem) string { return i.Name }})
		}),
	}
}
