// Package document reads and writes the declarative document: the YAML or JSON text from which lbd's configuration is
// made.
//
// Reading is strict. An unknown field, a repeated one, a wrong type, an anchor or a second document in the file is an
// error, because a typing mistake that is skipped over is an outage later. Every fault is reported, in file order, as
//
//	FILE:LINE:COLUMN: pools[0].backends[1].weigth: unknown field (did you mean weight?)
//
// Writing is canonical: sorted, with defaults left out, so that two documents that mean the same are the same bytes.
package document

import (
	"errors"
	"math"

	"github.com/sluice-lb/sluice/lb"
)

// Version is the version of the document's format that Read accepts and Marshal writes.
const Version = 1

// unlimited lets a document pass whatever the size of the node's maps: those are the node's to judge, and are not known
// where a document is checked without a daemon.
var unlimited = lb.Limits{VIPs: math.MaxInt32, Backends: math.MaxInt32, Slots: math.MaxInt32}

// Document is a valid configuration that remembers where in the text its parts stand.
type Document struct {
	// Config has the document's own order, so that the indexes in paths hold.
	Config lb.Config

	file      string
	positions map[string]Position
}

// Parse reads a document; name stands for it in errors. The error is Errors.
func Parse(name string, data []byte) (lb.Config, error) {
	d, err := Read(name, data)
	if err != nil {
		return lb.Config{}, err
	}
	return d.Config, nil
}

// Read is Parse for a caller that has faults of its own to place in the text. The error is Errors.
func Read(name string, data []byte) (*Document, error) {
	root, err := syntax(name, data)
	if err != nil {
		return nil, Errors{*err}
	}
	r := reader{
		file: name, positions: map[string]Position{}, unread: map[string]bool{}, partial: map[string]bool{},
	}
	d := &Document{Config: r.config(root), file: name, positions: r.positions}
	found := r.faults
	var violations lb.Violations
	if errors.As(d.Config.Validate(unlimited), &violations) {
		found = append(found, d.Place(r.unexplained(violations))...)
	}
	if len(found) > 0 {
		found.sort()
		return nil, found
	}
	return d, nil
}

// Place finds the line and column of each violation: those of the value that its path names or, where the document
// leaves that out, of the object that it would stand in.
func (d *Document) Place(violations lb.Violations) Errors {
	out := make(Errors, len(violations))
	for i, v := range violations {
		out[i] = Error{File: d.file, Position: d.locate(v.Path), Path: v.Path, Message: v.Message}
	}
	return out
}

func (d *Document) locate(path string) Position {
	for ; path != ""; path = parent(path) {
		if at, ok := d.positions[path]; ok {
			return at
		}
	}
	return Position{Line: 1, Column: 1}
}
