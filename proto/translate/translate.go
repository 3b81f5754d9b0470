// Package translate converts between the messages of proto/sluice/v1 and the values of lb, for both ends of the API.
//
// Reading a message finds only the faults that an lb value cannot hold: text that is no address, a port that is no
// number, an unknown enum. Whether the values make sense together is for lb.Config.Validate to say.
package translate

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"fmt"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// ConfigToProto translates a whole configuration.
func ConfigToProto(c lb.Config) *sluicev1.Config {
	out := &sluicev1.Config{}
	for _, p := range c.Pools {
		out.Pools = append(out.Pools, PoolToProto(p))
	}
	for _, v := range c.VIPs {
		out.Vips = append(out.Vips, VIPToProto(v))
	}
	return out
}

// ConfigFromProto translates a whole configuration. The error is lb.Violations with the document's paths; every fault
// is reported.
func ConfigFromProto(c *sluicev1.Config) (lb.Config, error) {
	var out lb.Config
	var found faults
	for i, p := range c.GetPools() {
		out.Pools = append(out.Pools, found.pool(fmt.Sprintf("pools[%d]", i), p))
	}
	for i, v := range c.GetVips() {
		out.VIPs = append(out.VIPs, found.vip(fmt.Sprintf("vips[%d]", i), v))
	}
	return out, found.err()
}

// VIPToProto translates one VIP.
func VIPToProto(v lb.VIP) *sluicev1.Vip {
	out := &sluicev1.Vip{Name: v.Name, Protocol: ProtocolToProto(v.Protocol), Ports: PortsToProto(v.Ports), Pool: v.Pool}
	if v.Address.IsValid() {
		out.Address = v.Address.String()
	}
	return out
}

// VIPFromProto translates one VIP. The error is lb.Violations whose paths start with path, such as "vip".
func VIPFromProto(path string, v *sluicev1.Vip) (lb.VIP, error) {
	var found faults
	out := found.vip(path, v)
	return out, found.err()
}

// PoolToProto translates one pool with its backends.
func PoolToProto(p lb.Pool) *sluicev1.Pool {
	out := &sluicev1.Pool{
		Name: p.Name, Encap: EncapToProto(p.Encap), Slots: p.Slots,
		DrainMax: durationToProto(p.DrainMax), DrainIdle: durationToProto(p.DrainIdle),
		Health: HealthToProto(p.Health), PanicThreshold: PanicToProto(p.PanicThreshold),
	}
	for _, b := range p.Backends {
		out.Backends = append(out.Backends, BackendToProto(b))
	}
	return out
}

// durationToProto leaves a default absent.
func durationToProto(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// PoolFromProto translates one pool with its backends. The error is lb.Violations whose paths start with path.
func PoolFromProto(path string, p *sluicev1.Pool) (lb.Pool, error) {
	var found faults
	out := found.pool(path, p)
	return out, found.err()
}

// AdminToProto translates an order.
func AdminToProto(a lb.Admin) sluicev1.Admin { return sluicev1.Admin(a + 1) }

// BackendToProto translates one backend; weight and scale are always present in the result.
func BackendToProto(b lb.Backend) *sluicev1.Backend {
	weight, scale := b.Weight, ScaleToProto(b.Scale)
	out := &sluicev1.Backend{Name: b.Name, Weight: &weight, Scale: &scale, Admin: AdminToProto(b.Admin)}
	if own, ok := b.Encap.Get(); ok {
		out.Encap = EncapToProto(own).Enum()
	}
	if b.Address.IsValid() {
		out.Address = b.Address.String()
	}
	return out
}

// BackendFromProto translates one backend; an absent weight or scale becomes its default. The error is lb.Violations
// whose paths start with path.
func BackendFromProto(path string, b *sluicev1.Backend) (lb.Backend, error) {
	var found faults
	out := found.backend(path, b)
	return out, found.err()
}
