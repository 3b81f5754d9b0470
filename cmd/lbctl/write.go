package main

import (
	"fmt"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// writes adds the flag that all commands have that change the node.
func (c *cli) writes(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Uint64Var(&c.expectedRevision, "expected-revision", 0, "fail with a conflict unless the node is at this revision")
	return cmd
}

func (c *cli) writeOptions() *sluicev1.WriteOptions {
	return &sluicev1.WriteOptions{ExpectedRevision: c.expectedRevision, DryRun: c.dryRun}
}

type changeItem struct {
	Kind       string `json:"kind"`
	Object     string `json:"object"`
	Detail     string `json:"detail,omitempty"`
	SlotsMoved uint32 `json:"slots_moved"`
}

type outcomeItem struct {
	Items    []changeItem `json:"items"`
	Revision uint64       `json:"revision"`
	DryRun   bool         `json:"dry_run"`
	Warnings []string     `json:"warnings"`
}

// printOutcome says what a write did.
func (c *cli) printOutcome(outcome *sluicev1.Outcome) error {
	out := outcomeItem{
		Items: []changeItem{}, Revision: outcome.GetRevision(), DryRun: c.dryRun,
		Warnings: append([]string{}, outcome.GetWarnings()...),
	}
	for _, change := range outcome.GetChanges() {
		out.Items = append(out.Items, changeItem{
			Kind: word("KIND_", change.GetKind().String()), Object: change.GetObject(),
			Detail: change.GetDetail(), SlotsMoved: change.GetSlotsMoved(),
		})
	}
	switch c.output {
	case "json", "yaml":
		return c.printObject(out)
	case "name":
		for _, item := range out.Items {
			fmt.Fprintln(c.stdout, item.Object)
		}
	default:
		c.printChanges(out)
	}
	c.warn(out.Warnings)
	return nil
}

func (c *cli) printChanges(out outcomeItem) {
	suffix := ""
	if c.dryRun {
		suffix = " (dry run)"
	}
	if len(out.Items) == 0 {
		fmt.Fprintf(c.stdout, "unchanged (revision %d)%s\n", out.Revision, suffix)
		return
	}
	for _, item := range out.Items {
		fmt.Fprintf(c.stdout, "%s%s\n", item.line(), suffix)
	}
	if !c.dryRun {
		fmt.Fprintf(c.stdout, "revision %d\n", out.Revision)
	}
}

// line is like kubectl's: "pool/web configured (slots: 1024 -> 2048), 12 slots move".
func (i changeItem) line() string {
	text := i.Object + " " + i.Kind
	if i.Detail != "" {
		text += " (" + i.Detail + ")"
	}
	switch {
	case i.SlotsMoved == 1:
		text += ", 1 slot moves"
	case i.SlotsMoved > 1:
		text += fmt.Sprintf(", %d slots move", i.SlotsMoved)
	}
	return text
}

func (c *cli) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintf(c.stderr, "warning: %s\n", w)
	}
}
