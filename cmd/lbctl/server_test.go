package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// server is the API over a configuration in memory: nothing is forwarded, and counters are made up. Slots are given out
// in one run for each backend, so that the numbers in the scripts can be checked by hand.
type server struct {
	sluicev1.UnimplementedSluiceServer

	mu       sync.Mutex
	mode     string
	config   lb.Config
	revision uint64
	clock    time.Time
	history  []past
	waiting  *sluicev1.Confirmation
	sick     map[string]bool // by pool/backend
	steps    []func()        // of the next watch
	motion   motion
}

func newServer() *server { return &server{mode: "ok", clock: noon, sick: map[string]bool{}} }

func (s *server) setMode(mode string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = mode
}

// pass moves the server's clock, and with it the counters.
func (s *server) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(d)
}

func (s *server) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}

// enter is how each call starts; the caller unlocks.
func (s *server) enter(ctx context.Context) error {
	s.mu.Lock()
	switch s.mode {
	case "hang":
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return ctx.Err()
	case "down", "down for good":
		return status.Error(codes.Unavailable, "publish revision 1: no space in the map (raise limits.slots)")
	}
	return nil
}

// refuse is the answer to a configuration with violations.
func refuse(err error) error {
	var violations lb.Violations
	if !errors.As(err, &violations) {
		return err
	}
	request := &errdetails.BadRequest{}
	for _, v := range violations {
		request.FieldViolations = append(request.FieldViolations,
			&errdetails.BadRequest_FieldViolation{Field: v.Path, Description: v.Message})
	}
	s, _ := status.New(codes.InvalidArgument, "the configuration is not valid").WithDetails(request)
	return s.Err()
}

// write is all writes.
func (s *server) write(ctx context.Context, o *sluicev1.WriteOptions, change func(*lb.Config) error) (*sluicev1.Outcome, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if want := o.GetExpectedRevision(); want != 0 && want != s.revision {
		return nil, status.Errorf(codes.Aborted, "the node is at revision %d, not %d", s.revision, want)
	}
	next := s.config.Normalize()
	if err := change(&next); err != nil {
		return nil, refuse(err)
	}
	if err := next.Validate(lb.DefaultLimits); err != nil {
		return nil, refuse(err)
	}
	next = next.Normalize()
	changes := lb.Diff(s.config, next, tables(s.config), tables(next))
	out := &sluicev1.Outcome{Warnings: next.Warnings(), Changes: changesOf(changes), Moves: movesOf(s.config, next)}
	if !o.GetDryRun() && len(changes) > 0 {
		if s.waiting != nil {
			return nil, status.Errorf(codes.FailedPrecondition, "revision %d waits to be confirmed", s.revision)
		}
		s.motion.note(s.config, next, s.clock)
		s.config, s.revision = next, s.revision+1
		s.remember(o, out.GetChanges())
		out.Confirmation = s.waiting
	}
	out.Revision = s.revision
	return out, nil
}

func changesOf(changes []lb.Change) []*sluicev1.Change {
	var out []*sluicev1.Change
	for _, c := range changes {
		out = append(out, &sluicev1.Change{
			Kind: sluicev1.Change_Kind(c.Kind), Object: c.Object, Detail: c.Detail, SlotsMoved: uint32(c.SlotsMoved),
		})
	}
	return out
}

// tables gives each backend of a pool its share of slots in one run.
func tables(c lb.Config) map[string]*lb.Table {
	out := map[string]*lb.Table{}
	for _, p := range c.Pools {
		p = p.Effective(nil)
		var total, upTo uint64
		for _, b := range p.Backends {
			total += uint64(b.EffectiveWeight())
		}
		t := &lb.Table{}
		for i, b := range p.Backends {
			upTo += uint64(b.EffectiveWeight())
			for total > 0 && uint64(len(t.Owners)) < uint64(p.SlotCount())*upTo/total {
				t.Owners = append(t.Owners, uint16(i))
			}
		}
		for len(t.Owners) < int(p.SlotCount()) {
			t.Owners = append(t.Owners, lb.NoOwner)
		}
		out[p.Name] = t
	}
	return out
}

func owned(t *lb.Table, i int) (n uint32) {
	for _, owner := range t.Owners {
		if int(owner) == i {
			n++
		}
	}
	return n
}

func missing(kind, name string) error {
	return status.Errorf(codes.NotFound, "%s %q not found", kind, name)
}

func taken(kind, name string) error {
	return status.Errorf(codes.AlreadyExists, "%s %q exists already", kind, name)
}

func (s *server) Apply(ctx context.Context, r *sluicev1.ApplyRequest) (*sluicev1.ApplyResponse, error) {
	outcome, err := s.write(ctx, r.GetOptions(), func(c *lb.Config) (err error) {
		*c, err = translate.ConfigFromProto(r.GetConfig())
		if _, ok := c.Pool("full"); ok { // a fault that only the node can find
			return lb.Violations{{Path: "pools[0].name", Message: "the node has no room for pool \"full\""}}
		}
		return err
	})
	return &sluicev1.ApplyResponse{Outcome: outcome}, err
}

func (s *server) Export(ctx context.Context, r *sluicev1.ExportRequest) (*sluicev1.ExportResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if r.Revision != nil {
		p, err := s.at(r.GetRevision())
		return &sluicev1.ExportResponse{Config: translate.ConfigToProto(p.config), Revision: r.GetRevision()}, err
	}
	return &sluicev1.ExportResponse{Config: translate.ConfigToProto(s.config), Revision: s.revision}, nil
}

func (s *server) CreateVip(ctx context.Context, r *sluicev1.CreateVipRequest) (*sluicev1.CreateVipResponse, error) {
	outcome, err := s.write(ctx, r.GetOptions(), func(c *lb.Config) error {
		if _, ok := c.VIP(r.GetVip().GetName()); ok {
			return taken("vip", r.GetVip().GetName())
		}
		v, err := translate.VIPFromProto("vip", r.GetVip())
		c.VIPs = append(c.VIPs, v)
		return err
	})
	return &sluicev1.CreateVipResponse{Outcome: outcome}, err
}

func (s *server) SetVip(ctx context.Context, r *sluicev1.SetVipRequest) (*sluicev1.SetVipResponse, error) {
	outcome, err := s.write(ctx, r.GetOptions(), func(c *lb.Config) error {
		i := slices.IndexFunc(c.VIPs, func(v lb.VIP) bool { return v.Name == r.GetName() })
		if i < 0 {
			return missing("vip", r.GetName())
		}
		v := translate.VIPToProto(c.VIPs[i])
		if r.Address != nil {
			v.Address = r.GetAddress()
		}
		if r.GetProtocol() != sluicev1.Protocol_PROTOCOL_UNSPECIFIED {
			v.Protocol = r.GetProtocol()
		}
		if len(r.GetPorts()) > 0 {
			v.Ports = r.GetPorts()
		}
		if r.Pool != nil {
			v.Pool = r.GetPool()
		}
		var err error
		c.VIPs[i], err = translate.VIPFromProto("vip", v)
		return err
	})
	return &sluicev1.SetVipResponse{Outcome: outcome}, err
}

func (s *server) DeleteVip(ctx context.Context, r *sluicev1.DeleteVipRequest) (*sluicev1.DeleteVipResponse, error) {
	outcome, err := s.write(ctx, r.GetOptions(), func(c *lb.Config) error {
		before := len(c.VIPs)
		c.VIPs = slices.DeleteFunc(c.VIPs, func(v lb.VIP) bool { return v.Name == r.GetName() })
		if len(c.VIPs) == before {
			return missing("vip", r.GetName())
		}
		return nil
	})
	return &sluicev1.DeleteVipResponse{Outcome: outcome}, err
}

func (s *server) ListVips(ctx context.Context, r *sluicev1.ListVipsRequest) (*sluicev1.ListVipsResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	out := &sluicev1.ListVipsResponse{Revision: s.revision}
	for i, v := range s.config.VIPs {
		if r.GetName() != "" && r.GetName() != v.Name {
			continue
		}
		p, _ := s.config.Pool(v.Pool)
		item := &sluicev1.VipStatus{
			Vip: translate.VIPToProto(v), Counter: s.counter(10), Backends: uint32(len(p.Backends)), Index: uint32(i + 1),
		}
		for j := range p.Backends {
			if owned(tables(s.effective())[p.Name], j) > 0 {
				item.BackendsWithSlots++
			}
		}
		out.Vips = append(out.Vips, item)
	}
	if r.GetName() != "" && len(out.Vips) == 0 {
		return nil, missing("vip", r.GetName())
	}
	return out, nil
}

func (s *server) CreatePool(ctx context.Context, r *sluicev1.CreatePoolRequest) (*sluicev1.CreatePoolResponse, error) {
	outcome, err := s.write(ctx, r.GetOptions(), func(c *lb.Config) error {
		if _, ok := c.Pool(r.GetPool().GetName()); ok {
			return taken("pool", r.GetPool().GetName())
		}
		p, err := translate.PoolFromProto("pool", r.GetPool())
		c.Pools = append(c.Pools, p)
		return err
	})
	return &sluicev1.CreatePoolResponse{Outcome: outcome}, err
}

func (s *server) SetPool(ctx context.Context, r *sluicev1.SetPoolRequest) (*sluicev1.SetPoolResponse, error) {
	outcome, err := s.write(ctx, r.GetOptions(), func(c *lb.Config) error {
		p := pool(c, r.GetName())
		if p == nil {
			return missing("pool", r.GetName())
		}
		m := translate.PoolToProto(*p)
		m.Health = translate.MergeHealth(m.Health, r.GetHealth())
		if r.Slots != nil {
			m.Slots = r.GetSlots()
		}
		if r.PanicThreshold != nil {
			m.PanicThreshold = r.PanicThreshold
		}
		if r.DrainMax != nil {
			m.DrainMax = r.GetDrainMax()
		}
		if r.DrainIdle != nil {
			m.DrainIdle = r.GetDrainIdle()
		}
		var err error
		*p, err = translate.PoolFromProto("pool", m)
		return err
	})
	return &sluicev1.SetPoolResponse{Outcome: outcome}, err
}

func (s *server) DeletePool(ctx context.Context, r *sluicev1.DeletePoolRequest) (*sluicev1.DeletePoolResponse, error) {
	outcome, err := s.write(ctx, r.GetOptions(), func(c *lb.Config) error {
		if pool(c, r.GetName()) == nil {
			return missing("pool", r.GetName())
		}
		for _, v := range c.VIPs {
			if v.Pool == r.GetName() {
				return status.Errorf(codes.FailedPrecondition, "pool %q is used by vip %q (delete that first)", v.Pool, v.Name)
			}
		}
		c.Pools = slices.DeleteFunc(c.Pools, func(p lb.Pool) bool { return p.Name == r.GetName() })
		return nil
	})
	return &sluicev1.DeletePoolResponse{Outcome: outcome}, err
}

func pool(c *lb.Config, name string) *lb.Pool {
	for i := range c.Pools {
		if c.Pools[i].Name == name {
			return &c.Pools[i]
		}
	}
	return nil
}

func (s *server) ListPools(ctx context.Context, r *sluicev1.ListPoolsRequest) (*sluicev1.ListPoolsResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	out := &sluicev1.ListPoolsResponse{Revision: s.revision}
	base := uint32(0)
	for _, p := range s.config.Pools {
		if r.GetName() == "" || r.GetName() == p.Name {
			item := &sluicev1.PoolStatus{
				Pool: translate.PoolToProto(p), Slots: p.SlotCount(), Base: base,
				EmptySlots: owned(tables(s.effective())[p.Name], lb.NoOwner), Digest: digest(p), Health: s.poolHealth(p),
			}
			item.TransitionSlots, item.PinnedSlots = s.motion.slots(p.Name, s.clock)
			for _, v := range s.config.VIPs {
				if v.Pool == p.Name {
					item.Vips = append(item.Vips, v.Name)
				}
			}
			out.Pools = append(out.Pools, item)
		}
		base += p.SlotCount()
	}
	if r.GetName() != "" && len(out.Pools) == 0 {
		return nil, missing("pool", r.GetName())
	}
	return out, nil
}

func digest(p lb.Pool) string { return fmt.Sprintf("%016x", p.SlotCount()) }

func (s *server) CreateBackend(ctx context.Context, r *sluicev1.CreateBackendRequest) (*sluicev1.CreateBackendResponse, error) {
	outcome, err := s.write(ctx, r.GetOptions(), func(c *lb.Config) error {
		p := pool(c, r.GetPool())
		if p == nil {
			return missing("pool", r.GetPool())
		}
		b, err := translate.BackendFromProto("backend", r.GetBackend())
		if _, ok := p.Backend(b.Name); ok {
			return taken("backend", lb.BackendKey(p.Name, b.Name))
		}
		p.Backends = append(p.Backends, b)
		return err
	})
	return &sluicev1.CreateBackendResponse{Outcome: outcome}, err
}

// setBackend is what SetBackend, SetWeight and DeleteBackend have in common.
func (s *server) setBackend(
	ctx context.Context, o *sluicev1.WriteOptions, poolName, name string, change func(p *lb.Pool, i int) error,
) (*sluicev1.Outcome, error) {
	return s.write(ctx, o, func(c *lb.Config) error {
		p := pool(c, poolName)
		if p == nil {
			return missing("pool", poolName)
		}
		i := slices.IndexFunc(p.Backends, func(b lb.Backend) bool { return b.Name == name })
		if i < 0 {
			return missing("backend", lb.BackendKey(poolName, name))
		}
		return change(p, i)
	})
}

func (s *server) SetBackend(ctx context.Context, r *sluicev1.SetBackendRequest) (*sluicev1.SetBackendResponse, error) {
	outcome, err := s.setBackend(ctx, r.GetOptions(), r.GetPool(), r.GetName(), func(p *lb.Pool, i int) (err error) {
		b := translate.BackendToProto(p.Backends[i])
		if r.Address != nil {
			b.Address = r.GetAddress()
		}
		if r.Weight != nil {
			b.Weight = r.Weight
		}
		if r.Scale != nil {
			b.Scale = r.Scale
		}
		if r.Encap != nil {
			b.Encap = r.Encap
		}
		p.Backends[i], err = translate.BackendFromProto("backend", b)
		return err
	})
	return &sluicev1.SetBackendResponse{Outcome: outcome}, err
}

func (s *server) SetWeight(ctx context.Context, r *sluicev1.SetWeightRequest) (*sluicev1.SetWeightResponse, error) {
	outcome, err := s.setBackend(ctx, r.GetOptions(), r.GetPool(), r.GetName(), func(p *lb.Pool, i int) error {
		p.Backends[i].Scale = lb.Scale(r.GetWeight()) * lb.ScaleOne / lb.Scale(p.Backends[i].Weight)
		return nil
	})
	return &sluicev1.SetWeightResponse{Outcome: outcome}, err
}

func (s *server) DeleteBackend(ctx context.Context, r *sluicev1.DeleteBackendRequest) (*sluicev1.DeleteBackendResponse, error) {
	outcome, err := s.setBackend(ctx, r.GetOptions(), r.GetPool(), r.GetName(), func(p *lb.Pool, i int) error {
		p.Backends = slices.Delete(p.Backends, i, i+1)
		return nil
	})
	return &sluicev1.DeleteBackendResponse{Outcome: outcome}, err
}

func (s *server) ListBackends(ctx context.Context, r *sluicev1.ListBackendsRequest) (*sluicev1.ListBackendsResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if r.GetPool() != "" && pool(&s.config, r.GetPool()) == nil {
		return nil, missing("pool", r.GetPool())
	}
	out := &sluicev1.ListBackendsResponse{Revision: s.revision}
	index := uint32(0)
	asked := func(p lb.Pool, b lb.Backend) bool {
		return (r.GetPool() == "" || r.GetPool() == p.Name) && (r.GetName() == "" || r.GetName() == b.Name)
	}
	for _, p := range s.config.Pools {
		for i, b := range p.Backends {
			index++
			if !asked(p, b) {
				continue
			}
			item := &sluicev1.BackendStatus{
				Pool: p.Name, Backend: translate.BackendToProto(b), EffectiveWeight: s.effectiveWeight(p, i), Index: index,
				Slots: owned(tables(s.effective())[p.Name], i), PoolSlots: p.SlotCount(), NextHop: hop(b), Counter: s.counter(5),
				Health: s.backendHealth(p, b), Encap: translate.EncapToProto(p.EncapOf(b)),
			}
			s.motion.describe(item, b, s.clock)
			out.Backends = append(out.Backends, item)
		}
		out.Backends = append(out.Backends, s.motion.leaving(p, asked, s.clock)...)
	}
	if r.GetName() != "" && len(out.Backends) == 0 {
		return nil, missing("backend", strings.TrimPrefix(r.GetPool()+"/"+r.GetName(), "/"))
	}
	return out, nil
}

// hop knows the way to private addresses only.
func hop(b lb.Backend) *sluicev1.NextHop {
	since := timestamppb.New(noon.Add(-90 * time.Minute))
	if !b.Address.IsPrivate() {
		return &sluicev1.NextHop{State: sluicev1.NextHop_STATE_NO_ROUTE, Since: since}
	}
	return &sluicev1.NextHop{
		State: sluicev1.NextHop_STATE_REACHABLE, Interface: "eth0", Gateway: "10.9.0.1", Mac: "00:00:5e:00:53:01",
		Source: "10.9.0.2", Mtu: 1500, Since: since,
	}
}

func (s *server) ListSlots(ctx context.Context, r *sluicev1.ListSlotsRequest) (*sluicev1.ListSlotsResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	p := pool(&s.config, r.GetPool())
	if p == nil {
		return nil, missing("pool", r.GetPool())
	}
	out := &sluicev1.ListSlotsResponse{Revision: s.revision, Digest: digest(*p)}
	for _, b := range p.Backends {
		out.Backends = append(out.Backends, b.Name)
	}
	for _, owner := range tables(s.effective())[p.Name].Owners {
		index := int32(owner)
		if owner == lb.NoOwner {
			index = -1
		}
		out.Owners = append(out.Owners, index)
	}
	return out, nil
}

// counter grows with the clock: rate packets a second, of 100 bytes, each tenth a new flow.
func (s *server) counter(rate uint64) *sluicev1.Counter {
	packets := 1000 + rate*uint64(s.clock.Sub(noon)/time.Second)*10
	return &sluicev1.Counter{Packets: packets, Bytes: packets * 100, NewFlows: packets / 10, Refused: 3}
}

func (s *server) GetStats(ctx context.Context, _ *sluicev1.GetStatsRequest) (*sluicev1.GetStatsResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	out := &sluicev1.GetStatsResponse{Time: timestamppb.New(s.clock), Tracking: s.motion.tracking()}
	for _, v := range s.config.VIPs {
		counter := s.counter(10)
		counter.Held = s.motion.tracking().GetHeld()
		out.Vips = append(out.Vips, &sluicev1.VipStat{Name: v.Name, Counter: counter})
	}
	for _, p := range s.config.Pools {
		for _, b := range p.Backends {
			out.Backends = append(out.Backends, &sluicev1.BackendStat{Pool: p.Name, Name: b.Name, Counter: s.counter(5)})
		}
	}
	for _, v := range []lb.Verdict{lb.VerdictForwarded, lb.VerdictPassNoVIP, lb.VerdictMalformed} {
		packets := s.counter(10).Packets
		if v == lb.VerdictMalformed {
			packets = 0
		}
		out.Verdicts = append(out.Verdicts, &sluicev1.VerdictStat{
			Interface: "eth0", Verdict: v.String(), Action: v.Info().Action.String(), Packets: packets, Help: v.Info().Help,
		})
	}
	return out, nil
}

func (s *server) GetStatus(ctx context.Context, _ *sluicev1.GetStatusRequest) (*sluicev1.GetStatusResponse, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	out := &sluicev1.GetStatusResponse{
		Version: "v0.1.0", Revision: s.revision, Publication: s.revision + 2, Started: timestamppb.New(noon.Add(-26 * time.Hour)),
		SeedFingerprint: "0123456789abcdef", MapMemoryBytes: 25 << 20, Checks: s.checkTotals(), Unmatched: "pass", Warnings: s.config.Warnings(),
		Confirmation: s.waiting,
		Interfaces: []*sluicev1.Interface{
			{Name: "eth0", Mode: "native", Ifindex: 2, ProgramId: 77, ProgramTag: "a1b2c3d4e5f60718", Mtu: 1500},
		},
		Limits: []*sluicev1.Limit{{Name: "vips", Used: uint64(len(s.config.VIPs)), Configured: 4096}},
		Caller: "unix:alice", Role: "operator",
		Certificates: []*sluicev1.Certificate{
			{Use: "tls.cert", Path: "/etc/sluice/node.crt", Subject: "CN=lb-1", NotAfter: timestamppb.New(noon.Add(240 * time.Hour))},
		},
	}
	for _, p := range s.config.Pools {
		out.Tables = append(out.Tables, &sluicev1.TableDigest{Pool: p.Name, Digest: digest(p)})
	}
	return out, nil
}
