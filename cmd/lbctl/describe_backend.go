package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

func (c *cli) describeBackendCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backend BACKEND", Short: "Show a backend and its next hop", Args: exactly("BACKEND"),
		ValidArgsFunction: c.complete(1, c.backendNames),
		RunE: c.does(func(ctx context.Context, args []string) error {
			b, err := c.describedBackend(ctx, args[0])
			if err != nil {
				return err
			}
			return describe(c, b, "backend/"+b.name(), c.backendFacts(b), func() {
				if b.Health != nil {
					section(c, listing[resultItem]{b.Health.Results, resultColumns(c.now()), nil})
				}
			})
		}),
	}
}

// describedBackend is the configured backend, or the leaving one that POOL/NAME@ADDRESS names. Without an address it may
// also be a leaving one, where no other has the name.
func (c *cli) describedBackend(ctx context.Context, backend string) (backendItem, error) {
	pool, name, err := splitBackend(backend)
	if !strings.Contains(backend, "/") {
		pool, name, err = c.findBackend(ctx, backend)
	}
	if err != nil {
		return backendItem{}, err
	}
	backends, err := c.backends(ctx, pool, name)
	if err != nil {
		return backendItem{}, err
	}
	if configured := staying(backends); len(configured) > 0 {
		backends = configured
	}
	return only(backends, "backend", backend)
}

// drainText says why the drain of a drained backend has ended.
func (b backendItem) drainText() string {
	switch {
	case b.Admin != "drained":
		return ""
	case b.KeepsSlots > 0:
		return "goes on"
	case b.DrainEnd == "quiet":
		return "ended, silent for drain_idle"
	case b.DrainEnd == "deadline":
		return "ended, drain_max has passed"
	}
	return "ended, it kept no flows"
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
	weight := decimal(b.Weight) + " x " + factor(b.Scale) + " = " + decimal(b.EffectiveWeight)
	switch {
	case b.Leaving:
		weight = ""
	case b.Admin != "enabled":
		weight += ", as it is " + b.Admin
	}
	facts := []fact{
		{"Name", b.Name}, {"Pool", b.Pool}, {"Address", b.Address},
		{"Weight", weight},
		{"Admin", b.order()},
	}
	facts = append(facts, b.Health.facts(c.now())...)
	facts = append(facts, []fact{
		{"Slots", decimal(b.Slots) + " of " + decimal(b.PoolSlots) + ", " + share(b.Slots, b.PoolSlots)},
		{"Keeps", plural(b.KeepsSlots, "slot")}, {"Flows", plural(b.Flows, "flow") + " tracked"},
		{"Drain", b.drainText()},
		{"Next hop", state}, {"  Interface", b.NextHop.Interface}, {"  Gateway", b.NextHop.Gateway},
		{"  MAC", b.NextHop.MAC}, {"  Source", b.NextHop.Source}, {"  MTU", mtu},
	}...)
	return append(facts, b.Counter.facts()...)
}
