package translate_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

func TestHealthSurvivesTheRoundTrip(t *testing.T) {
	var want lb.Config
	for _, typ := range lb.CheckTypes {
		want.Pools = append(want.Pools, lb.Pool{Name: typ.String(), Health: lb.Health{Type: typ}.WithDefaults()})
	}
	want.Pools = append(want.Pools,
		lb.Pool{Name: "every-field", PanicThreshold: 40, Health: lb.Health{
			Type: lb.CheckHTTP, Port: 1, Path: "/p", Host: "h", Expect: lb.StatusRange{Low: 204, High: 204}, Query: "q", Service: "s",
			Interval: time.Minute, Timeout: 10 * time.Millisecond, Rise: 9, Fall: 100,
		}},
		lb.Pool{Name: "never-panics", PanicThreshold: lb.PanicNever},
	)
	got, err := translate.ConfigFromProto(translate.ConfigToProto(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHealthFaultsAreReported(t *testing.T) {
	n := func(n uint32) *uint32 { return &n }
	expect := "ok"
	_, err := translate.PoolFromProto("pool", &sluicev1.Pool{PanicThreshold: n(101), Health: &sluicev1.HealthCheck{
		Type: 77, Port: n(65536), Expect: &expect, Interval: durationpb.New(-1), Timeout: &durationpb.Duration{Seconds: 1, Nanos: -1}, Rise: n(0), Fall: n(101),
	}})
	var got lb.Violations
	if !errors.As(err, &got) {
		t.Fatalf("got %v", err)
	}
	paths := []string{}
	for _, v := range got {
		paths = append(paths, v.Path)
	}
	want := []string{
		"pool.health.interval", "pool.health.timeout", "pool.health.port", "pool.health.rise", "pool.health.fall", "pool.health.type",
		"pool.health.expect", "pool.panic_threshold",
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("%s\n%v", diff, got)
	}
}

func TestMergeHealth(t *testing.T) {
	path, other := "/a", "/b"
	old := &sluicev1.HealthCheck{Type: sluicev1.HealthCheck_TYPE_HTTP, Path: &path, Interval: durationpb.New(1500 * time.Millisecond)}
	for _, row := range []struct {
		name        string
		patch, want *sluicev1.HealthCheck
	}{
		{"nothing", nil, old},
		{"none-removes", &sluicev1.HealthCheck{Type: sluicev1.HealthCheck_TYPE_NONE}, nil},
		{"a-field", &sluicev1.HealthCheck{Path: &other}, &sluicev1.HealthCheck{Type: old.GetType(), Path: &other, Interval: old.GetInterval()}},
		{"a-duration", &sluicev1.HealthCheck{Interval: durationpb.New(2 * time.Second)},
			&sluicev1.HealthCheck{Type: old.GetType(), Path: &path, Interval: durationpb.New(2 * time.Second)}},
		{"the-same-type", &sluicev1.HealthCheck{Type: old.GetType()}, old},
		{"another-type", &sluicev1.HealthCheck{Type: sluicev1.HealthCheck_TYPE_ICMP}, &sluicev1.HealthCheck{Type: sluicev1.HealthCheck_TYPE_ICMP}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if diff := cmp.Diff(row.want, translate.MergeHealth(old, row.patch), protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
	if old.GetInterval().AsDuration() != 1500*time.Millisecond || old.GetPath() != "/a" {
		t.Error("the old one was changed")
	}
}
