package control

import (
	"context"
	"fmt"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// SetWeight sets a backend's scale to weight / nominal weight, so that only the slots it gains or loses move.
func (s *Server) SetWeight(ctx context.Context, req *sluicev1.SetWeightRequest) (*sluicev1.SetWeightResponse, error) {
	want := req.GetWeight()
	var got uint32
	out, err := s.setBackend(ctx, req.GetOptions(), req.GetPool(), req.GetName(), func(at string, b lb.Backend) (lb.Backend, error) {
		scale, fault := scaleFor(b, want)
		if fault != "" {
			return b, lb.Violations{{Path: at + ".weight", Message: fmt.Sprintf("backend %q: %s", lb.BackendKey(req.GetPool(), b.Name), fault)}}
		}
		b.Scale = scale
		got = b.EffectiveWeight()
		return b, nil
	})
	if err != nil {
		return nil, err
	}
	if got != want {
		out.Warnings = append(out.Warnings, fmt.Sprintf("the effective weight is %d, not %d: scale has steps of 0.001", got, want))
	}
	return &sluicev1.SetWeightResponse{Outcome: out}, nil
}

// scaleFor is the scale that brings b nearest to an effective weight, or the reason why there is none.
func scaleFor(b lb.Backend, want uint32) (scale lb.Scale, fault string) {
	switch {
	case want > lb.MaxWeight:
		return 0, fmt.Sprintf("weight %d is out of range (use 0 to %d)", want, lb.MaxWeight)
	case want == 0 && b.Weight == 0:
		return b.Scale, ""
	case b.Weight == 0:
		return 0, fmt.Sprintf("its nominal weight is 0, which no scale makes %d (set the nominal weight first)", want)
	}
	one, nominal := uint64(lb.ScaleOne), uint64(b.Weight)
	thousandths := (uint64(want)*one + nominal/2) / nominal
	if thousandths > uint64(lb.MaxScale) {
		return 0, fmt.Sprintf("weight %d is more than %d times its nominal weight %d (set the nominal weight instead)", want, lb.MaxScale/lb.ScaleOne, b.Weight)
	}
	if want > 0 {
		thousandths = max(thousandths, 1) // little is not nothing
	}
	return lb.Scale(thousandths), ""
}
