package control

import (
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// WatchVips answers like ListVips, and goes on with what changes.
func (s *Server) WatchVips(req *sluicev1.WatchVipsRequest, stream grpc.ServerStreamingServer[sluicev1.WatchVipsResponse]) error {
	if _, err := s.ListVips(stream.Context(), &sluicev1.ListVipsRequest{Name: req.GetName()}); err != nil {
		return err
	}
	match := func(v *sluicev1.VipStatus) bool { return named(req.GetName(), v.GetVip().GetName()) }
	return watch(stream.Context(), s.watches, &s.watches.vips, filter[*sluicev1.VipStatus]{match, req.GetCounters()},
		func(changed []*sluicev1.VipStatus, deleted []string, revision uint64) error {
			return stream.Send(&sluicev1.WatchVipsResponse{Vips: changed, Deleted: deleted, Revision: revision})
		})
}

// WatchPools answers like ListPools, and goes on with what changes.
func (s *Server) WatchPools(req *sluicev1.WatchPoolsRequest, stream grpc.ServerStreamingServer[sluicev1.WatchPoolsResponse]) error {
	if _, err := s.ListPools(stream.Context(), &sluicev1.ListPoolsRequest{Name: req.GetName()}); err != nil {
		return err
	}
	match := func(p *sluicev1.PoolStatus) bool { return named(req.GetName(), p.GetPool().GetName()) }
	return watch(stream.Context(), s.watches, &s.watches.pools, filter[*sluicev1.PoolStatus]{match: match},
		func(changed []*sluicev1.PoolStatus, deleted []string, revision uint64) error {
			return stream.Send(&sluicev1.WatchPoolsResponse{Pools: changed, Deleted: deleted, Revision: revision})
		})
}

// WatchBackends answers like ListBackends, and goes on with what changes.
func (s *Server) WatchBackends(req *sluicev1.WatchBackendsRequest, stream grpc.ServerStreamingServer[sluicev1.WatchBackendsResponse]) error {
	if _, err := s.ListBackends(stream.Context(), &sluicev1.ListBackendsRequest{Pool: req.GetPool(), Name: req.GetName()}); err != nil {
		return err
	}
	match := func(b *sluicev1.BackendStatus) bool {
		return named(req.GetPool(), b.GetPool()) && named(req.GetName(), b.GetBackend().GetName())
	}
	return watch(stream.Context(), s.watches, &s.watches.backends, filter[*sluicev1.BackendStatus]{match, req.GetCounters()},
		func(changed []*sluicev1.BackendStatus, deleted []string, revision uint64) error {
			return stream.Send(&sluicev1.WatchBackendsResponse{Backends: changed, Deleted: deleted, Revision: revision})
		})
}

// WatchFlows answers like ListFlows, and goes on with what changes.
func (s *Server) WatchFlows(req *sluicev1.WatchFlowsRequest, stream grpc.ServerStreamingServer[sluicev1.WatchFlowsResponse]) error {
	if _, err := s.ListFlows(stream.Context(), &sluicev1.ListFlowsRequest{Pool: req.GetPool(), Limit: 1}); err != nil {
		return err
	}
	match := func(f *sluicev1.Flow) bool { return named(req.GetPool(), f.GetPool()) }
	return watch(stream.Context(), s.watches, &s.watches.flows, filter[*sluicev1.Flow]{match: match},
		func(changed []*sluicev1.Flow, deleted []string, _ uint64) error {
			answer := &sluicev1.WatchFlowsResponse{Flows: changed}
			for _, key := range deleted {
				answer.Deleted = append(answer.Deleted, flowOfKey(key))
			}
			return stream.Send(answer)
		})
}

// flowOfKey is the flow that flowKeyOf names.
func flowOfKey(key string) *sluicev1.Flow {
	parts := strings.Fields(key)
	return &sluicev1.Flow{Protocol: sluicev1.Protocol(sluicev1.Protocol_value[parts[0]]), Source: parts[1], Destination: parts[2]}
}

// WatchSlots answers like ListSlots, and again whenever a slot of the pool has another owner.
func (s *Server) WatchSlots(req *sluicev1.WatchSlotsRequest, stream grpc.ServerStreamingServer[sluicev1.WatchSlotsResponse]) error {
	leave, err := s.watches.enter()
	if err != nil {
		return err
	}
	defer leave()
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for last := (*sluicev1.ListSlotsResponse)(nil); ; {
		state := s.engine.State() // before the slots: what is newer is read again
		slots, err := s.ListSlots(stream.Context(), &sluicev1.ListSlotsRequest{Pool: req.GetPool()})
		if err != nil {
			return err
		}
		if last == nil || !sameSlots(last, slots) {
			last = slots
			if err := s.watches.send(func() error { return stream.Send(&sluicev1.WatchSlotsResponse{Slots: slots}) }); err != nil {
				return err
			}
		}
		for s.engine.State() == state {
			if err := until(stream.Context(), s.watches, ticker.C); err != nil {
				return err
			}
		}
	}
}

// sameSlots compares two tables, whatever their revisions.
func sameSlots(a, b *sluicev1.ListSlotsResponse) bool {
	b = proto.CloneOf(b)
	b.Revision = a.GetRevision()
	return proto.Equal(a, b)
}

// named tells whether a name is wanted; empty wants all.
func named(want, name string) bool { return want == "" || want == name }
