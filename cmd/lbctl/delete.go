package main

import (
	"context"
	"math"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) deleteCommand() *cobra.Command {
	return verb("delete", "Remove VIPs, pools or backends",
		c.deleteNoun("vip NAME...", "Remove VIPs", c.vipNames, c.deleteVIP),
		c.deleteNoun("pool NAME...", "Remove pools that no VIP names", c.poolNames, c.deletePool),
		c.deleteNoun("backend BACKEND...", "Remove backends", c.backendNames, c.deleteBackend))
}

// deleteNoun removes objects one by one, each in a revision of its own: where some go and some cannot, the exit code is
// exitPartial.
func (c *cli) deleteNoun(
	use, short string, names func(context.Context) ([]string, error), remove func(context.Context, string) (*sluicev1.Outcome, error),
) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: atLeastOne("name"), ValidArgsFunction: c.complete(math.MaxInt, names),
		RunE: c.does(func(ctx context.Context, args []string) error {
			if c.expectedRevision != 0 && len(args) > 1 {
				return usagef("--expected-revision goes with one name, got %d", len(args))
			}
			return c.deleteAll(ctx, args, remove)
		}),
	}
	return c.writes(cmd)
}

func (c *cli) deleteAll(
	ctx context.Context, names []string, remove func(context.Context, string) (*sluicev1.Outcome, error),
) error {
	all := &sluicev1.Outcome{}
	var codes []int // exit codes of those that failed
	for _, name := range names {
		outcome, err := remove(ctx, name)
		if err != nil && len(names) == 1 {
			return err
		}
		if err != nil {
			codes = append(codes, c.explain(err, nil))
			continue
		}
		all.Revision = outcome.GetRevision()
		all.Changes = append(all.Changes, outcome.GetChanges()...)
		all.Warnings = outcome.GetWarnings() // the last revision's hold for what is there now
	}
	if len(codes) == len(names) {
		return reportedError{codes[0]}
	}
	if err := c.printOutcome(all); err != nil || len(codes) == 0 {
		return err
	}
	return reportedError{exitPartial}
}

func (c *cli) deleteVIP(ctx context.Context, name string) (*sluicev1.Outcome, error) {
	answer, err := call(ctx, c, sluicev1.SluiceClient.DeleteVip, &sluicev1.DeleteVipRequest{Name: name, Options: c.writeOptions()})
	return answer.GetOutcome(), err
}

func (c *cli) deletePool(ctx context.Context, name string) (*sluicev1.Outcome, error) {
	answer, err := call(ctx, c, sluicev1.SluiceClient.DeletePool, &sluicev1.DeletePoolRequest{Name: name, Options: c.writeOptions()})
	return answer.GetOutcome(), err
}

func (c *cli) deleteBackend(ctx context.Context, backend string) (*sluicev1.Outcome, error) {
	pool, name, err := c.findBackend(ctx, backend)
	if err != nil {
		return nil, err
	}
	answer, err := call(ctx, c, sluicev1.SluiceClient.DeleteBackend,
		&sluicev1.DeleteBackendRequest{Pool: pool, Name: name, Options: c.writeOptions()})
	return answer.GetOutcome(), err
}
