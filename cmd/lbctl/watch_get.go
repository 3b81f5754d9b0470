package main

import (
	"context"
	"slices"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// watchesCounters tells whether the format shows counters: else they are no news.
func (c *cli) watchesCounters() bool { return c.output != "table" && c.output != "name" }

func (c *cli) watchVIPs(ctx context.Context, name string) error {
	t := newTicker(c, vipColumns, func(v vipItem) string { return "vip/" + v.Name })
	return watch(ctx, c, sluicev1.SluiceClient.WatchVips, &sluicev1.WatchVipsRequest{Name: name, Counters: c.watchesCounters()},
		func(a *sluicev1.WatchVipsResponse) error {
			return t.tell(mapped(a.GetVips(), vipItemOf), prefixed("vip/", a.GetDeleted()))
		})
}

func (c *cli) watchPools(ctx context.Context, name string) error {
	t := newTicker(c, poolColumns, func(p poolItem) string { return "pool/" + p.Name })
	return watch(ctx, c, sluicev1.SluiceClient.WatchPools, &sluicev1.WatchPoolsRequest{Name: name},
		func(a *sluicev1.WatchPoolsResponse) error {
			return t.tell(mapped(a.GetPools(), poolItemOf), prefixed("pool/", a.GetDeleted()))
		})
}

func (c *cli) watchBackends(ctx context.Context, pool, name string) error {
	t := newTicker(c, backendColumns, func(b backendItem) string { return "backend/" + b.name() })
	return watch(ctx, c, sluicev1.SluiceClient.WatchBackends, &sluicev1.WatchBackendsRequest{Pool: pool, Name: name, Counters: c.watchesCounters()},
		func(a *sluicev1.WatchBackendsResponse) error {
			return t.tell(mapped(a.GetBackends(), backendItemOf), prefixed("backend/", a.GetDeleted()))
		})
}

func (c *cli) watchFlows(ctx context.Context, pool string) error {
	t := newTicker(c, flowColumns, flowItem.object)
	return watch(ctx, c, sluicev1.SluiceClient.WatchFlows, &sluicev1.WatchFlowsRequest{Pool: pool},
		func(a *sluicev1.WatchFlowsResponse) error {
			gone := mapped(a.GetDeleted(), func(f *sluicev1.Flow) string { return flowItemOf(f).object() })
			return t.tell(flowItemsOf(a.GetFlows()), gone)
		})
}

// watchSlots prints a line for each backend whose slots change, or for each slot, as get does.
func (c *cli) watchSlots(ctx context.Context, pool string) error {
	request := &sluicev1.WatchSlotsRequest{Pool: pool}
	if c.output == "table" || c.output == "name" {
		t := newTicker(c, ownerColumns, func(o ownerItem) string { return "backend/" + pool + "/" + o.backend })
		return watch(ctx, c, sluicev1.SluiceClient.WatchSlots, request, func(a *sluicev1.WatchSlotsResponse) error {
			owners := ownersOf(a.GetSlots())
			if c.output == "name" {
				owners = slices.DeleteFunc(owners, func(o ownerItem) bool { return o.backend == empty })
			}
			return t.tell(owners, t.gone(owners))
		})
	}
	t := newTicker(c, slotColumns, func(s slotItem) string { return "slot/" + pool + "/" + decimal(s.Slot) })
	return watch(ctx, c, sluicev1.SluiceClient.WatchSlots, request, func(a *sluicev1.WatchSlotsResponse) error {
		slots := slotsOf(a.GetSlots())
		return t.tell(slots, t.gone(slots))
	})
}

func prefixed(prefix string, names []string) []string {
	return namesOf(names, func(name string) string { return prefix + name })
}

func mapped[From, To any](items []From, f func(From) To) []To {
	out := make([]To, len(items))
	for i, item := range items {
		out[i] = f(item)
	}
	return out
}
