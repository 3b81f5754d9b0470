package lb

import (
	"fmt"
	"strings"
)

// Encap is how a packet travels to a backend.
type Encap uint8

// The ways.
const (
	// EncapIPIP puts an outer IPv4 or IPv6 header in front, whatever the family inside (RFC 2003, RFC 2473, RFC 4213).
	EncapIPIP Encap = iota
	// EncapL2 puts nothing in front and rewrites the link-layer addresses: for backends on a segment of the node's own.
	EncapL2
)

// Encaps lists every Encap.
var Encaps = []Encap{EncapIPIP, EncapL2}

var encapNames = [...]string{EncapIPIP: "ipip", EncapL2: "l2"}

// String is the document's word for e.
func (e Encap) String() string {
	if int(e) < len(encapNames) {
		return encapNames[e]
	}
	return fmt.Sprintf("encap(%d)", uint8(e))
}

// ParseEncap accepts what String prints.
func ParseEncap(s string) (Encap, error) {
	for _, e := range Encaps {
		if s == e.String() {
			return e, nil
		}
	}
	return 0, fmt.Errorf("encap %q: must be one of %s", s, strings.Join(encapNames[:], ", "))
}

// EncapOverride is an Encap of a backend's own, or the zero value: the backend travels as its pool says.
type EncapOverride uint8

// OverrideEncap is the override that says e.
func OverrideEncap(e Encap) EncapOverride { return EncapOverride(e) + 1 }

// Get returns the Encap; false where the pool's holds.
func (o EncapOverride) Get() (Encap, bool) { return Encap(o - 1), o != 0 }

// String is the document's word, or nothing for the zero value.
func (o EncapOverride) String() string {
	if e, ok := o.Get(); ok {
		return e.String()
	}
	return ""
}

// EncapOf is how packets travel to one of the pool's backends.
func (p Pool) EncapOf(b Backend) Encap {
	if e, ok := b.Encap.Get(); ok {
		return e
	}
	return p.Encap
}
