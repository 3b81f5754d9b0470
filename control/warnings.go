package control

import (
	"fmt"

	"github.com/sluice-lb/sluice/control/nexthop"
	"github.com/sluice-lb/sluice/lb"
)

// Warnings lists what an operator should look at; empty when all is well.
func (e *Engine) Warnings() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.warningsLocked(e.state.Load().Config)
}

func (e *Engine) warningsLocked(cfg lb.Config) []string {
	out := cfg.Warnings()
	for _, p := range cfg.Pools {
		for _, b := range p.Backends {
			if w := wayWarning(e.Status(b.Address), p.EncapOf(b)); w != "" {
				out = append(out, fmt.Sprintf("backend %q (%s): %s", lb.BackendKey(p.Name, b.Name), b.Address, w))
			}
		}
	}
	out = append(out, e.healthWarnings(cfg)...)
	if e.uncommitted != nil {
		out = append(out, fmt.Sprintf("revision %d is live and will survive a restart, but is not committed in the store yet: %v", e.state.Load().Revision, e.uncommitted))
	}
	if e.unpublished != nil {
		out = append(out, fmt.Sprintf("next hops or health changed but are not published yet: %v", e.unpublished))
	}
	return append(out, e.confirmWarningsLocked()...)
}

// wayWarning says what hopWarning does, of packets of an encap.
func wayWarning(s nexthop.Status, encap lb.Encap) string {
	if encap == lb.EncapL2 && offSegment(s) {
		return fmt.Sprintf("its encap is l2, but its route leads through the router %s: its packets are dropped (use ipip, or give the node an address on the backend's segment)", s.Route.Gateway)
	}
	return hopWarning(s)
}

// hopWarning says why packets do not reach a backend, or soon may not.
func hopWarning(s nexthop.Status) string {
	switch s.State {
	case nexthop.NoRoute:
		return "no route: its packets are dropped"
	case nexthop.Resolving:
		return fmt.Sprintf("its next hop behind %s is not resolved yet: its packets are dropped", s.Route.Interface)
	case nexthop.Failed:
		if s.MAC.IsZero() {
			return fmt.Sprintf("its next hop behind %s does not answer: its packets are dropped", s.Route.Interface)
		}
		return fmt.Sprintf("its next hop behind %s does not answer: the last good address %s stays in use", s.Route.Interface, s.MAC)
	case nexthop.EgressUnmanaged:
		return fmt.Sprintf("its route leads out of %s, which is not a managed interface: its packets are dropped (add it with --interface)", s.Route.Interface)
	case nexthop.Reachable, nexthop.Stale:
	}
	return ""
}
