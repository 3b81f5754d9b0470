package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (c *cli) describeBackendCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backend BACKEND", Short: "Show a backend and its next hop", Args: exactly("BACKEND"),
		ValidArgsFunction: c.complete(1, c.backendNames),
		RunE: c.does(func(ctx context.Context, args []string) error {
			pool, name, err := c.findBackend(ctx, args[0])
			if err != nil {
				return err
			}
			backends, err := c.backends(ctx, pool, name)
			if err != nil {
				return err
			}
			b, err := only(backends, "backend", args[0])
			if err != nil {
				return err
			}
			return describe(c, b, "backend/"+b.name(), c.backendFacts(b), nil)
		}),
	}
}

// encap is the encap in force, and whose it is.
func (b backendItem) encap() string {
	if b.Encap == "" {
		return b.EffectiveEncap + ", the pool's"
	}
	return b.EffectiveEncap + ", its own"
}

func (c *cli) backendFacts(b backendItem) []fact {
	state := b.NextHop.State
	if b.NextHop.Since != nil {
		state += ", for " + age(c.now(), *b.NextHop.Since)
	}
	mtu := ""
	if b.NextHop.MTU > 0 {
		mtu = decimal(b.NextHop.MTU)
	}
	facts := []fact{
		{"Name", b.Name}, {"Pool", b.Pool}, {"Address", b.Address},
		{"Weight", decimal(b.Weight) + " x " + factor(b.Scale) + " = " + decimal(b.EffectiveWeight)},
		{"Admin", b.Admin}, {"Encap", b.encap()},
		{"Slots", decimal(b.Slots) + " of " + decimal(b.PoolSlots) + ", " + share(b.Slots, b.PoolSlots)},
		{"Next hop", state}, {"  Interface", b.NextHop.Interface}, {"  Gateway", b.NextHop.Gateway},
		{"  MAC", b.NextHop.MAC}, {"  Source", b.NextHop.Source}, {"  MTU", mtu},
	}
	return append(facts, b.Counter.facts()...)
}
