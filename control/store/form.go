package store

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

// The stored form of a state: what is written today must be readable by later releases, so it is spelled out here and
// does not follow the domain's types when they change.
type (
	formState struct {
		Publication uint64 `json:"publication"`
		Revision    uint64 `json:"revision"`
		formConfig
		Hops       []formHop            `json:"hops"`
		Changing   []formSlots          `json:"changing,omitempty"`
		Moved      map[string]formMoved `json:"moved,omitempty"`      // by VIP
		Drained    map[string]uint8     `json:"drained,omitempty"`    // lb.DrainEnd by pool/backend
		Conditions map[string]uint8     `json:"conditions,omitempty"` // by pool/backend; absent: up
		Layout     formLayout           `json:"layout"`
	}
	formConfig struct {
		Pools []formPool `json:"pools"`
		VIPs  []formVIP  `json:"vips"`
	}
	formPool struct {
		Name      string        `json:"name"`
		Encap     string        `json:"encap"`
		Slots     uint32        `json:"slots"`
		DrainMax  time.Duration `json:"drain_max,omitempty"` // nanoseconds
		DrainIdle time.Duration `json:"drain_idle,omitempty"`
		Health    *formHealth   `json:"health,omitempty"`
		Panic     int8          `json:"panic_threshold,omitempty"` // percent; 0: the default, -1: never
		Backends  []formBackend `json:"backends"`
	}
	formMoved struct {
		Previous string    `json:"previous"`
		Since    time.Time `json:"since"`
	}
	// formSlots are slots of one pool that are in the same state.
	formSlots struct {
		Pool     string    `json:"pool"`
		Kind     uint8     `json:"kind"`
		Previous string    `json:"previous,omitempty"`
		Since    time.Time `json:"since"`
		Slots    []uint32  `json:"slots"`
	}
	formHealth struct {
		Type       string        `json:"type"`
		Port       uint16        `json:"port,omitempty"`
		Path       string        `json:"path,omitempty"`
		Host       string        `json:"host,omitempty"`
		ExpectLow  uint16        `json:"expect_low,omitempty"`
		ExpectHigh uint16        `json:"expect_high,omitempty"`
		Query      string        `json:"query,omitempty"`
		Service    string        `json:"service,omitempty"`
		Interval   time.Duration `json:"interval"` // nanoseconds
		Timeout    time.Duration `json:"timeout"`
		Rise       uint32        `json:"rise"`
		Fall       uint32        `json:"fall"`
	}
	formBackend struct {
		Name    string     `json:"name"`
		Address netip.Addr `json:"address"`
		Weight  uint32     `json:"weight"`
		Scale   uint32     `json:"scale"`           // thousandths
		Admin   string     `json:"admin,omitempty"` // absent: enabled
		Encap   string     `json:"encap,omitempty"` // absent: the pool's
	}
	formVIP struct {
		Name     string     `json:"name"`
		Address  netip.Addr `json:"address"`
		Protocol string     `json:"protocol"`
		Ports    []uint16   `json:"ports"`
		Pool     string     `json:"pool"`
	}
	formHop struct {
		Address      netip.Addr `json:"address"` // the backend's
		Interface    string     `json:"interface"`
		InterfaceMAC formMAC    `json:"interface_mac"`
		Source       netip.Addr `json:"source"`
		SourceBits   uint8      `json:"source_bits,omitempty"`
		Direct       bool       `json:"direct,omitempty"`
		MTU          uint32     `json:"mtu"`
		MAC          formMAC    `json:"mac"`
	}
	formLayout struct {
		Copy     uint32               `json:"copy"`
		VIPs     map[string]uint32    `json:"vips"`
		Pools    map[string]formPlace `json:"pools"`
		Backends map[string]formDescr `json:"backends"`
	}
	formPlace struct {
		Index uint32 `json:"index"`
		Base  uint32 `json:"base"`
		Slots uint32 `json:"slots"`
	}
	formDescr struct {
		Index uint32  `json:"index"`
		Encap string  `json:"encap"`
		Hop   formHop `json:"hop"` // its address is the backend's
	}
	formMAC lb.MAC
)

// MarshalText prints six pairs of hex digits without separators.
func (m formMAC) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(m[:])), nil }

// UnmarshalText reads what MarshalText prints.
func (m *formMAC) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(m)) {
		return fmt.Errorf("link-layer address %q: must be 12 hex digits", b)
	}
	_, err := hex.Decode(m[:], b)
	return err
}
