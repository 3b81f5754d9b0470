package document

import (
	"math"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/lb"
)

func (r *reader) health(path string, n *yaml.Node) lb.Health {
	var h lb.Health
	r.object(path, n, []field{
		{"type", "tcp, http, https, grpc, dns or icmp", func(path string, n *yaml.Node) { h.Type = word(r, path, n, lb.ParseCheckType) }},
		{"port", "", func(path string, n *yaml.Node) {
			port, _ := r.integer(path, n, 1, math.MaxUint16)
			h.Port = uint16(port)
		}},
		{"path", "", func(path string, n *yaml.Node) { h.Path, _ = r.text(path, n) }},
		{"host", "", func(path string, n *yaml.Node) { h.Host, _ = r.text(path, n) }},
		{"expect", "", func(path string, n *yaml.Node) { h.Expect = r.statuses(path, n) }},
		{"query", "", func(path string, n *yaml.Node) { h.Query, _ = r.text(path, n) }},
		{"service", "", func(path string, n *yaml.Node) { h.Service, _ = r.text(path, n) }},
		{"interval", "", func(path string, n *yaml.Node) { h.Interval = r.duration(path, n) }},
		{"timeout", "", func(path string, n *yaml.Node) { h.Timeout = r.duration(path, n) }},
		{"rise", "", func(path string, n *yaml.Node) { h.Rise = r.inRow(path, n) }},
		{"fall", "", func(path string, n *yaml.Node) { h.Fall = r.inRow(path, n) }},
	})
	return h.WithDefaults()
}

func (r *reader) inRow(path string, n *yaml.Node) uint32 {
	count, _ := r.integer(path, n, 1, lb.MaxInRow)
	return uint32(count)
}

func (r *reader) panicThreshold(path string, n *yaml.Node) lb.PanicThreshold {
	percent, ok := r.integer(path, n, 0, 100)
	if !ok {
		return 0
	}
	return lb.PanicPercent(uint32(percent))
}

// statuses reads one status, which YAML takes for a number, or a range.
func (r *reader) statuses(path string, n *yaml.Node) lb.StatusRange {
	if !r.enter(path, n) {
		return lb.StatusRange{}
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!int" {
		r.unreadable(n, path, "must be an HTTP status or a range of them, such as 200-399, not %s", kind(n))
		return lb.StatusRange{}
	}
	statuses, err := lb.ParseStatusRange(n.Value)
	if err != nil {
		r.unreadable(n, path, "%v", err)
	}
	return statuses
}

// surfaceHealth is a check as it is written: defaults are absent.
type surfaceHealth struct {
	Type     string `json:"type" yaml:"type"`
	Port     uint16 `json:"port,omitempty" yaml:"port,omitempty"`
	Path     string `json:"path,omitempty" yaml:"path,omitempty"`
	Host     string `json:"host,omitempty" yaml:"host,omitempty"`
	Expect   string `json:"expect,omitempty" yaml:"expect,omitempty"`
	Query    string `json:"query,omitempty" yaml:"query,omitempty"`
	Service  string `json:"service,omitempty" yaml:"service,omitempty"`
	Interval string `json:"interval,omitempty" yaml:"interval,omitempty"`
	Timeout  string `json:"timeout,omitempty" yaml:"timeout,omitempty"`
	Rise     uint32 `json:"rise,omitempty" yaml:"rise,omitempty"`
	Fall     uint32 `json:"fall,omitempty" yaml:"fall,omitempty"`
}

// surfaceHealthOf is nil where there is no check.
func surfaceHealthOf(h lb.Health) *surfaceHealth {
	if h.Type == lb.CheckNone {
		return nil
	}
	h = h.WithDefaults()
	// What stays when everything that may be left out is: the defaults of this type and interval.
	usual := lb.Health{Type: h.Type, Interval: h.Interval}.WithDefaults()
	out := &surfaceHealth{
		Type: h.Type.String(), Host: h.Host, Query: h.Query, Service: h.Service,
		Port: unless(h.Port, usual.Port), Path: unless(h.Path, usual.Path),
		Rise: unless(h.Rise, lb.DefaultRise), Fall: unless(h.Fall, lb.DefaultFall),
	}
	if h.Expect != usual.Expect {
		out.Expect = h.Expect.String()
	}
	if h.Interval != lb.DefaultInterval {
		out.Interval = h.Interval.String()
	}
	if h.Timeout != usual.Timeout {
		out.Timeout = h.Timeout.String()
	}
	return out
}

// unless is the zero value where value is the default.
func unless[T comparable](value, usual T) T {
	if value == usual {
		var zero T
		return zero
	}
	return value
}

// MarshalYAML puts a check on one line.
func (h *surfaceHealth) MarshalYAML() (any, error) {
	type plain surfaceHealth // without this method
	var n yaml.Node
	err := n.Encode((*plain)(h))
	n.Style = yaml.FlowStyle
	return &n, err
}

// surfacePanic is nil for the default.
func surfacePanic(t lb.PanicThreshold) *uint32 {
	if t == 0 {
		return nil
	}
	percent := t.Percent()
	return &percent
}
