package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// column is one column of a table of Ts.
type column[T any] struct {
	title string
	cell  func(T) string
	// right is for numbers; wide columns are only shown with -o wide.
	right, wide bool
}

// listing is a list of objects and how to print them. The JSON form of T has the document's field names.
type listing[T any] struct {
	items   []T
	columns []column[T]
	// name is "kind/name".
	name func(T) string
}

// printList prints a listing in the chosen format.
func printList[T any](c *cli, l listing[T]) error {
	switch c.output {
	case "json", "yaml":
		return c.printObject(struct {
			Items []T `json:"items"`
		}{append([]T{}, l.items...)}) // [] rather than null
	case "name":
		for _, item := range l.items {
			fmt.Fprintln(c.stdout, l.name(item))
		}
		return nil
	}
	printTable(c, l)
	return nil
}

// printTable prints a listing as a table. Columns are two spaces apart; none is cut.
func printTable[T any](c *cli, l listing[T]) {
	columns := shownColumns(c, l.columns)
	var rows [][]string
	if !c.noHeaders {
		rows = append(rows, namesOf(columns, func(col column[T]) string { return col.title }))
	}
	for _, item := range l.items {
		rows = append(rows, namesOf(columns, func(col column[T]) string { return col.cell(item) }))
	}
	right := make([]bool, len(columns))
	for i, col := range columns {
		right[i] = col.right
	}
	writeRows(c.stdout, rows, right)
}

// shownColumns leaves out those that are not for the format.
func shownColumns[T any](c *cli, all []column[T]) []column[T] {
	var columns []column[T]
	for _, col := range all {
		if !col.wide || c.output == "wide" {
			columns = append(columns, col)
		}
	}
	return columns
}

func writeRows(w io.Writer, rows [][]string, right []bool) { writeAligned(w, rows, right, nil) }

// writeAligned writes rows in columns that are at least as wide as widths, which may be nil, and returns how wide they are.
func writeAligned(w io.Writer, rows [][]string, right []bool, widths []int) []int {
	widths = append(slices.Clone(widths), make([]int, len(right)-len(widths))...)
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if right[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
	return widths
}

// printObject prints v as JSON, or as the YAML that says the same.
func (c *cli) printObject(v any) error {
	var text bytes.Buffer
	jsonEncoder := json.NewEncoder(&text)
	jsonEncoder.SetIndent("", "  ")
	jsonEncoder.SetEscapeHTML(false) // "->" is for people to read
	if err := jsonEncoder.Encode(v); err != nil {
		return err
	}
	if c.output == "json" {
		_, err := text.WriteTo(c.stdout)
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text.Bytes(), &node); err != nil { // JSON is YAML
		return err
	}
	plain(&node)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&node); err != nil {
		return err
	}
	_, err := out.WriteTo(c.stdout)
	return err
}

// plain takes JSON's brackets and quotes off a node; the encoder quotes again what must be.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		plain(child)
	}
}
