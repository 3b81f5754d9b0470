package nexthop

import (
	"net/netip"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

// State of a next hop.
type State uint8

const (
	// NoRoute: the kernel has no unicast route to the address.
	NoRoute State = iota + 1
	// Resolving: the link-layer address is being resolved and never was before.
	Resolving
	// Reachable: the link-layer address is known and confirmed.
	Reachable
	// Stale: the link-layer address is in use; the kernel is confirming it.
	Stale
	// Failed: nobody answers; the last good address, if there was one, stays in use.
	Failed
	// EgressUnmanaged: the route leads out of an interface that is not managed.
	EgressUnmanaged
)

// States lists every State.
var States = []State{NoRoute, Resolving, Reachable, Stale, Failed, EgressUnmanaged}

var stateNames = [...]string{"unknown", "no_route", "resolving", "reachable", "stale", "failed", "egress_unmanaged"}

// String is the state's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "invalid"
}

// Status is what is known of one address.
type Status struct {
	// State is 0 while the kernel could not be asked.
	State State
	// Since is when the state was entered.
	Since time.Time
	// Route is the zero value in NoRoute.
	Route Route
	// MAC is the next hop's link-layer address in use; zero where it never was known.
	MAC lb.MAC
}

// Hop is the status as the data plane needs it; the zero value where there is no route.
func (s Status) Hop() lb.NextHop {
	if s.State == 0 || s.State == NoRoute {
		return lb.NextHop{}
	}
	r := s.Route
	return lb.NextHop{Interface: r.Interface, InterfaceMAC: r.InterfaceMAC, Source: r.Source, SourceBits: r.SourceBits,
		Direct: !r.Gateway.IsValid(), MTU: r.MTU, MAC: s.MAC}
}

// entry is one watched address.
type entry struct {
	Status
	address   netip.Addr
	condition Condition
	probeAt   time.Time
}

// setRoute takes a route, or the lack of one. Where the route moved to another gateway of the same segment the old
// one's link-layer address stays in use until the new one's is known: it may still forward, and nothing else would. On
// another segment the address is worth nothing.
func (e *entry) setRoute(r Route, ok bool) {
	if !ok {
		r = Route{}
	}
	had := e.Route != Route{}
	if had && e.Route.neighbour(e.address) != r.neighbour(e.address) {
		e.condition, e.probeAt = Unknown, time.Time{}
		if e.Route.Index != r.Index {
			e.MAC = lb.MAC{}
		}
	}
	e.Route = r
}

// setNeighbour takes the kernel's entry. A link-layer address is good in every condition in which the kernel itself
// would send to it, and is kept in every other.
func (e *entry) setNeighbour(n Neighbour) {
	e.condition = n.Condition
	good := n.Condition == Confirmed || n.Condition == Unconfirmed || n.Condition == Fixed
	if good && !n.MAC.IsZero() {
		e.MAC = n.MAC
	}
}

// next is the state that follows from what is known.
func (e *entry) next(managed bool) State {
	switch {
	case e.Route == Route{}:
		return NoRoute
	case !managed:
		return EgressUnmanaged
	case e.condition == Unanswered:
		return Failed
	case e.condition == Unknown || e.condition == Incomplete:
		// Asking again after a failure is still a failure: the state must not flap with every attempt.
		if e.State == Failed {
			return Failed
		}
		if e.MAC.IsZero() {
			return Resolving
		}
		return Stale
	case e.condition == Unconfirmed:
		return Stale
	}
	return Reachable
}

// interval is how long after one probe the next is due; 0 is never.
func (e *entry) interval() time.Duration {
	switch {
	case e.State == 0 || e.State == NoRoute || e.State == EgressUnmanaged || e.condition == Fixed:
		return 0
	case e.State == Resolving || e.State == Failed || e.condition == Unknown:
		return RetryInterval
	}
	return ProbeInterval
}
