package main

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// motion is what the made-up flows do: a backend that stops owning slots keeps 8 of them and 4 flows. The flows end one a
// second, the slots with the last of them. Where drain_max is sooner, the slots go then and the flows stay.
type motion struct {
	drains map[string]drain
	left   []departed
}

type drain struct {
	since time.Time
	max   time.Duration
}

// departed is a backend that was removed.
type departed struct {
	pool    string
	backend lb.Backend
	since   time.Time
}

const keptSlots, keptFlows = 8, 4

// note compares the configuration before and after a write.
func (m *motion) note(old, next lb.Config, now time.Time) {
	drains := map[string]drain{}
	for _, p := range old.Pools {
		is, _ := next.Pool(p.Name)
		for _, was := range p.Backends {
			key := lb.BackendKey(p.Name, was.Name)
			b, ok := is.Backend(was.Name)
			if !ok || b.Address != was.Address {
				m.left = append(m.left, departed{p.Name, was, now})
			}
			if !ok || b.Admin != lb.AdminDrained {
				continue
			}
			drains[key] = drain{since: now, max: is.DrainMax}
			if d, goesOn := m.drains[key]; goesOn {
				drains[key] = d
			}
		}
	}
	m.drains = drains
}

// kept is what is left after a while.
func kept(d time.Duration) (slots, flows uint32) {
	flows = keptFlows - uint32(min(d/time.Second, keptFlows))
	if flows > 0 {
		slots = keptSlots
	}
	return slots, flows
}

func (d drain) describe(item *sluicev1.BackendStatus, now time.Time) {
	after := now.Sub(d.since)
	item.KeepsSlots, item.Flows = kept(after)
	switch {
	case d.max > 0 && after >= d.max:
		item.KeepsSlots, item.DrainEnd = 0, sluicev1.DrainEnd_DRAIN_END_DEADLINE
	case item.Flows == 0:
		item.DrainEnd = sluicev1.DrainEnd_DRAIN_END_QUIET
	}
}

// describe adds to a configured backend what it keeps.
func (m *motion) describe(item *sluicev1.BackendStatus, b lb.Backend, now time.Time) {
	if d, ok := m.drains[lb.BackendKey(item.GetPool(), b.Name)]; ok {
		d.describe(item, now)
	}
}

// leaving lists those that have flows left.
func (m *motion) leaving(p lb.Pool, asked func(lb.Pool, lb.Backend) bool, now time.Time) []*sluicev1.BackendStatus {
	var out []*sluicev1.BackendStatus
	for _, d := range m.left {
		slots, flows := kept(now.Sub(d.since))
		if d.pool != p.Name || flows == 0 || !asked(p, d.backend) {
			continue
		}
		b := translate.BackendToProto(lb.Backend{Name: d.backend.Name, Address: d.backend.Address})
		b.Admin = sluicev1.Admin_ADMIN_UNSPECIFIED
		out = append(out, &sluicev1.BackendStatus{
			Pool: p.Name, Backend: b, PoolSlots: p.SlotCount(), NextHop: hop(d.backend), Counter: &sluicev1.Counter{}, Index: 99,
			KeepsSlots: slots, Flows: flows, Leaving: true,
		})
	}
	return out
}

// slots counts those of a pool in transition; as many again are pinned.
func (m *motion) slots(pool string, now time.Time) (transition, pinned uint32) {
	for key, d := range m.drains {
		if p, _ := lb.SplitKey(key); p == pool {
			item := &sluicev1.BackendStatus{}
			d.describe(item, now)
			transition += item.GetKeepsSlots()
		}
	}
	return transition, transition
}

// tracking is nothing until something moved.
func (m *motion) tracking() *sluicev1.Tracking {
	if len(m.drains) == 0 {
		return &sluicev1.Tracking{}
	}
	return &sluicev1.Tracking{Lookups: 500, Hits: 400, Inserts: 60, Held: 7}
}

func (s *server) SetAdmin(ctx context.Context, r *sluicev1.SetAdminRequest) (*sluicev1.SetAdminResponse, error) {
	outcome, err := s.setBackend(ctx, r.GetOptions(), r.GetPool(), r.GetName(), func(p *lb.Pool, i int) (err error) {
		b := translate.BackendToProto(p.Backends[i])
		b.Admin = r.GetAdmin()
		p.Backends[i], err = translate.BackendFromProto("backend", b)
		return err
	})
	return &sluicev1.SetAdminResponse{Outcome: outcome}, err
}

func (s *server) ListFlows(ctx context.Context, r *sluicev1.ListFlowsRequest) (*sluicev1.ListFlowsResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if r.GetPool() != "" && pool(&s.config, r.GetPool()) == nil {
		return nil, status.Errorf(codes.NotFound, "pool %q not found", r.GetPool())
	}
	flows := []*sluicev1.Flow{
		{
			Protocol: sluicev1.Protocol_PROTOCOL_TCP, Source: "192.0.2.7:40001", Destination: "198.51.100.10:80", Vip: "web", Pool: "web",
			Backend: "a", State: sluicev1.Flow_STATE_ESTABLISHED, IdleSeconds: 95.4,
		},
		{
			Protocol: sluicev1.Protocol_PROTOCOL_TCP, Source: "[2001:db8::7]:40002", Destination: "[2001:db8:1::10]:443", Vip: "web6", Pool: "web",
			Backend: "b@203.0.113.9", State: sluicev1.Flow_STATE_CLOSING, IdleSeconds: 2.1,
		},
	}
	if len(s.motion.drains) == 0 || r.GetPool() == "dns" {
		flows = nil
	}
	out := &sluicev1.ListFlowsResponse{Flows: flows, Total: uint32(len(flows))}
	if n := int(r.GetLimit()); n > 0 && n < len(flows) {
		out.Flows = flows[:n]
	}
	return out, nil
}
