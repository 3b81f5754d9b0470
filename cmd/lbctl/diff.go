package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// exitDiffers is what diff returns for a difference, as diff(1) and kubectl diff do; its failures are exitUsage or above.
const exitDiffers = 1

func (c *cli) diffCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "diff [REV [REV2]] | -f FILE|-", Short: "Show what differs between revisions, or what apply would change",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 || file != "" && len(args) > 0 {
				return usagef("diff takes at most two revisions, or -f FILE")
			}
			return nil
		},
		Long: `Show what leads from revision REV to REV2. REV2 is the live one by default, REV the one before. Revision 0 is the
empty configuration of a new node. With -f show what apply would change, and which flows would move.

Exit codes: 0 nothing differs, 1 something does, 2 or more failed.`,
		ValidArgsFunction: c.complete(2, c.revisionNumbers),
		RunE: c.does(func(ctx context.Context, args []string) error {
			differs, err := false, error(nil)
			if file != "" {
				differs, err = c.diffDocument(ctx, file)
			} else {
				differs, err = c.diffRevisions(ctx, args)
			}
			return c.diffResult(differs, err)
		}),
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "document to compare with, YAML or JSON; - is standard input")
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
	return cmd
}

// diffResult keeps failures apart from differences.
func (c *cli) diffResult(differs bool, err error) error {
	var reported reportedError
	usage := usageError{}
	switch {
	case errors.As(err, &usage):
		return err
	case errors.As(err, &reported):
		return reportedError{max(reported.code, exitUsage)}
	case err != nil:
		return reportedError{max(c.explain(err, nil), exitUsage)}
	case differs:
		return reportedError{exitDiffers}
	}
	return nil
}

func (c *cli) diffRevisions(ctx context.Context, args []string) (bool, error) {
	request := &sluicev1.DiffRequest{}
	for i, to := range []**uint64{&request.From, &request.To} {
		if i < len(args) {
			n, err := revisionNumber(args[i])
			if err != nil {
				return false, err
			}
			*to = &n
		}
	}
	answer, err := call(ctx, c, sluicev1.SluiceClient.Diff, request)
	if err != nil {
		return false, err
	}
	changes := convert(answer.GetChanges(), changeItemOf)
	text := fmt.Sprintf("revisions %d and %d do not differ", answer.GetFrom(), answer.GetTo())
	return len(changes) > 0, c.printDiff(diffItem{Items: changes, From: answer.GetFrom(), To: answer.GetTo()}, text)
}

func (c *cli) diffDocument(ctx context.Context, file string) (bool, error) {
	doc, err := c.readDocument(file)
	if err != nil {
		return false, err
	}
	options := c.writeOptions()
	options.DryRun = true
	answer, err := call(ctx, c, sluicev1.SluiceClient.Apply, &sluicev1.ApplyRequest{Config: translate.ConfigToProto(doc.Config), Options: options})
	if err != nil {
		if len(violationsOf(err)) > 0 {
			return false, reportedError{c.explain(err, doc)}
		}
		return false, err
	}
	outcome := answer.GetOutcome()
	item := diffItem{Items: convert(outcome.GetChanges(), changeItemOf), From: outcome.GetRevision(), Moves: convert(outcome.GetMoves(), moveItemOf)}
	return len(item.Items) > 0, c.printDiff(item, fmt.Sprintf("%s does not differ from revision %d", documentName(file), item.From))
}

// diffItem is the answer of diff; To is 0 where a document was compared.
type diffItem struct {
	Items []changeItem `json:"items"`
	From  uint64       `json:"from"`
	To    uint64       `json:"to,omitempty"`
	Moves []moveItem   `json:"moves,omitempty"`
}

func (c *cli) printDiff(item diffItem, equal string) error {
	switch c.output {
	case "json", "yaml":
		return c.printObject(item)
	case "name":
		for _, change := range item.Items {
			fmt.Fprintln(c.stdout, change.Object)
		}
		return nil
	}
	for _, change := range item.Items {
		fmt.Fprintln(c.stdout, change.line())
	}
	if len(item.Items) == 0 {
		fmt.Fprintln(c.stdout, equal)
	}
	section(c, listing[moveItem]{item.Moves, moveColumns, nil})
	return nil
}
