package control

import (
	"context"
	"fmt"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// SetAdmin orders a backend to be enabled, drained or disabled.
func (s *Server) SetAdmin(ctx context.Context, req *sluicev1.SetAdminRequest) (*sluicev1.SetAdminResponse, error) {
	out, err := s.setBackend(ctx, req.GetOptions(), req.GetPool(), req.GetName(), func(at string, b lb.Backend) (lb.Backend, error) {
		if req.GetAdmin() == sluicev1.Admin_ADMIN_UNSPECIFIED {
			return b, lb.Violations{{Path: at + ".admin", Message: fmt.Sprintf("backend %q: the order is missing (use enabled, drained or disabled)", b.Name)}}
		}
		m := translate.BackendToProto(b)
		m.Admin = req.GetAdmin()
		return translate.BackendFromProto(at, m)
	})
	if err != nil {
		return nil, err
	}
	return &sluicev1.SetAdminResponse{Outcome: out}, nil
}
