package document

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/lb"
)

// surface is the document as it is written: defaults are absent.
type surface struct {
	Version int           `json:"version" yaml:"version"`
	Pools   []surfacePool `json:"pools,omitempty" yaml:"pools,omitempty"`
	VIPs    []surfaceVIP  `json:"vips,omitempty" yaml:"vips,omitempty"`
}

type surfacePool struct {
	Name      string           `json:"name" yaml:"name"`
	Encap     string           `json:"encap,omitempty" yaml:"encap,omitempty"`
	Slots     uint32           `json:"slots,omitempty" yaml:"slots,omitempty"`
	DrainMax  string           `json:"drain_max,omitempty" yaml:"drain_max,omitempty"`
	DrainIdle string           `json:"drain_idle,omitempty" yaml:"drain_idle,omitempty"`
	Health    *surfaceHealth   `json:"health,omitempty" yaml:"health,omitempty"`
	Panic     *uint32          `json:"panic_threshold,omitempty" yaml:"panic_threshold,omitempty"`
	Backends  []surfaceBackend `json:"backends,omitempty" yaml:"backends,omitempty"`
}

type surfaceBackend struct {
	Name    string  `json:"name" yaml:"name"`
	Address string  `json:"address" yaml:"address"`
	Weight  *uint32 `json:"weight,omitempty" yaml:"weight,omitempty"`
	Scale   *factor `json:"scale,omitempty" yaml:"scale,omitempty"`
	Admin   string  `json:"admin,omitempty" yaml:"admin,omitempty"`
	Encap   string  `json:"encap,omitempty" yaml:"encap,omitempty"`
}

type surfaceVIP struct {
	Name     string   `json:"name" yaml:"name"`
	Address  string   `json:"address" yaml:"address"`
	Protocol string   `json:"protocol" yaml:"protocol"`
	Ports    []uint16 `json:"ports" yaml:"ports,flow"`
	Pool     string   `json:"pool" yaml:"pool"`
}

// Marshal writes a valid configuration as canonical YAML. Parse reads it back to c.Normalize().
func Marshal(c lb.Config) ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(surfaceOf(c)); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

// MarshalJSON writes a valid configuration as canonical JSON, indented. Parse reads it back to c.Normalize().
func MarshalJSON(c lb.Config) ([]byte, error) {
	out, err := json.MarshalIndent(surfaceOf(c), "", "  ")
	return append(out, '\n'), err
}

func surfaceOf(c lb.Config) surface {
	out := surface{Version: Version}
	c = c.Normalize()
	for _, p := range c.Pools {
		pool := surfacePool{Name: p.Name, Slots: p.Slots, Health: surfaceHealthOf(p.Health), Panic: surfacePanic(p.PanicThreshold)}
		if p.Encap != lb.EncapIPIP {
			pool.Encap = p.Encap.String()
		}
		pool.DrainMax, pool.DrainIdle = duration(p.DrainMax), duration(p.DrainIdle)
		for _, b := range p.Backends {
			pool.Backends = append(pool.Backends, surfaceBackendOf(b))
		}
		out.Pools = append(out.Pools, pool)
	}
	for _, v := range c.VIPs {
		out.VIPs = append(out.VIPs, surfaceVIP{
			Name: v.Name, Address: v.Address.String(), Protocol: v.Protocol.String(), Ports: v.Ports, Pool: v.Pool,
		})
	}
	return out
}

// duration leaves a default absent, and the zero units of time.Duration's text: 1h, not 1h0m0s.
func duration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func surfaceBackendOf(b lb.Backend) surfaceBackend {
	out := surfaceBackend{Name: b.Name, Address: b.Address.String(), Encap: b.Encap.String()}
	if b.Weight != lb.DefaultWeight {
		out.Weight = &b.Weight
	}
	if b.Scale != lb.ScaleOne {
		out.Scale = (*factor)(&b.Scale)
	}
	if b.Admin != lb.AdminEnabled {
		out.Admin = b.Admin.String()
	}
	return out
}

// MarshalYAML puts a backend on one line: a pool of a hundred reads as a table.
func (b surfaceBackend) MarshalYAML() (any, error) {
	type plain surfaceBackend // without this method
	var n yaml.Node
	err := n.Encode(plain(b))
	n.Style = yaml.FlowStyle
	return &n, err
}

// factor is a scale as it is written: 0.5, not 500.
type factor lb.Scale

func (f factor) text() string {
	return strconv.FormatFloat(float64(f)/float64(lb.ScaleOne), 'f', -1, 64)
}

// MarshalJSON implements json.Marshaler.
func (f factor) MarshalJSON() ([]byte, error) { return []byte(f.text()), nil }

// MarshalYAML implements yaml.Marshaler.
func (f factor) MarshalYAML() (any, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: f.text()}, nil
}
