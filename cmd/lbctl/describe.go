package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (c *cli) describeCommand() *cobra.Command {
	return verb("describe", "Show all of one VIP, pool or backend",
		c.describeVIPCommand(), c.describePoolCommand(), c.describeBackendCommand())
}

// fact is one line of a description.
type fact struct{ name, value string }

// describe prints an object and its parts as text, or the bare object in the formats for programs.
func describe[T any](c *cli, item T, name string, facts []fact, parts func()) error {
	if c.output != "table" && c.output != "wide" {
		return printList(c, listing[T]{[]T{item}, nil, func(T) string { return name }})
	}
	c.printFacts(facts)
	if parts != nil {
		parts()
	}
	return nil
}

func (c *cli) printFacts(facts []fact) {
	rows := make([][]string, len(facts))
	for i, f := range facts {
		rows[i] = []string{f.name + ":", dash(f.value)}
	}
	writeRows(c.stdout, rows, []bool{false, false})
}

// section prints a table after a description, with an empty line between; nothing where there are no items.
func section[T any](c *cli, l listing[T]) {
	if len(l.items) == 0 {
		return
	}
	fmt.Fprintln(c.stdout)
	printTable(c, l)
}

func (i counterItem) facts() []fact {
	return []fact{
		{"Packets", decimal(i.Packets)}, {"Bytes", decimal(i.Bytes)},
		{"New flows", decimal(i.NewFlows)}, {"Refused", decimal(i.Refused)},
	}
}
