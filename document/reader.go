package document

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/lb"
)

const (
	noAnchor = "anchors are not supported (write the value out where it is used)"
	noAlias  = "aliases are not supported (write the value out)"
	noTag    = "tags are not supported (remove %s)"
)

// reader walks the nodes of one document. It goes on after a fault, so that all are found: what cannot be read becomes
// the zero value, and lists keep their length, so that the indexes in later paths are right.
type reader struct {
	file      string
	faults    Errors
	positions map[string]Position
	// unread are the paths of values that could not be read, and so are zero; partial those of lists that lack some.
	unread, partial map[string]bool
	// poolsUnread tells that the name of some pool is not known.
	poolsUnread bool
}

// field is one field that an object may have.
type field struct {
	name string
	// required says what must be written; empty where the field may be left out.
	required string
	read     func(path string, n *yaml.Node)
}

func (r *reader) fault(n *yaml.Node, path, format string, args ...any) {
	r.faults = append(r.faults, Error{
		File: r.file, Position: Position{n.Line, n.Column}, Path: path, Message: fmt.Sprintf(format, args...),
	})
}

// unreadable is fault for a value that becomes zero.
func (r *reader) unreadable(n *yaml.Node, path, format string, args ...any) {
	r.fault(n, path, format, args...)
	r.unread[path] = true
	r.poolsUnread = r.poolsUnread || poolName.MatchString(path)
}

// enter notes where a value stands and refuses the parts of YAML that JSON does not have. It returns false where the
// value cannot be read at all.
func (r *reader) enter(path string, n *yaml.Node) bool {
	r.positions[path] = Position{n.Line, n.Column}
	if n.Kind == yaml.AliasNode {
		r.unreadable(n, path, noAlias)
		return false
	}
	if n.Anchor != "" {
		r.fault(n, path, noAnchor)
	}
	if n.Style&yaml.TaggedStyle != 0 {
		r.unreadable(n, path, noTag, n.Tag)
		return false
	}
	return true
}

// object reads the fields of a mapping.
func (r *reader) object(path string, n *yaml.Node, fields []field) {
	if !r.enter(path, n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.unreadable(n, path, "must be an object, not %s", kind(n))
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			r.fault(key, path, "field name must be text, not %s", kind(key))
			continue
		}
		inner := join(path, key.Value)
		if line, ok := lines[key.Value]; ok {
			r.fault(key, inner, "duplicate field (the first is in line %d)", line)
			continue
		}
		lines[key.Value] = key.Line
		r.field(inner, key, value, fields)
	}
	for _, f := range fields {
		if lines[f.name] == 0 && f.required != "" {
			r.unreadable(n, join(path, f.name), "required (%s)", f.required)
		}
	}
}

func (r *reader) field(path string, key, value *yaml.Node, fields []field) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
	if i >= 0 {
		fields[i].read(path, value)
		return
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	if guess, ok := closest(key.Value, names); ok {
		r.fault(key, path, "unknown field (did you mean %s?)", guess)
		return
	}
	r.fault(key, path, "unknown field (known here: %s)", strings.Join(names, ", "))
}

// list reads the items of a sequence; nothing at all is an empty one.
func (r *reader) list(path string, n *yaml.Node, item func(path string, n *yaml.Node)) {
	if !r.enter(path, n) || isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.unreadable(n, path, "must be a list, not %s", kind(n))
		return
	}
	for i, one := range n.Content {
		item(fmt.Sprintf("%s[%d]", path, i), one)
	}
}

// unexplained leaves out violations that only follow from a value that could not be read, and was reported as that.
func (r *reader) unexplained(violations lb.Violations) lb.Violations {
	return slices.DeleteFunc(slices.Clone(violations), func(v lb.Violation) bool {
		if r.partial[v.Path] || r.poolsUnread && poolReference.MatchString(v.Path) {
			return true
		}
		for path := v.Path; path != ""; path = parent(path) {
			if r.unread[path] {
				return true
			}
		}
		return false
	})
}

var (
	poolReference = regexp.MustCompile(`^vips\[\d+\]\.pool$`)
	poolName      = regexp.MustCompile(`^pools(\[\d+\](\.name)?)?$`)
)

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// kind names what stands in the text.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	case yaml.ScalarNode, yaml.DocumentNode: // a document never stands inside one
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	}
	return "text"
}
