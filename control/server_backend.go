package control

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// CreateBackend adds a backend to a pool.
func (s *Server) CreateBackend(ctx context.Context, req *sluicev1.CreateBackendRequest) (*sluicev1.CreateBackendResponse, error) {
	backend, err := translate.BackendFromProto("backend", req.GetBackend())
	if err != nil {
		return nil, err
	}
	var at string
	out, err := s.write(ctx, req.GetOptions(), func(c *lb.Config) error {
		i, err := findPool(c, req.GetPool())
		if err != nil {
			return err
		}
		p := &c.Pools[i]
		if _, ok := p.Backend(backend.Name); ok {
			return exists("backend", lb.BackendKey(p.Name, backend.Name))
		}
		at = fmt.Sprintf("pools[%d].backends[%d]", i, len(p.Backends))
		p.Backends = append(p.Backends, backend)
		return nil
	})
	if err != nil {
		return nil, relabel(err, at, "backend")
	}
	return &sluicev1.CreateBackendResponse{Outcome: out}, nil
}

// SetBackend changes the fields of a backend that are present in the request.
func (s *Server) SetBackend(ctx context.Context, req *sluicev1.SetBackendRequest) (*sluicev1.SetBackendResponse, error) {
	out, err := s.setBackend(ctx, req.GetOptions(), req.GetPool(), req.GetName(), func(at string, b lb.Backend) (lb.Backend, error) {
		m := translate.BackendToProto(b)
		if req.Address != nil {
			m.Address = req.GetAddress()
		}
		if req.Weight != nil {
			m.Weight = req.Weight
		}
		if req.Scale != nil {
			m.Scale = req.Scale
		}
		if req.GetAdmin() != sluicev1.Admin_ADMIN_UNSPECIFIED {
			m.Admin = req.GetAdmin()
		}
		if req.Encap != nil {
			m.Encap = req.Encap
		}
		return translate.BackendFromProto(at, m)
	})
	if err != nil {
		return nil, err
	}
	return &sluicev1.SetBackendResponse{Outcome: out}, nil
}

// setBackend replaces one backend by what change makes of it.
func (s *Server) setBackend(ctx context.Context, o *sluicev1.WriteOptions, pool, name string, change func(at string, b lb.Backend) (lb.Backend, error)) (*sluicev1.Outcome, error) {
	var at string
	out, err := s.write(ctx, o, func(c *lb.Config) error {
		i, j, err := findBackend(c, pool, name)
		if err != nil {
			return err
		}
		at = fmt.Sprintf("pools[%d].backends[%d]", i, j)
		b := &c.Pools[i].Backends[j]
		*b, err = change(at, *b)
		return err
	})
	return out, relabel(err, at, "")
}

// DeleteBackend removes a backend.
func (s *Server) DeleteBackend(ctx context.Context, req *sluicev1.DeleteBackendRequest) (*sluicev1.DeleteBackendResponse, error) {
	out, err := s.write(ctx, req.GetOptions(), func(c *lb.Config) error {
		i, j, err := findBackend(c, req.GetPool(), req.GetName())
		if err != nil {
			return err
		}
		c.Pools[i].Backends = slices.Delete(c.Pools[i].Backends, j, j+1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sluicev1.DeleteBackendResponse{Outcome: out}, nil
}

// ListBackends returns backends sorted by pool and name.
func (s *Server) ListBackends(_ context.Context, req *sluicev1.ListBackendsRequest) (*sluicev1.ListBackendsResponse, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	if _, ok := v.state.Config.Pool(req.GetPool()); req.GetPool() != "" && !ok {
		return nil, notFound("pool", req.GetPool())
	}
	resp := &sluicev1.ListBackendsResponse{Revision: v.state.Revision}
	for _, p := range v.state.Config.Pools {
		if req.GetPool() == "" || req.GetPool() == p.Name {
			resp.Backends = append(resp.Backends, v.backends(p, req.GetName())...)
		}
	}
	if req.GetName() != "" && len(resp.Backends) == 0 {
		return nil, notFound("backend", req.GetName())
	}
	return resp, nil
}

func findBackend(c *lb.Config, pool, name string) (i, j int, err error) {
	if i, err = findPool(c, pool); err != nil {
		return 0, 0, err
	}
	j = slices.IndexFunc(c.Pools[i].Backends, func(b lb.Backend) bool { return b.Name == name })
	if j < 0 {
		return 0, 0, notFound("backend", lb.BackendKey(pool, name))
	}
	return i, j, nil
}
