package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in the text. Both count from 1; Column counts characters, not bytes.
type Position struct{ Line, Column int }

// Error is one fault of a document.
type Error struct {
	// File is the name that Read was given.
	File string
	Position
	// Path names the field, as in "pools[0].backends[1].weight"; empty where the fault is in the text itself.
	Path string
	// Message says what is wrong and, in parentheses, what to do.
	Message string
}

// Error prints FILE:LINE:COLUMN: path: message.
func (e Error) Error() string {
	where := fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Path != "" {
		where += e.Path + ": "
	}
	return where + e.Message
}

// Errors are the faults of one document in the order of the text.
type Errors []Error

// Error prints one fault a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// parent drops the last step of a path: "pools[0].name" becomes "pools[0]", which becomes "pools".
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
