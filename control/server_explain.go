package control

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// Sizes of a frame that can be explained, in bytes: those of xdp.MinFrame and xdp.MaxFrame.
const minFrame, maxFrame = 14, 3512

// Explain says what would become of a packet now, and why.
func (s *Server) Explain(_ context.Context, req *sluicev1.ExplainRequest) (*sluicev1.ExplainResponse, error) {
	frame, err := frameOf(req)
	if err != nil {
		return nil, err
	}
	iface, err := s.ingress(req.GetInterface())
	if err != nil {
		return nil, err
	}
	e, err := s.engine.dp.Explain(frame, iface)
	if err != nil {
		return nil, unavailable("explain the packet", err)
	}
	resp := translate.ExplanationToProto(e)
	if e.Backend != "" {
		resp.NextHop = hopToProto(s.engine.Status(e.Address))
		// What the packet meets is in the data plane, whatever the kernel says of the neighbour by now.
		resp.NextHop.Interface, resp.NextHop.Mac, resp.NextHop.Mtu = e.Hop.Interface, "", e.Hop.MTU
		if !e.Hop.MAC.IsZero() {
			resp.NextHop.Mac = e.Hop.MAC.String()
		}
	}
	return resp, nil
}

// frameOf is the frame that a request holds or describes.
func frameOf(req *sluicev1.ExplainRequest) ([]byte, error) {
	described := req.GetProtocol() != sluicev1.Protocol_PROTOCOL_UNSPECIFIED || req.GetSource() != "" || req.GetDestination() != "" || req.GetSyn()
	if frame := req.GetFrame(); len(frame) > 0 {
		switch {
		case described:
			return nil, lb.Violations{{Path: "frame", Message: "excludes protocol, source, destination and syn (give one or the other)"}}
		case len(frame) < minFrame || len(frame) > maxFrame:
			return nil, lb.Violations{{Path: "frame", Message: fmt.Sprintf("%d bytes long (must be %d to %d)", len(frame), minFrame, maxFrame)}}
		}
		return frame, nil
	}
	flow, err := flowOf(req)
	if err != nil {
		return nil, err
	}
	return flow.Frame(req.GetSyn()), nil
}

// flowOf is the flow that a request describes; the error has every fault.
func flowOf(req *sluicev1.ExplainRequest) (lb.Flow, error) {
	var flow lb.Flow
	var faults lb.Violations
	for _, side := range []struct {
		path, text string
		to         *netip.AddrPort
	}{{"source", req.GetSource(), &flow.Source}, {"destination", req.GetDestination(), &flow.Destination}} {
		a, err := netip.ParseAddrPort(side.text)
		if err != nil || a.Addr().Is4In6() || a.Addr().Zone() != "" {
			faults = append(faults, lb.Violation{Path: side.path, Message: fmt.Sprintf("%q is not ADDRESS:PORT (such as 203.0.113.7:40000 or [2001:db8::7]:40000)", side.text)})
		}
		*side.to = a
	}
	switch req.GetProtocol() {
	case sluicev1.Protocol_PROTOCOL_TCP:
		flow.Protocol = lb.TCP
	case sluicev1.Protocol_PROTOCOL_UDP:
		flow.Protocol = lb.UDP
	default:
		faults = append(faults, lb.Violation{Path: "protocol", Message: fmt.Sprintf("protocol %d is unknown (use tcp or udp)", req.GetProtocol())})
	}
	if len(faults) == 0 && flow.Source.Addr().Is4() != flow.Destination.Addr().Is4() {
		faults = append(faults, lb.Violation{Path: "destination", Message: fmt.Sprintf("%s and the source %s are of different families", flow.Destination, flow.Source)})
	}
	if flow.Protocol == lb.UDP && req.GetSyn() {
		faults = append(faults, lb.Violation{Path: "syn", Message: "udp has none (leave it out)"})
	}
	if len(faults) > 0 {
		return flow, faults
	}
	return flow, nil
}

// ingress is the interface that the packet is taken to come in by: the one that is named, or the only one there is.
func (s *Server) ingress(name string) (string, error) {
	info, err := s.engine.dp.Info()
	if err != nil {
		return "", unavailable("describe the data plane", err)
	}
	var names []string
	for _, i := range info.Interfaces {
		if i.Name == name {
			return name, nil
		}
		names = append(names, i.Name)
	}
	switch {
	case name != "":
		return "", lb.Violations{{Path: "interface", Message: fmt.Sprintf("%q is not managed (choose one of %q)", name, names)}}
	case len(names) != 1:
		return "", lb.Violations{{Path: "interface", Message: fmt.Sprintf("required where several are managed (choose one of %q)", names)}}
	}
	return names[0], nil
}
