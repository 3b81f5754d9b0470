package control_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// Explain asks the twin.
func (d *dataplane) Explain(frame []byte, iface string) (lb.Explanation, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := lb.NewTwin(d.maps.State, lb.Seed{}, iface).Explain(frame)
	e.ProgramTag, e.LiveTag = "0011223344556677", "0011223344556677"
	return e, nil
}

func TestExplain(t *testing.T) {
	_, client := webNode(t)
	described := &sluicev1.ExplainRequest{
		Protocol: sluicev1.Protocol_PROTOCOL_TCP, Source: "203.0.113.7:40000", Destination: "198.51.100.10:80", Syn: true,
	}
	flow := lb.Flow{
		Source: netip.MustParseAddrPort("203.0.113.7:40000"), Destination: netip.MustParseAddrPort("198.51.100.10:80"), Protocol: lb.TCP,
	}
	for name, req := range map[string]*sluicev1.ExplainRequest{
		"described": described,
		"frame":     {Frame: flow.Frame(true), Interface: "eth0"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := client.Explain(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			if e.GetVerdict() != "forwarded" || e.GetAction() != "tx" || e.GetVip() != "web" || e.GetPool() != "web" ||
				!strings.HasPrefix(e.GetBackend(), "web/web-") || e.GetBackend() != e.GetOwner() || e.GetSlotState() != "stable" ||
				e.Slot == nil || e.GetSlot() >= e.GetPoolSlots() || len(e.GetHash()) != 16 || !e.GetSyn() || e.GetEntry() != nil ||
				e.GetSource() != "203.0.113.7:40000" || e.GetDestination() != "198.51.100.10:80" || e.GetInterface() != "eth0" ||
				e.GetEncap() != sluicev1.Encap_ENCAP_IPIP || e.GetRemedy() != "" || e.GetLiveTag() != "0011223344556677" {
				t.Errorf("explanation: %v", e)
			}
			hop := e.GetNextHop()
			if hop.GetInterface() != "eth0" || hop.GetMac() == "" || hop.GetState() != sluicev1.NextHop_STATE_REACHABLE || !strings.Contains(e.GetOut(), hop.GetMac()) {
				t.Errorf("next hop %v, out %q", hop, e.GetOut())
			}
			var steps []string
			for _, s := range e.GetPath() {
				steps = append(steps, s.GetStep())
			}
			if want := []string{"read", "vip", "slot", "backend", "verdict", "out", "program"}; !slices.Equal(steps, want) {
				t.Errorf("path %q, want %q", steps, want)
			}
		})
	}
	e, err := client.Explain(context.Background(), &sluicev1.ExplainRequest{Frame: make([]byte, 60)})
	if err != nil || e.GetVerdict() != "pass_not_ip" || e.GetSource() != "" || e.Slot != nil || e.GetNextHop() != nil || e.GetRemedy() == "" {
		t.Errorf("a frame of zeros: %v, %v", e, err)
	}
}

func TestExplainRefuses(t *testing.T) {
	_, client := webNode(t)
	tcp, udp := sluicev1.Protocol_PROTOCOL_TCP, sluicev1.Protocol_PROTOCOL_UDP
	for name, row := range map[string]struct {
		req  *sluicev1.ExplainRequest
		want string
	}{
		"nothing":         {&sluicev1.ExplainRequest{}, "source"},
		"no-port":         {&sluicev1.ExplainRequest{Protocol: tcp, Source: "203.0.113.7", Destination: "198.51.100.10:80"}, "source"},
		"name":            {&sluicev1.ExplainRequest{Protocol: tcp, Source: "203.0.113.7:1", Destination: "web:80"}, "destination"},
		"mapped":          {&sluicev1.ExplainRequest{Protocol: tcp, Source: "203.0.113.7:1", Destination: "[::ffff:198.51.100.10]:80"}, "destination"},
		"families":        {&sluicev1.ExplainRequest{Protocol: tcp, Source: "[2001:db8::7]:1", Destination: "198.51.100.10:80"}, "destination"},
		"protocol":        {&sluicev1.ExplainRequest{Protocol: 99, Source: "203.0.113.7:1", Destination: "198.51.100.10:80"}, "protocol"},
		"udp-syn":         {&sluicev1.ExplainRequest{Protocol: udp, Syn: true, Source: "203.0.113.7:1", Destination: "198.51.100.10:80"}, "syn"},
		"both":            {&sluicev1.ExplainRequest{Protocol: tcp, Frame: make([]byte, 60)}, "frame"},
		"short-frame":     {&sluicev1.ExplainRequest{Frame: make([]byte, 13)}, "frame"},
		"long-frame":      {&sluicev1.ExplainRequest{Frame: make([]byte, 3513)}, "frame"},
		"other-interface": {&sluicev1.ExplainRequest{Frame: make([]byte, 60), Interface: "eth9"}, "interface"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Explain(context.Background(), row.req)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, expected an invalid %s", err, row.want)
			}
		})
	}
}
