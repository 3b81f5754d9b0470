package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// watchFlag gives a command of get the flag --watch.
func (c *cli) watchFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVarP(&c.watch, "watch", "w", false, "go on and print what changes, one JSON object a line with -o json; ends with Ctrl-C")
	return cmd
}

// watchMethod is one watching call of the API, as in sluicev1.SluiceClient.WatchVips.
type watchMethod[Request, Answer any] func(sluicev1.SluiceClient, context.Context, Request, ...grpc.CallOption) (grpc.ServerStreamingClient[Answer], error)

// watch hands each answer to tell until the user interrupts it. The first one must come within the timeout.
func watch[Request, Answer any](ctx context.Context, c *cli, m watchMethod[Request, Answer], request Request, tell func(*Answer) error) error {
	if err := c.connect(); err != nil {
		return err
	}
	calling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(c.timeout, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	stream, err := m(sluicev1.NewSluiceClient(c.conn), calling, request)
	for err == nil {
		var answer *Answer
		if answer, err = stream.Recv(); err == nil {
			late.Stop()
			err = tell(answer)
		}
	}
	switch {
	case errors.Is(err, io.EOF), ctx.Err() != nil:
		return nil // that is how a watch ends
	case errors.Is(context.Cause(calling), context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "no answer")
	}
	return err
}

// ticker prints a listing as it changes: a line for each item that is new or looks different from its last line.
type ticker[T any] struct {
	*cli
	listing[T]
	widths []int
	begun  bool
	shown  map[string]line // what was printed last, by name
}

// line is how an item was printed: as the row of a table, or as text.
type line struct {
	row  []string
	text string
}

func newTicker[T any](c *cli, columns []column[T], name func(T) string) *ticker[T] {
	return &ticker[T]{cli: c, listing: listing[T]{columns: shownColumns(c, columns), name: name}, shown: map[string]line{}}
}

// tell prints what changed. deleted are names.
func (t *ticker[T]) tell(items []T, deleted []string) error {
	var lines []line
	if table := t.output == "table" || t.output == "wide"; table && !t.begun && !t.noHeaders {
		lines = append(lines, line{row: namesOf(t.columns, func(col column[T]) string { return col.title })})
	}
	t.begun = true
	for _, item := range items {
		l, err := t.look(item)
		if err != nil {
			return err
		}
		name := t.name(item)
		if was, ok := t.shown[name]; ok && was.text == l.text && slices.Equal(was.row, l.row) {
			continue // it differs where nobody looks
		}
		t.shown[name] = l
		lines = append(lines, l)
	}
	for _, name := range deleted {
		if was, ok := t.shown[name]; ok {
			lines = append(lines, t.farewell(name, was))
			delete(t.shown, name)
		}
	}
	t.print(lines)
	return nil
}

// look is how an item is printed.
func (t *ticker[T]) look(item T) (l line, err error) {
	switch t.output {
	case "json":
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(item)
		l.text = text.String()
	case "yaml":
		l.text, err = documentOf(item)
	case "name":
		l.text = t.name(item) + "\n"
	default:
		l.row = namesOf(t.columns, func(col column[T]) string { return col.cell(item) })
	}
	return l, err
}

// documentOf is one of a stream of YAML documents.
func documentOf(v any) (string, error) {
	var out bytes.Buffer
	plain := cli{env: env{stdout: &out}, output: "yaml"}
	err := plain.printObject(v)
	return "---\n" + out.String(), err
}

// farewell says that an item is gone.
func (t *ticker[T]) farewell(name string, was line) (l line) {
	switch t.output {
	case "json":
		l.text = fmt.Sprintf("{\"deleted\":%q}\n", name)
	case "yaml":
		l.text = fmt.Sprintf("---\ndeleted: %s\n", name)
	case "name":
		l.text = name + " deleted\n"
	default:
		l.text = fmt.Sprintf("%-*s  (deleted)\n", t.widths[0], was.row[0])
	}
	return l
}

// print prints what is new and then what is gone. Columns are as wide as all that were printed before need.
func (t *ticker[T]) print(lines []line) {
	var rows [][]string
	for _, l := range lines {
		if l.row != nil {
			rows = append(rows, l.row)
		}
	}
	right := make([]bool, len(t.columns))
	for i, col := range t.columns {
		right[i] = col.right
	}
	t.widths = writeAligned(t.stdout, rows, right, t.widths)
	for _, l := range lines {
		fmt.Fprint(t.stdout, l.text)
	}
}

// gone lists what was shown and is not among items any more, sorted.
func (t *ticker[T]) gone(items []T) []string {
	present := map[string]bool{}
	for _, item := range items {
		present[t.name(item)] = true
	}
	var out []string
	for name := range t.shown {
		if !present[name] {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
