package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/control/access"
)

// readNodeFile reads the node's file over s. Errors are "FILE:LINE:COL: path: message", one a line.
func readNodeFile(s *settings, name string, data []byte) error {
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	var root yaml.Node
	if err := d.Decode(&root); errors.Is(err, io.EOF) {
		return nil // an empty file says nothing
	} else if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more than one document (keep one)", name)
	}
	r := nodeReader{name: name}
	r.object("", root.Content[0], fields{
		"interfaces": r.list(&s.interfaces),
		"mode":       r.text(&s.mode),
		"api":        r.textOrList(&s.api),
		"api_group":  r.text(&s.apiGroup),
		"http":       r.text(&s.http),
		"http_hosts": r.list(&s.httpHosts),
		"state_dir":  r.text(&s.stateDir),
		"bpffs_dir":  r.text(&s.bpffsDir),
		"seed_file":  r.text(&s.seedFile),
		"unmatched":  r.text(&s.unmatched),
		"log_format": r.text(&s.logFormat),
		"history":    r.number(&s.history),
		"audit_log":  r.text(&s.auditLog),
		"tls": func(path string, n *yaml.Node) {
			r.object(path, n, fields{
				"cert":      r.text(&s.tls.Cert),
				"key":       r.text(&s.tls.Key),
				"client_ca": r.text(&s.tls.ClientCA),
			})
		},
		"roles": func(path string, n *yaml.Node) {
			roles := fields{}
			for _, role := range access.Roles {
				roles[role.String()] = r.rules(role, &s.roles)
			}
			r.object(path, n, roles)
		},
		"limits": func(path string, n *yaml.Node) {
			r.object(path, n, fields{
				"vips":     r.number(&s.limits.VIPs),
				"backends": r.number(&s.limits.Backends),
				"slots":    r.number(&s.limits.Slots),
				"flows_v4": r.number(&s.limits.FlowsV4),
				"flows_v6": r.number(&s.limits.FlowsV6),
			})
		},
	})
	return errors.Join(r.faults...)
}

// fields are the readers of an object's fields by name.
type fields map[string]func(path string, n *yaml.Node)

type nodeReader struct {
	name   string
	faults []error
}

func (r *nodeReader) fault(n *yaml.Node, path, format string, args ...any) {
	if path != "" {
		path += ": "
	}
	r.faults = append(r.faults, fmt.Errorf("%s:%d:%d: %s%s", r.name, n.Line, n.Column, path, fmt.Sprintf(format, args...)))
}

func (r *nodeReader) object(path string, n *yaml.Node, known fields) {
	if n.Kind != yaml.MappingNode {
		r.fault(n, path, "must be an object with fields %s", known)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		read, ok := known[key.Value]
		switch {
		case !ok:
			r.fault(key, at, "unknown field (known are %s)", known)
		case seen[key.Value]:
			r.fault(key, at, "named twice (remove one)")
		default:
			read(at, value)
		}
		seen[key.Value] = true
	}
}

// String lists the names for messages.
func (f fields) String() string { return strings.Join(slices.Sorted(maps.Keys(f)), ", ") }

func (r *nodeReader) text(to *string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			r.fault(n, path, "must be text")
			return
		}
		*to = n.Value
	}
}

func (r *nodeReader) list(to *[]string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			r.fault(n, path, "must be a list, such as [eth0, eth1]")
			return
		}
		*to = nil // instead of the default
		for i, item := range n.Content {
			var s string
			r.text(&s)(fmt.Sprintf("%s[%d]", path, i), item)
			*to = append(*to, s)
		}
	}
}

// textOrList reads one text where one is enough.
func (r *nodeReader) textOrList(to *[]string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		if n.Kind == yaml.SequenceNode {
			r.list(to)(path, n)
			return
		}
		var s string
		r.text(&s)(path, n)
		*to = []string{s}
	}
}

// rules reads who has a role.
func (r *nodeReader) rules(role access.Role, to *[]access.Rule) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		var texts []string
		r.list(&texts)(path, n)
		for i, text := range texts {
			rule, err := access.ParseRule(role, text)
			if err != nil {
				r.fault(n.Content[i], fmt.Sprintf("%s[%d]", path, i), "%v", err)
				continue
			}
			*to = append(*to, rule)
		}
	}
}

func (r *nodeReader) number(to *uint32) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		v, err := strconv.ParseUint(n.Value, 10, 32)
		if n.Kind != yaml.ScalarNode || err != nil {
			r.fault(n, path, "%q: must be a number", n.Value)
			return
		}
		*to = uint32(v)
	}
}
