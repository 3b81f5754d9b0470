package document

import (
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/lb"
)

// text reads a string. What YAML takes for a number or a date must be quoted; false means that a fault was reported.
func (r *reader) text(path string, n *yaml.Node) (string, bool) {
	if !r.enter(path, n) {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || isNull(n) {
		r.unreadable(n, path, "must be text, not %s", kind(n))
		return "", false
	}
	if n.Tag != "!!str" {
		r.unreadable(n, path, "must be text, not %s (quote it: %q)", kind(n), n.Value)
		return "", false
	}
	return n.Value, true
}

// decimal has no sign, no leading zero (YAML 1.1 reads 010 as 8) and no underscore.
var decimal = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// integer reads a whole number from low to high.
func (r *reader) integer(path string, n *yaml.Node, low, high uint64) (uint64, bool) {
	if !r.enter(path, n) {
		return 0, false
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" {
		r.unreadable(n, path, "must be an integer from %d to %d, not %s%s", low, high, kind(n), quoted(n))
		return 0, false
	}
	v, err := strconv.ParseUint(n.Value, 10, 64)
	if err != nil || !decimal.MatchString(n.Value) || v < low || v > high {
		r.unreadable(n, path, "%s: must be an integer from %d to %d", n.Value, low, high)
		return 0, false
	}
	return v, true
}

// quoted is the remedy for a number in quotes.
func quoted(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode && decimal.MatchString(n.Value) {
		return " (remove the quotes)"
	}
	return ""
}

func (r *reader) scale(path string, n *yaml.Node) lb.Scale {
	const most = lb.MaxScale / lb.ScaleOne
	if !r.enter(path, n) {
		return lb.ScaleOne
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" {
		r.unreadable(n, path, "must be a number from 0 to %d, not %s", most, kind(n))
		return lb.ScaleOne
	}
	v, err := strconv.ParseFloat(n.Value, 64)
	thousandths := v * float64(lb.ScaleOne)
	rounded := math.Round(thousandths)
	switch {
	case err != nil || !(v >= 0 && v <= float64(most)): // the negation also refuses .nan
		r.unreadable(n, path, "%s: must be a number from 0 to %d", n.Value, most)
	case math.Abs(thousandths-rounded) > 1e-9: // far above the error of binary fractions, far below any digit meant
		r.unreadable(n, path, "%s: must have at most three decimals", n.Value)
	default:
		return lb.Scale(rounded)
	}
	return lb.ScaleOne
}

// duration reads 2s, 5m, 1h30m. One that is written down and 0 is a fault: absent is what means the default.
func (r *reader) duration(path string, n *yaml.Node) time.Duration {
	text, ok := r.text(path, n)
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		r.unreadable(n, path, "%q is not a duration (write it as 30s, 5m or 1h)", text)
	case d <= 0:
		r.unreadable(n, path, "%s is not a duration above 0", text)
	}
	return d
}

func (r *reader) address(path string, n *yaml.Node) netip.Addr {
	text, ok := r.text(path, n)
	if !ok {
		return netip.Addr{}
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		r.unreadable(n, path, "%q is not an IPv4 or IPv6 address%s", text, addressRemedy(text))
	}
	return address
}

func addressRemedy(text string) string {
	if _, err := netip.ParsePrefix(text); err == nil {
		return " (prefixes are not in this release)"
	}
	if _, err := netip.ParseAddrPort(text); err == nil {
		return " (ports have a field of their own)"
	}
	return ""
}

// word reads an enumeration of lb by its own parser.
func word[T any](r *reader, path string, n *yaml.Node, parse func(string) (T, error)) T {
	var zero T
	text, ok := r.text(path, n)
	if !ok {
		return zero
	}
	value, err := parse(text)
	if err != nil {
		r.unreadable(n, path, "%v", err)
	}
	return value
}

var portRange = regexp.MustCompile(`^[0-9]+ *- *[0-9]+$`)

// port reads one port; false means that a fault was reported.
func (r *reader) port(path string, n *yaml.Node) (uint16, bool) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Anchor == "" {
		switch text := strings.TrimSpace(n.Value); {
		case text == "any":
			r.unreadable(n, path, "\"any\" is not in this release (list each port)")
			return 0, false
		case portRange.MatchString(text):
			r.unreadable(n, path, "port ranges such as %q are not in this release (list each port)", text)
			return 0, false
		}
	}
	v, ok := r.integer(path, n, 1, math.MaxUint16)
	return uint16(v), ok
}
