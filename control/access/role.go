package access

import (
	"fmt"
	"strings"
)

// Role is what a caller may do; each one includes those before it.
type Role uint8

const (
	// None is the role of callers that no rule names.
	None Role = iota
	// Viewer reads.
	Viewer
	// Operator also moves load: weights, draining, the administrative state of backends.
	Operator
	// Editor also changes the configuration.
	Editor
)

// Roles are those that a rule can give, the weakest first.
var Roles = []Role{Viewer, Operator, Editor}

func (r Role) String() string {
	switch r {
	case None:
		return "none"
	case Viewer:
		return "viewer"
	case Operator:
		return "operator"
	case Editor:
		return "editor"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// ParseRole is the reverse of String.
func ParseRole(text string) (Role, error) {
	var words []string
	for _, r := range Roles {
		if r.String() == text {
			return r, nil
		}
		words = append(words, r.String())
	}
	return None, fmt.Errorf("role %q: must be one of %s", text, strings.Join(words, ", "))
}
