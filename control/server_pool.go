package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// CreatePool adds a pool, with or without backends.
func (s *Server) CreatePool(ctx context.Context, req *sluicev1.CreatePoolRequest) (*sluicev1.CreatePoolResponse, error) {
	pool, err := translate.PoolFromProto("pool", req.GetPool())
	if err != nil {
		return nil, err
	}
	var at string
	out, err := s.write(ctx, req.GetOptions(), func(c *lb.Config) error {
		if _, ok := c.Pool(pool.Name); ok {
			return exists("pool", pool.Name)
		}
		at = fmt.Sprintf("pools[%d]", len(c.Pools))
		c.Pools = append(c.Pools, pool)
		return nil
	})
	if err != nil {
		return nil, relabel(err, at, "pool")
	}
	return &sluicev1.CreatePoolResponse{Outcome: out}, nil
}

// SetPool changes the fields of a pool that are present in the request; its backends stay.
func (s *Server) SetPool(ctx context.Context, req *sluicev1.SetPoolRequest) (*sluicev1.SetPoolResponse, error) {
	var at string
	out, err := s.write(ctx, req.GetOptions(), func(c *lb.Config) error {
		i, err := findPool(c, req.GetName())
		if err != nil {
			return err
		}
		at = fmt.Sprintf("pools[%d]", i)
		c.Pools[i], err = patchPool(at, c.Pools[i], req)
		return err
	})
	if err != nil {
		return nil, relabel(err, at, "")
	}
	return &sluicev1.SetPoolResponse{Outcome: out}, nil
}

func patchPool(at string, pool lb.Pool, req *sluicev1.SetPoolRequest) (lb.Pool, error) {
	m := translate.PoolToProto(pool)
	if req.GetEncap() != sluicev1.Encap_ENCAP_UNSPECIFIED {
		m.Encap = req.GetEncap()
	}
	if req.Slots != nil {
		m.Slots = req.GetSlots()
	}
	if req.GetDrainMax() != nil {
		m.DrainMax = req.GetDrainMax()
	}
	if req.GetDrainIdle() != nil {
		m.DrainIdle = req.GetDrainIdle()
	}
	m.Health = translate.MergeHealth(m.Health, req.GetHealth())
	if req.PanicThreshold != nil {
		m.PanicThreshold = req.PanicThreshold
	}
	return translate.PoolFromProto(at, m)
}

// DeletePool removes a pool that no VIP names.
func (s *Server) DeletePool(ctx context.Context, req *sluicev1.DeletePoolRequest) (*sluicev1.DeletePoolResponse, error) {
	out, err := s.write(ctx, req.GetOptions(), func(c *lb.Config) error {
		i, err := findPool(c, req.GetName())
		if err != nil {
			return err
		}
		if users := usersOf(*c, req.GetName()); len(users) > 0 {
			return &Error{Code: codes.FailedPrecondition, Message: fmt.Sprintf(
				"pool %q is in use by vips %s (delete them or give them another pool first)", req.GetName(), strings.Join(users, ", "))}
		}
		c.Pools = slices.Delete(c.Pools, i, i+1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sluicev1.DeletePoolResponse{Outcome: out}, nil
}

// ListPools returns pools sorted by name.
func (s *Server) ListPools(_ context.Context, req *sluicev1.ListPoolsRequest) (*sluicev1.ListPoolsResponse, error) {
	st := s.engine.State()
	resp, m := &sluicev1.ListPoolsResponse{Revision: st.Revision}, motionOf(st, &lb.Activity{})
	for _, p := range st.Config.Pools {
		if req.GetName() == "" || req.GetName() == p.Name {
			status := poolStatus(st, p, m)
			status.Health = s.engine.poolHealth(p.Name)
			resp.Pools = append(resp.Pools, status)
		}
	}
	if req.GetName() != "" && len(resp.Pools) == 0 {
		return nil, notFound("pool", req.GetName())
	}
	return resp, nil
}

func poolStatus(st *lb.State, p lb.Pool, m motion) *sluicev1.PoolStatus {
	table := st.Tables[p.Name]
	_, empty := table.Counts(len(p.Backends))
	return &sluicev1.PoolStatus{
		Pool:       translate.PoolToProto(p),
		Slots:      uint32(len(table.Owners)),
		EmptySlots: uint32(empty),
		Digest:     digest(table),
		Vips:       usersOf(st.Config, p.Name),
		Base:       st.Layout.Pools[p.Name].Base,

		TransitionSlots: m.transition[p.Name],
		PinnedSlots:     m.pinned[p.Name],
	}
}

// usersOf lists the VIPs that name a pool.
func usersOf(c lb.Config, pool string) []string {
	var users []string
	for _, v := range c.VIPs {
		if v.Pool == pool {
			users = append(users, v.Name)
		}
	}
	return users
}

func findPool(c *lb.Config, name string) (int, error) {
	i := slices.IndexFunc(c.Pools, func(p lb.Pool) bool { return p.Name == name })
	if i < 0 {
		return 0, notFound("pool", name)
	}
	return i, nil
}

func digest(t *lb.Table) string { return fmt.Sprintf("%016x", t.Digest()) }
