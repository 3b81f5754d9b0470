package control

import (
	"cmp"
	"context"
	"slices"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// defaultFlows is how many flows are listed where the request does not say.
const defaultFlows = 1000

// ListFlows returns the entries of the flow tables, those that were silent longest first.
func (s *Server) ListFlows(_ context.Context, req *sluicev1.ListFlowsRequest) (*sluicev1.ListFlowsResponse, error) {
	st := s.engine.State()
	if _, ok := st.Config.Pool(req.GetPool()); !ok && req.GetPool() != "" {
		return nil, notFound("pool", req.GetPool())
	}
	activity, err := s.engine.dp.Activity()
	if err != nil {
		return nil, unavailable("read the flows", err)
	}
	vips, backends := map[uint32]lb.VIP{}, map[uint32]string{}
	for _, vip := range st.Config.VIPs {
		vips[st.Layout.VIPs[vip.Name]] = vip
	}
	for key, place := range st.Layout.Backends {
		backends[place.Index] = key
	}
	flows := slices.DeleteFunc(activity.Flows, func(f lb.FlowEntry) bool { return req.GetPool() != "" && vips[f.VIP].Pool != req.GetPool() })
	slices.SortFunc(flows, func(a, b lb.FlowEntry) int {
		return cmp.Or(cmp.Compare(b.Age, a.Age), a.Flow.Source.Compare(b.Flow.Source), a.Flow.Destination.Compare(b.Flow.Destination))
	})
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultFlows
	}
	resp := &sluicev1.ListFlowsResponse{Total: uint32(len(flows))}
	for _, f := range flows[:min(limit, len(flows))] {
		_, backend, _ := cutPool(backends[f.Backend])
		resp.Flows = append(resp.Flows, &sluicev1.Flow{
			Protocol: translate.ProtocolToProto(f.Flow.Protocol), Source: f.Flow.Source.String(), Destination: f.Flow.Destination.String(),
			Vip: vips[f.VIP].Name, Pool: vips[f.VIP].Pool, Backend: backend,
			State: sluicev1.Flow_State(f.State + 1), IdleSeconds: f.Age.Seconds(),
		})
	}
	return resp, nil
}
