package translate

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// faults collects what is wrong with a message while it is read.
type faults lb.Violations

func (f *faults) add(path, format string, args ...any) {
	*f = append(*f, lb.Violation{Path: path, Message: fmt.Sprintf(format, args...)})
}

// err is nil, not an empty list, where nothing is wrong.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return lb.Violations(f)
}

func (f *faults) vip(path string, v *sluicev1.Vip) lb.VIP {
	out := lb.VIP{
		Name:     v.GetName(),
		Address:  f.address(path+".address", v.GetAddress()),
		Protocol: f.protocol(path+".protocol", v.GetProtocol()),
		Pool:     v.GetPool(),
	}
	for i, text := range v.GetPorts() {
		out.Ports = append(out.Ports, f.port(fmt.Sprintf("%s.ports[%d]", path, i), text))
	}
	return out
}

func (f *faults) pool(path string, p *sluicev1.Pool) lb.Pool {
	out := lb.Pool{
		Name: p.GetName(), Encap: f.encap(path+".encap", p.GetEncap()), Slots: p.GetSlots(),
		DrainMax: f.duration(path+".drain_max", p.GetDrainMax()), DrainIdle: f.duration(path+".drain_idle", p.GetDrainIdle()),
	}
	if p != nil {
		out.Health, out.PanicThreshold = f.health(path+".health", p.GetHealth()), f.panicThreshold(path+".panic_threshold", p.PanicThreshold)
	}
	for i, b := range p.GetBackends() {
		out.Backends = append(out.Backends, f.backend(fmt.Sprintf("%s.backends[%d]", path, i), b))
	}
	return out
}

// duration reads a duration; absent is 0, the default. One that is present and 0 is a fault, as in the document.
func (f *faults) duration(path string, d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() <= 0 {
		f.add(path, "%s is not a duration above 0", d.AsDuration())
	}
	return d.AsDuration()
}

func (f *faults) admin(path string, a sluicev1.Admin) lb.Admin {
	if a == sluicev1.Admin_ADMIN_UNSPECIFIED {
		return lb.AdminEnabled
	}
	out := lb.Admin(a - 1)
	if a < 0 || !slices.Contains(lb.Admins, out) {
		f.add(path, "%d is no order that this version knows (use enabled, drained or disabled)", a)
		return lb.AdminEnabled
	}
	return out
}

func (f *faults) backend(path string, b *sluicev1.Backend) lb.Backend {
	out := lb.Backend{
		Name:    b.GetName(),
		Address: f.address(path+".address", b.GetAddress()),
		Weight:  lb.DefaultWeight,
		Scale:   lb.ScaleOne,
		Admin:   f.admin(path+".admin", b.GetAdmin()),
		Encap:   f.override(path+".encap", b.GetEncap()),
	}
	if b != nil && b.Weight != nil {
		out.Weight = b.GetWeight()
	}
	if b != nil && b.Scale != nil {
		out.Scale = f.scale(path+".scale", b.GetScale())
	}
	return out
}
