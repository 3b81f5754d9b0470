package translate_test

import (
	"errors"
	"math"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

var sameAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestConfigSurvivesTheRoundTrip(t *testing.T) {
	var every []lb.Backend
	for s := lb.Scale(0); s <= lb.MaxScale; s += 7 { // every kind of decimal, and both ends
		every = append(every, lb.Backend{Name: "b", Address: netip.MustParseAddr("10.9.0.1"), Scale: s})
	}
	want := lb.Config{
		Pools: []lb.Pool{
			{Name: "empty", Slots: 2048, Encap: lb.EncapL2},
			{Name: "web", Backends: []lb.Backend{
				{Name: "web-1", Address: netip.MustParseAddr("10.9.3.2"), Weight: 0, Scale: 0, Encap: lb.OverrideEncap(lb.EncapL2)},
				{Name: "web-2", Address: netip.MustParseAddr("2001:db8::2"), Weight: 65535, Scale: lb.MaxScale, Encap: lb.OverrideEncap(lb.EncapIPIP)},
			}},
			{Name: "scales", Backends: every},
		},
		VIPs: []lb.VIP{
			{Name: "web", Address: netip.MustParseAddr("198.51.100.10"), Protocol: lb.TCP, Ports: []uint16{1, 65535}, Pool: "web"},
			{Name: "dns", Address: netip.MustParseAddr("2001:db8::53"), Protocol: lb.UDP, Ports: []uint16{53}, Pool: "web"},
		},
	}
	got, err := translate.ConfigFromProto(translate.ConfigToProto(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, sameAddr); diff != "" {
		t.Error(diff)
	}
}

func TestEnumsAreAllTranslated(t *testing.T) {
	for _, p := range lb.Protocols {
		if translate.ProtocolToProto(p) == sluicev1.Protocol_PROTOCOL_UNSPECIFIED {
			t.Errorf("protocol %s has no message value", p)
		}
	}
	for _, e := range lb.Encaps {
		if translate.EncapToProto(e) == sluicev1.Encap_ENCAP_UNSPECIFIED {
			t.Errorf("encap %s has no message value", e)
		}
	}
}

func TestAbsentFieldsTakeTheirDefaults(t *testing.T) {
	got, err := translate.BackendFromProto("backend", &sluicev1.Backend{Name: "b", Address: "10.9.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	want := lb.Backend{Name: "b", Address: netip.MustParseAddr("10.9.0.1"), Weight: lb.DefaultWeight, Scale: lb.ScaleOne}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEveryFaultIsReported(t *testing.T) {
	scale := func(f float64) *float64 { return &f }
	_, err := translate.ConfigFromProto(&sluicev1.Config{
		Pools: []*sluicev1.Pool{
			{Name: "a", Encap: 9, Backends: []*sluicev1.Backend{
				{Address: "10.9.0.1", Scale: scale(0.1)},
				{Address: "10.9.0", Scale: scale(0.0001)},
				{Scale: scale(-1)},
				{Address: "::1", Scale: scale(math.NaN())},
				{Address: "::1", Scale: scale(math.Inf(1))},
				{Address: "::1", Scale: scale(100.001)},
				nil,
			}},
			nil,
		},
		Vips: []*sluicev1.Vip{{Address: "www", Protocol: 7, Ports: []string{"80", "0", "65536", "8000-8099", "any", " 1"}}, nil},
	})
	var got lb.Violations
	if !errors.As(err, &got) {
		t.Fatalf("got %T, want lb.Violations", err)
	}
	want := lb.Violations{
		{Path: "pools[0].encap", Message: "encap 9 is unknown (use ipip or l2)"},
		{Path: "pools[0].backends[1].address", Message: `"10.9.0" is not an IPv4 or IPv6 address`},
		{Path: "pools[0].backends[1].scale", Message: "scale 0.0001: must have at most three decimals"},
		{Path: "pools[0].backends[2].address", Message: "required (an IPv4 or IPv6 address)"},
		{Path: "pools[0].backends[2].scale", Message: "scale -1: must be 0 to 100"},
		{Path: "pools[0].backends[3].scale", Message: "scale NaN: must be 0 to 100"},
		{Path: "pools[0].backends[4].scale", Message: "scale +Inf: must be 0 to 100"},
		{Path: "pools[0].backends[5].scale", Message: "scale 100.001: must be 0 to 100"},
		{Path: "pools[0].backends[6].address", Message: "required (an IPv4 or IPv6 address)"},
		{Path: "vips[0].address", Message: `"www" is not an IPv4 or IPv6 address`},
		{Path: "vips[0].protocol", Message: "protocol 7 is unknown (use tcp or udp)"},
		{Path: "vips[0].ports[1]", Message: `port "0": must be 1 to 65535`},
		{Path: "vips[0].ports[2]", Message: `port "65536": must be 1 to 65535`},
		{Path: "vips[0].ports[3]", Message: `port "8000-8099": ranges and any are not in this release (list each port)`},
		{Path: "vips[0].ports[4]", Message: `port "any": ranges and any are not in this release (list each port)`},
		{Path: "vips[0].ports[5]", Message: `port " 1": must be 1 to 65535`},
		{Path: "vips[1].address", Message: "required (an IPv4 or IPv6 address)"},
		{Path: "vips[1].protocol", Message: "required (tcp or udp)"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
