package translate

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

var checkTypes = map[lb.CheckType]sluicev1.HealthCheck_Type{
	lb.CheckTCP:   sluicev1.HealthCheck_TYPE_TCP,
	lb.CheckHTTP:  sluicev1.HealthCheck_TYPE_HTTP,
	lb.CheckHTTPS: sluicev1.HealthCheck_TYPE_HTTPS,
	lb.CheckGRPC:  sluicev1.HealthCheck_TYPE_GRPC,
	lb.CheckDNS:   sluicev1.HealthCheck_TYPE_DNS,
	lb.CheckICMP:  sluicev1.HealthCheck_TYPE_ICMP,
}

// CheckTypeToProto translates a type of checks; no check becomes TYPE_NONE, one that lb does not know TYPE_UNSPECIFIED.
func CheckTypeToProto(t lb.CheckType) sluicev1.HealthCheck_Type {
	if t == lb.CheckNone {
		return sluicev1.HealthCheck_TYPE_NONE
	}
	return checkTypes[t]
}

// HealthToProto translates a check; nil where there is none. Fields that the check does not have are absent.
func HealthToProto(h lb.Health) *sluicev1.HealthCheck {
	if h == (lb.Health{}) {
		return nil
	}
	out := &sluicev1.HealthCheck{
		Type: CheckTypeToProto(h.Type), Port: present(uint32(h.Port)), Path: present(h.Path), Host: present(h.Host),
		Query: present(h.Query), Service: present(h.Service), Rise: present(h.Rise), Fall: present(h.Fall),
		Interval: durationToProto(h.Interval), Timeout: durationToProto(h.Timeout),
	}
	if h.Expect != (lb.StatusRange{}) {
		out.Expect = present(h.Expect.String())
	}
	return out
}

// present is nil for the zero value.
func present[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// MergeHealth changes those fields of a check that are present in patch. Another type starts from nothing but the patch;
// TYPE_NONE removes the check.
func MergeHealth(old, patch *sluicev1.HealthCheck) *sluicev1.HealthCheck {
	if patch == nil {
		return old
	}
	if patch.GetType() == sluicev1.HealthCheck_TYPE_NONE {
		return nil
	}
	out := &sluicev1.HealthCheck{}
	if t := patch.GetType(); t == sluicev1.HealthCheck_TYPE_UNSPECIFIED || t == old.GetType() {
		proto.Merge(out, old)
	}
	// Merge would add durations' fields one by one.
	if patch.GetInterval() != nil {
		out.Interval = nil
	}
	if patch.GetTimeout() != nil {
		out.Timeout = nil
	}
	proto.Merge(out, patch)
	return out
}

// PanicToProto translates a threshold to percent; nil stands for the default.
func PanicToProto(t lb.PanicThreshold) *uint32 {
	if t == 0 {
		return nil
	}
	percent := t.Percent()
	return &percent
}

func (f *faults) health(path string, h *sluicev1.HealthCheck) lb.Health {
	if h == nil || h.GetType() == sluicev1.HealthCheck_TYPE_NONE {
		return lb.Health{}
	}
	out := lb.Health{
		Path: h.GetPath(), Host: h.GetHost(), Query: h.GetQuery(), Service: h.GetService(),
		Interval: f.duration(path+".interval", h.GetInterval()), Timeout: f.duration(path+".timeout", h.GetTimeout()),
		Port: uint16(f.count(path+".port", h.Port, 1<<16-1)),
		Rise: f.count(path+".rise", h.Rise, lb.MaxInRow), Fall: f.count(path+".fall", h.Fall, lb.MaxInRow),
	}
	for t, m := range checkTypes {
		if m == h.GetType() {
			out.Type = t
		}
	}
	if out.Type == lb.CheckNone {
		words := make([]string, len(lb.CheckTypes))
		for i, t := range lb.CheckTypes {
			words[i] = t.String()
		}
		f.add(path+".type", "required (one of %s)", strings.Join(words, ", "))
	}
	if h.Expect != nil {
		var err error
		if out.Expect, err = lb.ParseStatusRange(h.GetExpect()); err != nil {
			f.add(path+".expect", "%v", err)
		}
	}
	return out.WithDefaults()
}

// count reads a number from 1 that may be absent.
func (f *faults) count(path string, n *uint32, most uint32) uint32 {
	if n != nil && (*n < 1 || *n > most) {
		f.add(path, "%d: must be 1 to %d", *n, most)
		return 0
	}
	if n == nil {
		return 0
	}
	return *n
}

func (f *faults) panicThreshold(path string, percent *uint32) lb.PanicThreshold {
	if percent == nil {
		return 0
	}
	if *percent > 100 {
		f.add(path, "panic_threshold %d: must be 0 to 100 percent", *percent)
		return 0
	}
	return lb.PanicPercent(*percent)
}
