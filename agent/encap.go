package agent

import (
	"fmt"
	"slices"
	"strings"
)

// Encaps are the ways by which packets reach the backend. The zero value is ipip alone.
type Encaps struct{ noIPIP, l2 bool }

// encapWords are the words of ParseEncaps.
var encapWords = []string{"ipip", "l2"}

// ParseEncaps reads a list: "ipip" (outer headers are taken off, IPv4 or IPv6 in either) and "l2" (there are none: the load
// balancer is on this host's segment). At least one.
func ParseEncaps(words []string) (Encaps, error) {
	for _, w := range words {
		if !slices.Contains(encapWords, w) {
			return Encaps{}, fmt.Errorf("encap %q: must be one of %s", w, strings.Join(encapWords, ", "))
		}
	}
	if len(words) == 0 {
		return Encaps{}, fmt.Errorf("no encap (give at least one of %s)", strings.Join(encapWords, ", "))
	}
	return Encaps{noIPIP: !slices.Contains(words, "ipip"), l2: slices.Contains(words, "l2")}, nil
}

// String is what ParseEncaps reads, separated by commas.
func (e Encaps) String() string {
	switch {
	case !e.l2:
		return "ipip"
	case e.noIPIP:
		return "l2"
	}
	return "ipip,l2"
}

// decap tells whether there are outer headers to take off.
func (e Encaps) decap() bool { return !e.noIPIP }
