package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// writes adds the flag that all commands have that change the node.
func (c *cli) writes(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Uint64Var(&c.expectedRevision, "expected-revision", 0, "fail with a conflict unless the node is at this revision")
	cmd.Flags().StringVarP(&c.comment, "comment", "m", "", "why, for the history")
	return cmd
}

// confirmFlag adds the flag of commands that may be undone by themselves.
func (c *cli) confirmFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&c.confirm, "confirm", 0, "bring the revision before back unless lbctl confirm is called within this time, 1s to 24h")
}

func (c *cli) writeOptions() *sluicev1.WriteOptions {
	out := &sluicev1.WriteOptions{ExpectedRevision: c.expectedRevision, DryRun: c.dryRun, Comment: c.comment}
	if c.confirm != 0 {
		out.Confirm = durationpb.New(c.confirm)
	}
	return out
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
	Moves    []moveItem   `json:"moves,omitempty"`
	// Confirmation is what the revision waits for.
	Confirmation *confirmationItem `json:"confirmation,omitempty"`
}

func changeItemOf(change *sluicev1.Change) changeItem {
	return changeItem{
		Kind: word("KIND_", change.GetKind().String()), Object: change.GetObject(),
		Detail: change.GetDetail(), SlotsMoved: change.GetSlotsMoved(),
	}
}

// printOutcome says what a write did.
func (c *cli) printOutcome(outcome *sluicev1.Outcome) error {
	out := outcomeItem{
		Items: []changeItem{}, Revision: outcome.GetRevision(), DryRun: c.dryRun,
		Warnings: append([]string{}, outcome.GetWarnings()...),
		Moves:    convert(outcome.GetMoves(), moveItemOf), Confirmation: confirmationItemOf(outcome.GetConfirmation()),
	}
	for _, change := range outcome.GetChanges() {
		out.Items = append(out.Items, changeItemOf(change))
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
	if c.dryRun {
		section(c, listing[moveItem]{out.Moves, moveColumns, nil})
		return
	}
	fmt.Fprintf(c.stdout, "revision %d\n", out.Revision)
	if w := out.Confirmation; w != nil {
		fmt.Fprintf(c.stdout, "revision %d comes back at %s unless confirmed (lbctl confirm)\n", w.BackTo, stamp(w.Deadline))
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
