package lb

import "fmt"

// Admin is what an operator ordered for a backend.
type Admin uint8

// The orders.
const (
	// AdminEnabled takes part by its weight, scale and health.
	AdminEnabled Admin = iota
	// AdminDrained takes no new flows; the ones it has go on.
	AdminDrained
	// AdminDisabled takes no packets at all: its flows are lost.
	AdminDisabled
)

// Admins lists every Admin.
var Admins = []Admin{AdminEnabled, AdminDrained, AdminDisabled}

// String is the document's word for a.
func (a Admin) String() string {
	switch a {
	case AdminEnabled:
		return "enabled"
	case AdminDrained:
		return "drained"
	case AdminDisabled:
		return "disabled"
	}
	return fmt.Sprintf("admin(%d)", uint8(a))
}

// ParseAdmin accepts what String prints.
func ParseAdmin(s string) (Admin, error) {
	for _, a := range Admins {
		if s == a.String() {
			return a, nil
		}
	}
	return 0, fmt.Errorf("admin %q: must be one of enabled, drained, disabled", s)
}

// Condition is what the node measured of a backend.
type Condition uint8

// The conditions.
const (
	// ConditionUp takes part.
	ConditionUp Condition = iota
	// ConditionSoft takes no new flows; the ones it has go on. A check fails, but the host may well serve them.
	ConditionSoft
	// ConditionHard takes no packets: its host is gone, and its flows with it.
	ConditionHard
)

// String names c.
func (c Condition) String() string {
	switch c {
	case ConditionUp:
		return "up"
	case ConditionSoft:
		return "soft"
	case ConditionHard:
		return "hard"
	}
	return fmt.Sprintf("condition(%d)", uint8(c))
}

// Conditions maps a BackendKey to its condition. A backend that is missing is up.
type Conditions map[string]Condition

// Effective is the pool as its slot table is built: a backend that is not enabled or not up has scale 0.
func (p Pool) Effective(conditions Conditions) Pool {
	out := p
	out.Backends = make([]Backend, len(p.Backends))
	for i, b := range p.Backends {
		if !b.Takes(conditions[BackendKey(p.Name, b.Name)]) {
			b.Scale = 0
		}
		out.Backends[i] = b
	}
	return out
}

// Takes tells whether the backend takes new flows in a condition, if it has weight.
func (b Backend) Takes(c Condition) bool { return b.Admin == AdminEnabled && c == ConditionUp }

// Dead tells whether the backend's flows are lost: it must get no packet.
func (b Backend) Dead(c Condition) bool { return b.Admin == AdminDisabled || c == ConditionHard }
