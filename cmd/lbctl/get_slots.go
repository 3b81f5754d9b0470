package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func (c *cli) getSlotsCommand() *cobra.Command {
	return c.watchFlag(&cobra.Command{
		Use: "slots POOL", Aliases: []string{"slot"}, Short: "List who owns the slots of a pool", Args: exactly("POOL"),
		Long:              "List who owns the slots of a pool: a line for each backend, or for each slot with -o wide, json or yaml.",
		ValidArgsFunction: c.complete(1, c.poolNames),
		RunE: c.does(func(ctx context.Context, args []string) error {
			if c.watch {
				return c.watchSlots(ctx, args[0])
			}
			answer, err := call(ctx, c, sluicev1.SluiceClient.ListSlots, &sluicev1.ListSlotsRequest{Pool: args[0]})
			if err != nil {
				return err
			}
			if c.output == "table" || c.output == "name" {
				owners := ownersOf(answer)
				if c.output == "name" {
					owners = slices.DeleteFunc(owners, func(o ownerItem) bool { return o.backend == empty })
				}
				return printList(c, listing[ownerItem]{owners, ownerColumns, func(o ownerItem) string {
					return "backend/" + args[0] + "/" + o.backend
				}})
			}
			return printList(c, listing[slotItem]{slotsOf(answer), slotColumns, nil})
		}),
	})
}

// empty is the owner of slots that no backend owns; no backend can have this name.
const empty = "(empty)"

// ownerItem is one backend of a pool and how many slots it owns.
type ownerItem struct {
	backend      string
	slots, total uint32
}

// ownersOf counts slots by backend. Empty slots come last, where there are any.
func ownersOf(answer *sluicev1.ListSlotsResponse) []ownerItem {
	total := uint32(len(answer.GetOwners()))
	out := make([]ownerItem, len(answer.GetBackends()))
	for i, name := range answer.GetBackends() {
		out[i] = ownerItem{backend: name, total: total}
	}
	none := ownerItem{backend: empty, total: total}
	for _, owner := range answer.GetOwners() {
		if owner < 0 || int(owner) >= len(out) {
			none.slots++
			continue
		}
		out[owner].slots++
	}
	if none.slots > 0 {
		out = append(out, none)
	}
	return out
}

var ownerColumns = []column[ownerItem]{
	{title: "BACKEND", cell: func(o ownerItem) string { return o.backend }},
	{title: "SLOTS", right: true, cell: func(o ownerItem) string { return decimal(o.slots) }},
	{title: "SHARE", right: true, cell: func(o ownerItem) string { return share(o.slots, o.total) }},
}

// slotItem is one slot; its backend is null where it is empty.
type slotItem struct {
	Slot    int     `json:"slot"`
	Backend *string `json:"backend"`
}

func slotsOf(answer *sluicev1.ListSlotsResponse) []slotItem {
	names := answer.GetBackends()
	out := make([]slotItem, len(answer.GetOwners()))
	for i, owner := range answer.GetOwners() {
		out[i].Slot = i
		if owner >= 0 && int(owner) < len(names) {
			out[i].Backend = &names[owner]
		}
	}
	return out
}

var slotColumns = []column[slotItem]{
	{title: "SLOT", right: true, cell: func(s slotItem) string { return decimal(s.Slot) }},
	{title: "BACKEND", cell: func(s slotItem) string {
		if s.Backend == nil {
			return empty
		}
		return *s.Backend
	}},
}
