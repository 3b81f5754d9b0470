package control

import (
	"net/netip"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-lb/sluice/control/nexthop"
	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// view is a state together with a reading of the counters.
type view struct {
	engine   *Engine
	state    *lb.State
	counters lb.Counters
	motion   motion
	owning   map[string]uint32 // backends with slots by pool, as far as they were counted
}

func (s *Server) view() (view, error) {
	v := view{engine: s.engine, state: s.engine.State(), owning: map[string]uint32{}}
	var err error
	if v.counters, err = s.engine.dp.Counters(); err != nil {
		return v, unavailable("read counters", err)
	}
	activity := &lb.Activity{}
	if v.state.Moving() {
		if activity, err = s.engine.dp.Activity(); err != nil {
			return v, unavailable("read the flows", err)
		}
	}
	v.motion = motionOf(v.state, activity)
	return v, nil
}

func (v view) vip(vip lb.VIP) *sluicev1.VipStatus {
	out := &sluicev1.VipStatus{Vip: translate.VIPToProto(vip), Counter: v.vipCounter(vip.Name), Index: v.state.Layout.VIPs[vip.Name]}
	if p, ok := v.state.Config.Pool(vip.Pool); ok {
		out.Backends, out.BackendsWithSlots = uint32(len(p.Backends)), v.backendsWithSlots(p)
	}
	return out
}

// backendsWithSlots counts once per pool: many VIPs may share one.
func (v view) backendsWithSlots(p lb.Pool) uint32 {
	if n, ok := v.owning[p.Name]; ok {
		return n
	}
	perBackend, _ := v.state.Tables[p.Name].Counts(len(p.Backends))
	for _, n := range perBackend {
		if n > 0 {
			v.owning[p.Name]++
		}
	}
	return v.owning[p.Name]
}

// backends describes those of a pool that have a name; an empty name is any.
func (v view) backends(p lb.Pool, name string) []*sluicev1.BackendStatus {
	table := v.state.Tables[p.Name]
	perBackend, _ := table.Counts(len(p.Backends))
	effective := p.Effective(v.state.Conditions)
	var out []*sluicev1.BackendStatus
	for i, b := range p.Backends {
		if name != "" && name != b.Name {
			continue
		}
		out = append(out, &sluicev1.BackendStatus{
			Pool:            p.Name,
			Backend:         translate.BackendToProto(b),
			EffectiveWeight: effective.Backends[i].EffectiveWeight(),
			Slots:           uint32(perBackend[i]),
			PoolSlots:       uint32(len(table.Owners)),
			NextHop:         backendHop(v.engine.Status(b.Address), p.EncapOf(b)),
			Encap:           translate.EncapToProto(p.EncapOf(b)),
			Counter:         v.backendCounter(p.Name, b.Name),
			Index:           v.state.Layout.Backends[lb.BackendKey(p.Name, b.Name)].Index,
			KeepsSlots:      v.motion.keeps[lb.BackendKey(p.Name, b.Name)],
			Flows:           v.motion.flows[v.state.Layout.Backends[lb.BackendKey(p.Name, b.Name)].Index],
			DrainEnd:        sluicev1.DrainEnd(v.state.Drained[lb.BackendKey(p.Name, b.Name)]),
			Health:          v.backendHealth(p.Name, b.Name),
		})
	}
	return append(out, v.leaving(p, name)...)
}

func (v view) vipCounter(name string) *sluicev1.Counter {
	return counterAt(v.counters.VIPs, v.state.Layout.VIPs[name])
}

func (v view) backendCounter(pool, name string) *sluicev1.Counter {
	return counterAt(v.counters.Backends, v.state.Layout.Backends[lb.BackendKey(pool, name)].Index)
}

func counterAt(counters []lb.Counter, index uint32) *sluicev1.Counter {
	if uint64(index) >= uint64(len(counters)) {
		return &sluicev1.Counter{}
	}
	c := counters[index]
	return &sluicev1.Counter{Packets: c.Packets, Bytes: c.Bytes, NewFlows: c.NewFlows, Refused: c.Refused, Held: c.Held}
}

var hopStates = map[nexthop.State]sluicev1.NextHop_State{
	nexthop.NoRoute:         sluicev1.NextHop_STATE_NO_ROUTE,
	nexthop.Resolving:       sluicev1.NextHop_STATE_RESOLVING,
	nexthop.Reachable:       sluicev1.NextHop_STATE_REACHABLE,
	nexthop.Stale:           sluicev1.NextHop_STATE_STALE,
	nexthop.Failed:          sluicev1.NextHop_STATE_FAILED,
	nexthop.EgressUnmanaged: sluicev1.NextHop_STATE_EGRESS_UNMANAGED,
}

// backendHop is the next hop as packets of an encap take it.
func backendHop(s nexthop.Status, encap lb.Encap) *sluicev1.NextHop {
	out := hopToProto(s)
	if encap == lb.EncapL2 {
		out.Source = ""
		if offSegment(s) {
			out.State = sluicev1.NextHop_STATE_OFF_SEGMENT
		}
	}
	return out
}

// offSegment tells whether a router lies on a way that could be taken otherwise.
func offSegment(s nexthop.Status) bool {
	return s.State != nexthop.NoRoute && s.State != nexthop.EgressUnmanaged && s.Route.Gateway.IsValid()
}

func hopToProto(s nexthop.Status) *sluicev1.NextHop {
	out := &sluicev1.NextHop{State: hopStates[s.State], Interface: s.Route.Interface, Mtu: s.Route.MTU}
	if s.Route.Gateway.IsValid() {
		out.Gateway = s.Route.Gateway.String()
	}
	if s.Route.Source.IsValid() {
		out.Source = s.Route.Source.String()
	}
	if bits := int(s.Route.SourceBits); bits > 0 {
		out.Source = netip.PrefixFrom(s.Route.Source, s.Route.Source.BitLen()-bits).String()
	}
	if !s.MAC.IsZero() {
		out.Mac = s.MAC.String()
	}
	if !s.Since.IsZero() {
		out.Since = timestamppb.New(s.Since)
	}
	return out
}
