package main

import (
	"context"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) drainCommand() *cobra.Command {
	w := drainWait{cli: c}
	var wait bool
	cmd := &cobra.Command{
		Use: "drain BACKEND", Short: "Take new flows off a backend and let the old ones go on", Args: exactly("BACKEND"),
		Long: `Take new flows off a backend and let the old ones go on: the order "admin: drained", which stays until undrain.

The backend's slots go to other backends, but keep its flows until they have been silent for the pool's drain_idle, or
for drain_max at most. With --wait the command ends when that is so, and says which it was. An interrupt ends the
waiting, not the drain. Exit codes with --wait: 0 the flows are gone, 5 drain_max has passed before they were,
1 --wait-timeout has passed, or the order was changed meanwhile.`,
		ValidArgsFunction: c.complete(1, c.backendNames),
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the flows are gone or drain_max has passed")
	cmd.Flags().DurationVar(&w.timeout, "wait-timeout", 0, "wait at most so long; 0 is without end")
	cmd.RunE = c.does(func(ctx context.Context, args []string) error {
		switch {
		case w.timeout < 0:
			return usagef("--wait-timeout %s: must not be below 0", w.timeout)
		case w.timeout > 0 && !wait:
			return usagef("--wait-timeout goes with --wait")
		}
		var err error
		if w.pool, w.name, err = c.findBackend(ctx, args[0]); err != nil {
			return err
		}
		outcome, err := c.setAdmin(ctx, w.pool, w.name, sluicev1.Admin_ADMIN_DRAINED)
		if err != nil {
			return err
		}
		if err := c.printOutcome(outcome); err != nil || !wait || c.dryRun {
			return err
		}
		return w.run(ctx)
	})
	return c.writes(cmd)
}

func (c *cli) undrainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "undrain BACKEND", Short: "Give a backend new flows again", Args: exactly("BACKEND"),
		Long:              `Give a backend new flows again: the order "admin: enabled". Its slots come back; flows that began elsewhere stay there.`,
		ValidArgsFunction: c.complete(1, c.backendNames),
		RunE: c.does(func(ctx context.Context, args []string) error {
			pool, name, err := c.findBackend(ctx, args[0])
			if err != nil {
				return err
			}
			outcome, err := c.setAdmin(ctx, pool, name, sluicev1.Admin_ADMIN_ENABLED)
			if err != nil {
				return err
			}
			return c.printOutcome(outcome)
		}),
	}
	return c.writes(cmd)
}

// setAdmin gives an order to a backend.
func (c *cli) setAdmin(ctx context.Context, pool, name string, admin sluicev1.Admin) (*sluicev1.Outcome, error) {
	answer, err := call(ctx, c, sluicev1.SluiceClient.SetAdmin, &sluicev1.SetAdminRequest{
		Pool: pool, Name: name, Admin: admin, Options: c.writeOptions(),
	})
	return answer.GetOutcome(), err
}
