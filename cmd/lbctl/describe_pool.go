package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func (c *cli) describePoolCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pool NAME", Short: "Show a pool and its backends", Args: exactly("NAME"),
		ValidArgsFunction: c.complete(1, c.poolNames),
		RunE: c.does(func(ctx context.Context, args []string) error {
			pools, err := c.pools(ctx, args[0])
			if err != nil {
				return err
			}
			p, err := only(pools, "pool", args[0])
			if err != nil {
				return err
			}
			backends, err := c.backends(ctx, p.Name, "")
			if err != nil {
				return err
			}
			facts := []fact{
				{"Name", p.Name}, {"Encap", p.Encap}, {"VIPs", strings.Join(p.VIPs, ", ")},
				{"Slots", decimal(p.Slots) + ", " + decimal(p.EmptySlots) + " empty"},
				{"  In transition", decimal(p.TransitionSlots)}, {"  Pinned", decimal(p.PinnedSlots)},
				{"Drains", "at most " + p.DrainMax + ", quiet after " + p.DrainIdle},
				{"Digest", p.Digest},
			}
			facts = append(facts, p.healthFacts()...)
			return describe(c, p, "pool/"+p.Name, facts, func() {
				section(c, listing[backendItem]{backends, backendColumns, nil})
			})
		}),
	}
}

// only returns the one item that was asked for by name.
func only[T any](items []T, kind, name string) (T, error) {
	if len(items) == 1 {
		return items[0], nil
	}
	var none T
	return none, status.Errorf(codes.NotFound, "%s %q not found", kind, name)
}
