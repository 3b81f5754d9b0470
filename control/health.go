package control

import (
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-lb/sluice/control/health"
	"github.com/sluice-lb/sluice/control/nexthop"
	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// Health is what the Engine needs of the health checks. *health.Checker implements it.
type Health interface {
	Inherit(lb.Conditions)
	Track(lb.Config)
	Conditions(lb.Config) lb.Conditions
	Changes() <-chan struct{}
	Backend(key string) (health.Status, bool)
	Pool(name string) (health.PoolStatus, bool)
	Totals() health.Totals
}

// noHealth checks nothing: all backends are up.
type noHealth struct{}

func (noHealth) Inherit(lb.Conditions)                      {}
func (noHealth) Track(lb.Config)                            {}
func (noHealth) Conditions(lb.Config) lb.Conditions         { return lb.Conditions{} }
func (noHealth) Changes() <-chan struct{}                   { return nil }
func (noHealth) Backend(string) (s health.Status, ok bool)  { return s, false }
func (noHealth) Totals() (t health.Totals)                  { return t }
func (noHealth) Pool(string) (s health.PoolStatus, ok bool) { return s, false }

// hopPatience is how long a next hop may be unusable before the hosts behind it count as gone.
const hopPatience = 3 * time.Second

// HostGone says why packets cannot reach a host at all, by its next hop; empty where they may. It is the Gone of
// health.Options.
func HostGone(hops NextHops) func(netip.Addr) string {
	return func(a netip.Addr) string {
		s, ok := hops.Status(a)
		if !ok || time.Since(s.Since) <= hopPatience {
			return ""
		}
		switch s.State {
		case nexthop.NoRoute:
			return "no route to the host"
		case nexthop.Failed:
			return fmt.Sprintf("next hop behind %s does not answer", s.Route.Interface)
		case nexthop.EgressUnmanaged:
			return fmt.Sprintf("next hop is behind %s, which is not a managed interface", s.Route.Interface)
		case nexthop.Resolving, nexthop.Reachable, nexthop.Stale:
		}
		return ""
	}
}

// maxHealthWarnings bounds the warnings about single backends of one pool.
const maxHealthWarnings = 5

// healthWarnings lists pools that panic and backends that are down without anybody having ordered it.
func (e *Engine) healthWarnings(cfg lb.Config) []string {
	var out []string
	for _, p := range cfg.Pools {
		pool, ok := e.health.Pool(p.Name)
		if !ok {
			continue
		}
		if pool.Panic {
			out = append(out, fmt.Sprintf("pool %q panics: %d of its %d enabled backends are up, fewer than %d %%: health is ignored and all are used",
				p.Name, pool.Up, pool.Enabled, pool.Threshold))
		}
		found := 0
		for _, b := range p.Backends {
			w := e.healthWarning(p.Name, b)
			if w == "" {
				continue
			}
			if found++; found <= maxHealthWarnings {
				out = append(out, w)
			}
		}
		if more := found - maxHealthWarnings; more > 0 {
			out = append(out, fmt.Sprintf("pool %q: %d more backends like these (see lbctl get backends --pool %s)", p.Name, more, p.Name))
		}
	}
	return out
}

// healthWarning is empty where a backend is well, or out of service by order.
func (e *Engine) healthWarning(pool string, b lb.Backend) string {
	key := lb.BackendKey(pool, b.Name)
	s, ok := e.health.Backend(key)
	if !ok || b.Admin != lb.AdminEnabled {
		return ""
	}
	switch n := len(s.Results); {
	case s.Condition == lb.ConditionHard:
		return fmt.Sprintf("backend %q (%s) is gone: %s", key, b.Address, s.Reason)
	case s.Condition == lb.ConditionSoft:
		return fmt.Sprintf("backend %q (%s) is down: %s", key, b.Address, s.Reason)
	case n > 0 && s.Results[n-1].Grade == health.Void:
		return fmt.Sprintf("backend %q (%s) cannot be checked: %s", key, b.Address, s.Results[n-1].Detail)
	}
	return ""
}

// backendHealth is nil where the backend is not checked.
func (v view) backendHealth(pool, name string) *sluicev1.BackendHealth {
	s, ok := v.engine.health.Backend(lb.BackendKey(pool, name))
	if !ok {
		return nil
	}
	p, _ := v.engine.health.Pool(pool)
	out := &sluicev1.BackendHealth{
		State: healthState(s), Since: timestamppb.New(s.Since), Reason: s.Reason,
		Ignored: p.Panic && s.Condition != lb.ConditionUp,
	}
	if !s.LastError.At.IsZero() {
		out.LastError = checkResult(s.LastError)
	}
	for _, r := range s.Results {
		out.Results = append(out.Results, checkResult(r))
	}
	return out
}

// healthState is the state with what the next hop says.
func healthState(s health.Status) sluicev1.BackendHealth_State {
	switch {
	case s.Condition == lb.ConditionHard:
		return sluicev1.BackendHealth_STATE_GONE
	case s.Condition == lb.ConditionSoft:
		return sluicev1.BackendHealth_STATE_DOWN
	case s.State == health.Unchecked:
		return sluicev1.BackendHealth_STATE_UNCHECKED
	}
	return sluicev1.BackendHealth_STATE_UP
}

func (e *Engine) poolHealth(name string) *sluicev1.PoolHealth {
	s, ok := e.health.Pool(name)
	if !ok {
		return nil
	}
	return &sluicev1.PoolHealth{Up: uint32(s.Up), Enabled: uint32(s.Enabled), Panic: s.Panic, Threshold: s.Threshold}
}

// checkTotals is nil where nothing is checked.
func (e *Engine) checkTotals() *sluicev1.CheckTotals {
	t := e.health.Totals()
	if t.Checked == 0 {
		return nil
	}
	out := &sluicev1.CheckTotals{
		Backends: uint32(t.Checked), Outstanding: uint32(t.Outstanding), MaxOutstanding: uint32(t.MaxOutstanding), Late: t.Late,
	}
	for g := health.Good; int(g) < len(t.Results); g++ {
		out.Results = append(out.Results, &sluicev1.CheckTotals_Result{Grade: grades[g], Checks: t.Results[g]})
	}
	return out
}

var grades = map[health.Grade]sluicev1.CheckResult_Grade{
	health.Good:   sluicev1.CheckResult_GRADE_GOOD,
	health.Soft:   sluicev1.CheckResult_GRADE_SOFT,
	health.Silent: sluicev1.CheckResult_GRADE_SILENT,
	health.Hard:   sluicev1.CheckResult_GRADE_HARD,
	health.Void:   sluicev1.CheckResult_GRADE_VOID,
}

func checkResult(r health.Result) *sluicev1.CheckResult {
	return &sluicev1.CheckResult{Time: timestamppb.New(r.At), Latency: durationpb.New(r.Latency), Grade: grades[r.Grade], Detail: r.Detail}
}
