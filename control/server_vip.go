package control

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// CreateVip adds a VIP.
func (s *Server) CreateVip(ctx context.Context, req *sluicev1.CreateVipRequest) (*sluicev1.CreateVipResponse, error) {
	vip, err := translate.VIPFromProto("vip", req.GetVip())
	if err != nil {
		return nil, err
	}
	var at string
	out, err := s.write(ctx, req.GetOptions(), func(c *lb.Config) error {
		if _, ok := c.VIP(vip.Name); ok {
			return exists("vip", vip.Name)
		}
		at = fmt.Sprintf("vips[%d]", len(c.VIPs))
		c.VIPs = append(c.VIPs, vip)
		return nil
	})
	if err != nil {
		return nil, relabel(err, at, "vip")
	}
	return &sluicev1.CreateVipResponse{Outcome: out}, nil
}

// SetVip changes the fields of a VIP that are present in the request.
func (s *Server) SetVip(ctx context.Context, req *sluicev1.SetVipRequest) (*sluicev1.SetVipResponse, error) {
	var at string
	out, err := s.write(ctx, req.GetOptions(), func(c *lb.Config) error {
		i, err := findVIP(c, req.GetName())
		if err != nil {
			return err
		}
		at = fmt.Sprintf("vips[%d]", i)
		c.VIPs[i], err = patchVIP(at, c.VIPs[i], req)
		return err
	})
	if err != nil {
		return nil, relabel(err, at, "")
	}
	return &sluicev1.SetVipResponse{Outcome: out}, nil
}

func patchVIP(at string, vip lb.VIP, req *sluicev1.SetVipRequest) (lb.VIP, error) {
	m := translate.VIPToProto(vip)
	if req.Address != nil {
		m.Address = req.GetAddress()
	}
	if req.GetProtocol() != sluicev1.Protocol_PROTOCOL_UNSPECIFIED {
		m.Protocol = req.GetProtocol()
	}
	if len(req.GetPorts()) > 0 {
		m.Ports = req.GetPorts()
	}
	if req.Pool != nil {
		m.Pool = req.GetPool()
	}
	return translate.VIPFromProto(at, m)
}

// DeleteVip removes a VIP.
func (s *Server) DeleteVip(ctx context.Context, req *sluicev1.DeleteVipRequest) (*sluicev1.DeleteVipResponse, error) {
	out, err := s.write(ctx, req.GetOptions(), func(c *lb.Config) error {
		i, err := findVIP(c, req.GetName())
		if err != nil {
			return err
		}
		c.VIPs = slices.Delete(c.VIPs, i, i+1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &sluicev1.DeleteVipResponse{Outcome: out}, nil
}

// ListVips returns VIPs sorted by name.
func (s *Server) ListVips(_ context.Context, req *sluicev1.ListVipsRequest) (*sluicev1.ListVipsResponse, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	resp := &sluicev1.ListVipsResponse{Revision: v.state.Revision}
	for _, vip := range v.state.Config.VIPs {
		if req.GetName() == "" || req.GetName() == vip.Name {
			resp.Vips = append(resp.Vips, v.vip(vip))
		}
	}
	if req.GetName() != "" && len(resp.Vips) == 0 {
		return nil, notFound("vip", req.GetName())
	}
	return resp, nil
}

func findVIP(c *lb.Config, name string) (int, error) {
	i := slices.IndexFunc(c.VIPs, func(v lb.VIP) bool { return v.Name == name })
	if i < 0 {
		return 0, notFound("vip", name)
	}
	return i, nil
}
