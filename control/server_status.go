package control

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-lb/sluice/control/access"
	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// ListSlots returns the slot table of one pool.
func (s *Server) ListSlots(_ context.Context, req *sluicev1.ListSlotsRequest) (*sluicev1.ListSlotsResponse, error) {
	st := s.engine.State()
	p, ok := st.Config.Pool(req.GetPool())
	if !ok {
		return nil, notFound("pool", req.GetPool())
	}
	table := st.Tables[p.Name]
	resp := &sluicev1.ListSlotsResponse{Owners: make([]int32, len(table.Owners)), Digest: digest(table), Revision: st.Revision}
	for i, owner := range table.Owners {
		resp.Owners[i] = int32(owner)
		if owner == lb.NoOwner {
			resp.Owners[i] = -1
		}
	}
	for _, b := range p.Backends {
		resp.Backends = append(resp.Backends, b.Name)
	}
	return resp, nil
}

// GetStats reads the counters.
func (s *Server) GetStats(context.Context, *sluicev1.GetStatsRequest) (*sluicev1.GetStatsResponse, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	info, err := s.engine.dp.Info()
	if err != nil {
		return nil, unavailable("describe the data plane", err)
	}
	tracking := v.counters.Tracking
	resp := &sluicev1.GetStatsResponse{Time: timestamppb.New(time.Now()), Tracking: &sluicev1.Tracking{
		Lookups: tracking.Lookups, Hits: tracking.Hits, Inserts: tracking.Inserts, Held: tracking.Held, Bypassed: tracking.Bypassed,
	}}
	for _, i := range v.counters.Interfaces {
		resp.Verdicts = append(resp.Verdicts, verdicts(i, info.Unmatched)...)
	}
	for _, vip := range v.state.Config.VIPs {
		resp.Vips = append(resp.Vips, &sluicev1.VipStat{Name: vip.Name, Counter: v.vipCounter(vip.Name)})
	}
	for _, p := range v.state.Config.Pools {
		for _, b := range p.Backends {
			resp.Backends = append(resp.Backends, &sluicev1.BackendStat{Pool: p.Name, Name: b.Name, Counter: v.backendCounter(p.Name, b.Name)})
		}
	}
	return resp, nil
}

// verdicts lists every verdict, also those that never occurred: a counter that appears later looks like a jump.
func verdicts(i lb.InterfaceCounters, unmatched string) []*sluicev1.VerdictStat {
	var out []*sluicev1.VerdictStat
	for v := lb.VerdictNext; v < lb.VerdictCount; v++ {
		if v == lb.VerdictNext && i.Verdicts[v] == 0 {
			continue // never final, unless the program has a bug
		}
		info := v.Info()
		stat := &sluicev1.VerdictStat{Interface: i.Interface, Verdict: info.Name, Action: info.Action.String(), Packets: i.Verdicts[v], Help: info.Help}
		if v == lb.VerdictVIPNoPort && unmatched == "drop" {
			stat.Action = lb.ActionDrop.String()
		}
		out = append(out, stat)
	}
	return out
}

// GetStatus says how the node is.
func (s *Server) GetStatus(ctx context.Context, _ *sluicev1.GetStatusRequest) (*sluicev1.GetStatusResponse, error) {
	info, err := s.engine.dp.Info()
	if err != nil {
		return nil, unavailable("describe the data plane", err)
	}
	st := s.engine.State()
	activity, err := s.engine.dp.Activity()
	if err != nil {
		return nil, unavailable("read the flows", err)
	}
	resp := &sluicev1.GetStatusResponse{
		Version:         s.version,
		Revision:        st.Revision,
		Publication:     st.Publication,
		Started:         timestamppb.New(s.started),
		SeedFingerprint: s.engine.seed.Fingerprint(),
		Limits:          limits(st, info.Limits, activity),
		Warnings:        append(s.engine.Warnings(), s.guard.Warnings()...),
		MapMemoryBytes:  info.MapMemory,
		Unmatched:       info.Unmatched,
		Confirmation:    confirmationToProto(s.engine.Confirmation()),
		Checks:          s.engine.checkTotals(),
	}
	if c, ok := access.FromContext(ctx); ok {
		resp.Caller, resp.Role = c.Name, c.Role.String()
	}
	for _, c := range s.guard.Certificates() {
		resp.Certificates = append(resp.Certificates, &sluicev1.Certificate{Use: c.Use, Path: c.Path, Subject: c.Subject, NotAfter: timestamppb.New(c.NotAfter)})
	}
	for _, i := range info.Interfaces {
		resp.Interfaces = append(resp.Interfaces, &sluicev1.Interface{Name: i.Name, Mode: i.Mode, Ifindex: uint32(i.Index),
			ProgramId: i.ProgramID, ProgramTag: i.ProgramTag, Mtu: uint32(i.MTU), Fault: i.Fault})
		if i.Fault != "" {
			resp.Warnings = append(resp.Warnings, fmt.Sprintf("interface %q: %s", i.Name, i.Fault))
		}
	}
	for _, p := range st.Config.Pools {
		resp.Tables = append(resp.Tables, &sluicev1.TableDigest{Pool: p.Name, Digest: digest(st.Tables[p.Name])})
	}
	return resp, nil
}

// limits says how much of each size is in use.
func limits(st *lb.State, configured lb.Limits, activity *lb.Activity) []*sluicev1.Limit {
	var flows [2]uint64 // of IPv4, of IPv6
	for _, f := range activity.Flows {
		family := 0
		if f.Flow.Source.Addr().Is6() {
			family = 1
		}
		flows[family]++
	}
	flowsV4, flowsV6 := configured.Flows()
	var slots uint64
	for _, p := range st.Layout.Pools {
		slots += uint64(p.Slots)
	}
	return []*sluicev1.Limit{
		{Name: "vips", Used: uint64(len(st.Layout.VIPs)), Configured: uint64(configured.VIPs)},
		{Name: "backends", Used: uint64(len(st.Layout.Backends)), Configured: uint64(configured.Backends)},
		{Name: "slots", Used: slots, Configured: uint64(configured.Slots)},
		{Name: "flows_v4", Used: flows[0], Configured: uint64(flowsV4)},
		{Name: "flows_v6", Used: flows[1], Configured: uint64(flowsV6)},
	}
}
