package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// revisionItem is one entry of the history.
type revisionItem struct {
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Author   string    `json:"author"`
	Comment  string    `json:"comment,omitempty"`
	Changes  uint32    `json:"changes"`
	// Objects are the first few that changed.
	Objects      []string          `json:"objects"`
	Confirmation *confirmationItem `json:"confirmation,omitempty"`
	ConfirmedBy  string            `json:"confirmed_by,omitempty"`
	ConfirmedAt  *time.Time        `json:"confirmed_at,omitempty"`
}

// confirmationItem is what a revision waits for, or waited for.
type confirmationItem struct {
	Revision uint64    `json:"revision"`
	BackTo   uint64    `json:"back_to"`
	Deadline time.Time `json:"deadline"`
}

func (c *cli) historyCommand() *cobra.Command {
	var limit uint32
	cmd := &cobra.Command{
		Use: "history [REV]", Short: "List the revisions, the newest first, or show one", Args: atMost("REV"),
		Long: `List the revisions, the newest first: who made them, when, why, and what changed. With REV show all changes of that
one. The node keeps as many as history: in its file says, 1000 by default.`,
		ValidArgsFunction: c.complete(1, c.revisionNumbers),
		RunE: c.does(func(ctx context.Context, args []string) error {
			if len(args) == 1 {
				return c.showRevision(ctx, args[0])
			}
			answer, err := call(ctx, c, sluicev1.SluiceClient.ListRevisions, &sluicev1.ListRevisionsRequest{Limit: limit})
			if err != nil {
				return err
			}
			return printList(c, listing[revisionItem]{convert(answer.GetRevisions(), revisionItemOf), revisionColumns, revisionItem.name})
		}),
	}
	cmd.Flags().Uint32VarP(&limit, "limit", "n", 0, "list at most this many; 0 lists all that are kept")
	return cmd
}

func (c *cli) showRevision(ctx context.Context, text string) error {
	n, err := revisionNumber(text)
	if err != nil {
		return err
	}
	if n == 0 {
		return usagef("revision 0 is the empty configuration of a new node: nobody made it")
	}
	answer, err := call(ctx, c, sluicev1.SluiceClient.ListRevisions, &sluicev1.ListRevisionsRequest{Revision: n})
	if err != nil {
		return err
	}
	item := revisionItemOf(answer.GetRevisions()[0])
	facts := []fact{{"Revision", decimal(item.Revision)}, {"Time", stamp(item.Time)}, {"Author", item.Author}, {"Comment", item.Comment}}
	if item.Confirmation != nil {
		facts = append(facts, fact{"Confirmed", item.confirmed()})
	}
	return describe(c, item, item.name(), facts, func() { c.printRevisionChanges(ctx, n) })
}

// printRevisionChanges lists what a revision changed, as far as the one before is still kept.
func (c *cli) printRevisionChanges(ctx context.Context, n uint64) {
	answer, err := call(ctx, c, sluicev1.SluiceClient.Diff, &sluicev1.DiffRequest{To: &n})
	fmt.Fprintln(c.stdout)
	if err != nil {
		fmt.Fprintf(c.stdout, "Changes: unknown (%s)\n", c.message(err))
		return
	}
	for _, change := range answer.GetChanges() {
		fmt.Fprintln(c.stdout, changeItemOf(change).line())
	}
}

// confirmed says what became of the confirmation.
func (r revisionItem) confirmed() string {
	switch {
	case r.Confirmation == nil:
		return ""
	case r.ConfirmedBy != "":
		return fmt.Sprintf("by %s at %s", r.ConfirmedBy, stamp(*r.ConfirmedAt))
	}
	return "no, until " + stamp(r.Confirmation.Deadline)
}

func revisionItemOf(r *sluicev1.Revision) revisionItem {
	out := revisionItem{
		Revision: r.GetRevision(), Time: r.GetTime().AsTime(), Author: r.GetAuthor(), Comment: r.GetComment(),
		Changes: r.GetChanges(), Objects: append([]string{}, r.GetObjects()...),
		Confirmation: confirmationItemOf(r.GetConfirmation()), ConfirmedBy: r.GetConfirmedBy(),
	}
	if r.GetConfirmedAt() != nil {
		at := r.GetConfirmedAt().AsTime()
		out.ConfirmedAt = &at
	}
	return out
}

func confirmationItemOf(m *sluicev1.Confirmation) *confirmationItem {
	if m == nil {
		return nil
	}
	return &confirmationItem{m.GetRevision(), m.GetBackTo(), m.GetDeadline().AsTime()}
}

func (r revisionItem) name() string { return "revision/" + decimal(r.Revision) }

// summary names the first objects that changed and counts the others.
func (r revisionItem) summary() string {
	text := strings.Join(r.Objects, ", ")
	if more := int(r.Changes) - len(r.Objects); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

var revisionColumns = []column[revisionItem]{
	{title: "REV", right: true, cell: func(r revisionItem) string { return decimal(r.Revision) }},
	{title: "TIME", cell: func(r revisionItem) string { return stamp(r.Time) }},
	{title: "AUTHOR", cell: func(r revisionItem) string { return dash(r.Author) }},
	{title: "COMMENT", cell: func(r revisionItem) string { return dash(r.Comment) }},
	{title: "CONFIRMED", wide: true, cell: func(r revisionItem) string { return dash(r.confirmed()) }},
	{title: "CHANGES", cell: func(r revisionItem) string { return dash(r.summary()) }},
}

// stamp prints a time to the second, in UTC: nodes and operators live in different zones.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func revisionNumber(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, usagef("revision %q: must be a number, such as lbctl history lists", text)
	}
	return n, nil
}

func (c *cli) revisionNumbers(ctx context.Context) ([]string, error) {
	answer, err := call(ctx, c, sluicev1.SluiceClient.ListRevisions, &sluicev1.ListRevisionsRequest{Limit: 20})
	return namesOf(answer.GetRevisions(), func(r *sluicev1.Revision) string { return decimal(r.GetRevision()) }), err
}

func convert[From, To any](from []From, to func(From) To) []To {
	out := make([]To, len(from))
	for i, f := range from {
		out[i] = to(f)
	}
	return out
}
