package main

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// fail makes a backend fail its checks.
func (s *server) fail(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sick[key] = true
}

// poolHealth counts who is up.
func (s *server) poolHealth(p lb.Pool) *sluicev1.PoolHealth {
	if p.Health.Type == lb.CheckNone {
		return nil
	}
	out := &sluicev1.PoolHealth{Threshold: p.PanicThreshold.Percent()}
	for _, b := range p.Backends {
		if b.Admin == lb.AdminEnabled {
			out.Enabled++
			if !s.sick[lb.BackendKey(p.Name, b.Name)] {
				out.Up++
			}
		}
	}
	out.Panic = p.PanicThreshold.Panics(int(out.GetUp()), int(out.GetEnabled()))
	return out
}

// backendHealth has answered three times, two seconds apart; who fails did so with the last.
func (s *server) backendHealth(p lb.Pool, b lb.Backend) *sluicev1.BackendHealth {
	pool := s.poolHealth(p)
	if pool == nil {
		return nil
	}
	out := &sluicev1.BackendHealth{State: sluicev1.BackendHealth_STATE_UP, Since: timestamppb.New(noon.Add(-time.Hour)), Reason: "status 200"}
	for i := range 3 {
		out.Results = append(out.Results, &sluicev1.CheckResult{
			Time: timestamppb.New(noon.Add(time.Duration(i-3) * 2 * time.Second)), Latency: durationpb.New(1234 * time.Microsecond),
			Grade: sluicev1.CheckResult_GRADE_GOOD, Detail: "status 200",
		})
	}
	if s.sick[lb.BackendKey(p.Name, b.Name)] {
		last := out.GetResults()[2]
		last.Grade, last.Detail = sluicev1.CheckResult_GRADE_SOFT, "status 503, want 200-399"
		out.State, out.Reason, out.Since = sluicev1.BackendHealth_STATE_DOWN, last.GetDetail(), last.GetTime()
		out.LastError, out.Ignored = last, pool.GetPanic()
	}
	return out
}

// effective is the configuration with the scale 0 for whoever fails and counts.
func (s *server) effective() lb.Config {
	out := s.config.Normalize()
	for i, p := range out.Pools {
		conditions := lb.Conditions{}
		if health := s.poolHealth(p); health != nil && !health.GetPanic() {
			for _, b := range p.Backends {
				if key := lb.BackendKey(p.Name, b.Name); s.sick[key] {
					conditions[key] = lb.ConditionSoft
				}
			}
		}
		out.Pools[i] = p.Effective(conditions)
	}
	return out
}

func (s *server) effectiveWeight(p lb.Pool, i int) uint32 {
	effective, _ := s.effective().Pool(p.Name)
	return effective.Backends[i].EffectiveWeight()
}

// checkTotals counts three checks for each backend.
func (s *server) checkTotals() *sluicev1.CheckTotals {
	out := &sluicev1.CheckTotals{MaxOutstanding: 100, Results: []*sluicev1.CheckTotals_Result{
		{Grade: sluicev1.CheckResult_GRADE_GOOD}, {Grade: sluicev1.CheckResult_GRADE_SOFT, Checks: uint64(len(s.sick))},
	}}
	for _, p := range s.config.Pools {
		if p.Health.Type != lb.CheckNone {
			out.Backends += uint32(len(p.Backends))
		}
	}
	if out.GetBackends() == 0 {
		return nil
	}
	out.Results[0].Checks = uint64(3*out.GetBackends()) - uint64(len(s.sick))
	return out
}
