package store

import "github.com/sluice-lb/sluice/lb"

// formOfHealth is nil where there is no check.
func formOfHealth(h lb.Health) *formHealth {
	if h.Type == lb.CheckNone {
		return nil
	}
	return &formHealth{
		h.Type.String(), h.Port, h.Path, h.Host, h.Expect.Low, h.Expect.High, h.Query, h.Service, h.Interval, h.Timeout, h.Rise, h.Fall,
	}
}

func (f *formHealth) health() (lb.Health, error) {
	if f == nil {
		return lb.Health{}, nil
	}
	t, err := lb.ParseCheckType(f.Type)
	return lb.Health{
		Type: t, Port: f.Port, Path: f.Path, Host: f.Host, Expect: lb.StatusRange{Low: f.ExpectLow, High: f.ExpectHigh},
		Query: f.Query, Service: f.Service, Interval: f.Interval, Timeout: f.Timeout, Rise: f.Rise, Fall: f.Fall,
	}, err
}
