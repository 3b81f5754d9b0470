package main

import (
	"context"
	"net/netip"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// Explain asks the twin, over slot tables of its own. Backends named "drain..." are drained while their flows go on.
func (s *server) Explain(ctx context.Context, r *sluicev1.ExplainRequest) (*sluicev1.ExplainResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if i := r.GetInterface(); i != "" && i != "eth0" {
		return nil, refuse(lb.Violations{{Path: "interface", Message: "\"" + i + "\" is not managed (choose one of [\"eth0\"])"}})
	}
	frame := r.GetFrame()
	if len(frame) == 0 {
		flow := lb.Flow{Source: netip.MustParseAddrPort(r.GetSource()), Destination: netip.MustParseAddrPort(r.GetDestination()), Protocol: lb.TCP}
		if r.GetProtocol() == sluicev1.Protocol_PROTOCOL_UDP {
			flow.Protocol = lb.UDP
		}
		frame = flow.Frame(r.GetSyn())
	}
	state, err := s.stateWithDrains()
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	e := lb.NewTwin(state, lb.Seed{}, "eth0").Explain(frame)
	e.ProgramTag, e.LiveTag = "a1b2c3d4e5f60718", "a1b2c3d4e5f60718"
	out := translate.ExplanationToProto(e)
	if e.Backend != "" {
		out.NextHop = hop(lb.Backend{Address: e.Address})
	}
	return out, nil
}

// stateWithDrains is the state that the data plane would have after the drains were ordered.
func (s *server) stateWithDrains() (*lb.State, error) {
	hops := lb.Hops{}
	before, after := s.config.Normalize(), s.config.Normalize()
	for i, p := range after.Pools {
		for j, b := range p.Backends {
			if strings.HasPrefix(b.Name, "drain") {
				after.Pools[i].Backends[j].Admin = lb.AdminDrained
			}
			source := netip.MustParseAddr("10.9.0.2")
			if b.Address.Is6() {
				source = netip.MustParseAddr("fd00:9::1")
			}
			if h := hop(b); h.GetInterface() != "" {
				hops[b.Address] = lb.NextHop{
					Interface: h.GetInterface(), InterfaceMAC: lb.MAC{0, 0, 0x5e, 0, 0x53, 2}, MAC: lb.MAC{0, 0, 0x5e, 0, 0x53, 1},
					Source: source, MTU: h.GetMtu(),
				}
			}
		}
	}
	state, err := lb.Plan(nil, lb.PlanInput{Config: before, Hops: hops, Limits: lb.DefaultLimits, Revision: 1, Now: noon})
	if err != nil {
		return nil, err
	}
	return lb.Plan(state, lb.PlanInput{Config: after, Hops: hops, Limits: lb.DefaultLimits, Revision: 1, Now: noon, Activity: &lb.Activity{Now: noon}})
}
