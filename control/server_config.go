package control

import (
	"context"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// Apply replaces the whole configuration.
func (s *Server) Apply(ctx context.Context, req *sluicev1.ApplyRequest) (*sluicev1.ApplyResponse, error) {
	if req.GetConfig() == nil {
		// An empty configuration takes everything down: it must be meant.
		return nil, lb.Violations{{Path: "config", Message: "config is missing (send an empty one to remove everything)"}}
	}
	cfg, err := translate.ConfigFromProto(req.GetConfig())
	if err != nil {
		return nil, err
	}
	out, err := s.write(ctx, req.GetOptions(), func(c *lb.Config) error { *c = cfg; return nil })
	if err != nil {
		return nil, err
	}
	return &sluicev1.ApplyResponse{Outcome: out}, nil
}

// Export returns the whole configuration, the live one or that of an older revision.
func (s *Server) Export(_ context.Context, req *sluicev1.ExportRequest) (*sluicev1.ExportResponse, error) {
	return s.exported(req)
}
