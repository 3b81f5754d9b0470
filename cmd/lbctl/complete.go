package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// completionTimeout is how long a user who pressed Tab waits at most.
const completionTimeout = time.Second

// completer lists the values of an argument or a flag.
type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// complete offers names that lbd knows for each argument up to the limit. Where it does not answer there are none.
func (c *cli) complete(limit int, names func(context.Context) ([]string, error)) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= limit {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c.timeout = min(c.timeout, completionTimeout)
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		found, err := names(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *cli) vipNames(ctx context.Context) ([]string, error) {
	answer, err := call(ctx, c, sluicev1.SluiceClient.ListVips, &sluicev1.ListVipsRequest{})
	return namesOf(answer.GetVips(), func(v *sluicev1.VipStatus) string { return v.GetVip().GetName() }), err
}

func (c *cli) poolNames(ctx context.Context) ([]string, error) {
	answer, err := call(ctx, c, sluicev1.SluiceClient.ListPools, &sluicev1.ListPoolsRequest{})
	return namesOf(answer.GetPools(), func(p *sluicev1.PoolStatus) string { return p.GetPool().GetName() }), err
}

func (c *cli) backendNames(ctx context.Context) ([]string, error) {
	answer, err := call(ctx, c, sluicev1.SluiceClient.ListBackends, &sluicev1.ListBackendsRequest{})
	configured := slices.DeleteFunc(answer.GetBackends(), (*sluicev1.BackendStatus).GetLeaving)
	return namesOf(configured, backendName), err
}

// backendName is POOL/NAME.
func backendName(b *sluicev1.BackendStatus) string {
	return b.GetPool() + "/" + b.GetBackend().GetName()
}

func namesOf[T any](items []T, name func(T) string) []string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = name(item)
	}
	return out
}
