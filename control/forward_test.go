package control_test

import (
	"strings"
	"testing"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// TestFlatBackendBehindRouter has one backend of two on the segment.
func TestFlatBackendBehindRouter(t *testing.T) {
	n, c := webNode(t)
	behind := defaultHop(backend(1).Address)
	behind.Direct = false
	n.hops.set(backend(1).Address, behind)
	cfg := web(2)
	cfg.Pools[0].Encap = lb.EncapL2
	n.apply(t, cfg)

	if places := n.engine.State().Layout.Backends; !places["web/web-a"].Hop.Direct || places["web/web-b"].Hop.Direct {
		t.Errorf("planned %+v", places)
	}
	answer, err := c.ListBackends(t.Context(), &sluicev1.ListBackendsRequest{})
	if err != nil || len(answer.GetBackends()) != 2 {
		t.Fatalf("%v, err %v", answer, err)
	}
	for i, want := range []sluicev1.NextHop_State{sluicev1.NextHop_STATE_REACHABLE, sluicev1.NextHop_STATE_OFF_SEGMENT} {
		b := answer.GetBackends()[i]
		if got := b.GetNextHop().GetState(); got != want || b.GetEncap() != sluicev1.Encap_ENCAP_L2 || b.GetNextHop().GetSource() != "" {
			t.Errorf("%s: %v, want %s, l2 and no source", b.GetBackend().GetName(), b, want)
		}
	}
	warnings := strings.Join(n.engine.Warnings(), "\n")
	if !strings.Contains(warnings, `backend "web/web-b"`) || !strings.Contains(warnings, "leads through the router 10.9.0.254") {
		t.Errorf("warnings %q", warnings)
	}
	if strings.Contains(warnings, "web/web-a") {
		t.Errorf("a backend on the segment: warnings %q", warnings)
	}
}

// TestSourcePrefixIsShown has an outer source that varies.
func TestSourcePrefixIsShown(t *testing.T) {
	n, c := webNode(t)
	for i := range 2 {
		hop := defaultHop(backend(i).Address)
		hop.SourceBits = 8
		n.hops.set(backend(i).Address, hop)
	}
	answer, err := c.ListBackends(t.Context(), &sluicev1.ListBackendsRequest{})
	if err != nil || answer.GetBackends()[0].GetNextHop().GetSource() != "10.9.0.1/24" {
		t.Errorf("%v, err %v", answer, err)
	}
}
