package metrics

import (
	"github.com/sluice-lb/sluice/proto/jsonwire"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// healthFamilies tell what the health checks found and how many there are. Where nothing is checked they are absent.
type healthFamilies struct {
	backendHealth                           *Family
	poolUp, poolEnabled, poolPanic          *Family
	checks, checksLate                      *Family
	checkedBackends, outstanding, outAtMost *Family
}

func newHealthFamilies() healthFamilies {
	return healthFamilies{
		backendHealth: gauge("sluice_backend_health", "1 for what the checks of the backend found: unchecked, up, down or gone. Absent where its pool has no check.", "pool", "backend", "state"),

		poolUp:      gauge("sluice_pool_backends_up", "Enabled backends of the pool that are up or were not checked yet. Absent where the pool has no check.", "pool"),
		poolEnabled: gauge("sluice_pool_backends_enabled", "Backends of the pool that are neither drained nor disabled. Absent where the pool has no check.", "pool"),
		poolPanic:   gauge("sluice_pool_panic", "1 while so few backends of the pool are up that health is ignored and all are used. Absent where the pool has no check.", "pool"),

		checks:          counter("sluice_checks_total", "Health checks that ended since lbd started, by grade. good: it answered as it must; soft: a wrong answer; silent: none; hard: the network says that the host cannot be reached; void: the node could not make the check.", "grade"),
		checksLate:      counter("sluice_checks_late_total", "Health checks that began more than half an interval after they were due, since lbd started."),
		checkedBackends: gauge("sluice_checks_backends", "Backends that are checked; one that is in two pools counts twice."),
		outstanding:     gauge("sluice_checks_outstanding", "Health checks that run now."),
		outAtMost:       gauge("sluice_checks_outstanding_limit", "How many health checks may run at once."),
	}
}

func (f *healthFamilies) list() []*Family {
	return []*Family{
		f.backendHealth, f.poolUp, f.poolEnabled, f.poolPanic,
		f.checks, f.checksLate, f.checkedBackends, f.outstanding, f.outAtMost,
	}
}

func (s *scrape) checkTotals(t *sluicev1.CheckTotals) {
	if t == nil {
		return
	}
	for _, r := range t.GetResults() {
		grade := r.GetGrade()
		s.put(s.checks, float64(r.GetChecks()), jsonwire.Word(grade.Descriptor(), grade.Number()))
	}
	s.put(s.checksLate, float64(t.GetLate()))
	s.put(s.checkedBackends, float64(t.GetBackends()))
	s.put(s.outstanding, float64(t.GetOutstanding()))
	s.put(s.outAtMost, float64(t.GetMaxOutstanding()))
}

func (s *scrape) healthOfPool(h *sluicev1.PoolHealth, pool string) {
	if h == nil {
		return
	}
	s.put(s.poolUp, float64(h.GetUp()), pool)
	s.put(s.poolEnabled, float64(h.GetEnabled()), pool)
	s.put(s.poolPanic, oneIf(h.GetPanic()), pool)
}

func (s *scrape) healthOfBackend(h *sluicev1.BackendHealth, pool, name string) {
	if h == nil {
		return
	}
	state := h.GetState()
	s.put(s.backendHealth, 1, pool, name, jsonwire.Word(state.Descriptor(), state.Number()))
}

// certificates puts the first end of each use: a file of CAs holds several while they are exchanged.
func (s *scrape) certificates(all []*sluicev1.Certificate) {
	first := map[string]float64{}
	for _, c := range all {
		end := float64(c.GetNotAfter().AsTime().Unix())
		if was, ok := first[c.GetUse()]; !ok || end < was {
			first[c.GetUse()] = end
		}
	}
	for use, end := range first {
		s.put(s.certificateNotAfter, end, use)
	}
}
