package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// The items are what -o json prints. Where the document has a field of the same meaning it has the same name; enums are
// the document's words.

type counterItem struct {
	Packets  uint64 `json:"packets"`
	Bytes    uint64 `json:"bytes"`
	NewFlows uint64 `json:"new_flows"`
	Refused  uint64 `json:"refused"`
}

func counterOf(c *sluicev1.Counter) counterItem {
	return counterItem{Packets: c.GetPackets(), Bytes: c.GetBytes(), NewFlows: c.GetNewFlows(), Refused: c.GetRefused()}
}

type vipItem struct {
	Name     string `json:"name"`
	Address  string `json:"address"`
	Protocol string `json:"protocol"`
	Ports    []int  `json:"ports"`
	Pool     string `json:"pool"`
	// Backends counts those of the pool, BackendsWithSlots those of them that own a slot.
	Backends          uint32      `json:"backends"`
	BackendsWithSlots uint32      `json:"backends_with_slots"`
	Counter           counterItem `json:"counter"`
	// Held counts first packets that stayed with their slot's previous owner.
	Held  uint64 `json:"held"`
	Index uint32 `json:"index"`
}

func vipItemOf(v *sluicev1.VipStatus) vipItem {
	vip := v.GetVip()
	out := vipItem{
		Name: vip.GetName(), Address: vip.GetAddress(), Protocol: word("PROTOCOL_", vip.GetProtocol().String()),
		Ports: []int{}, Pool: vip.GetPool(), Backends: v.GetBackends(), BackendsWithSlots: v.GetBackendsWithSlots(),
		Counter: counterOf(v.GetCounter()), Held: v.GetCounter().GetHeld(), Index: v.GetIndex(),
	}
	for _, text := range vip.GetPorts() {
		if port, err := strconv.Atoi(text); err == nil {
			out.Ports = append(out.Ports, port)
		}
	}
	return out
}

type poolItem struct {
	Name  string `json:"name"`
	Encap string `json:"encap"`
	// Slots is the size of the table in use.
	Slots      uint32              `json:"slots"`
	EmptySlots uint32              `json:"empty_slots"`
	Backends   []configuredBackend `json:"backends"`
	VIPs       []string            `json:"vips"`
	Digest     string              `json:"digest"`
	Base       uint32              `json:"base"`
	// Health is the check; Checks how the backends do by it. Both are absent without a check.
	Health         *healthCheckItem `json:"health,omitempty"`
	PanicThreshold uint32           `json:"panic_threshold"`
	Checks         *poolHealthItem  `json:"checks,omitempty"`
	// DrainMax and DrainIdle are those in use, also where the document leaves them out.
	DrainMax  string `json:"drain_max"`
	DrainIdle string `json:"drain_idle"`
	// TransitionSlots keep the flows of their previous owner, PinnedSlots follow entries only.
	TransitionSlots uint32 `json:"transition_slots"`
	PinnedSlots     uint32 `json:"pinned_slots"`
}

type configuredBackend struct {
	Name    string  `json:"name"`
	Address string  `json:"address"`
	Weight  uint32  `json:"weight"`
	Scale   float64 `json:"scale"`
	// Admin is empty for a backend that is leaving: it is no longer configured.
	Admin string `json:"admin,omitempty"`
}

func configuredBackendOf(b *sluicev1.Backend) configuredBackend {
	return configuredBackend{
		Name: b.GetName(), Address: b.GetAddress(), Weight: b.GetWeight(), Scale: b.GetScale(),
		Admin: word("ADMIN_", b.GetAdmin().String()),
	}
}

func poolItemOf(p *sluicev1.PoolStatus) poolItem {
	out := poolItem{
		Name: p.GetPool().GetName(), Encap: word("ENCAP_", p.GetPool().GetEncap().String()), Slots: p.GetSlots(),
		EmptySlots: p.GetEmptySlots(), Backends: []configuredBackend{}, VIPs: append([]string{}, p.GetVips()...),
		Digest: p.GetDigest(), Base: p.GetBase(), Health: healthCheckItemOf(p.GetPool().GetHealth()),
		PanicThreshold: panicPercent(p.GetPool()), Checks: poolHealthItemOf(p.GetHealth()),
		DrainMax:        durationOr(p.GetPool().GetDrainMax(), lb.DefaultDrainMax),
		DrainIdle:       durationOr(p.GetPool().GetDrainIdle(), lb.DefaultDrainIdle),
		TransitionSlots: p.GetTransitionSlots(), PinnedSlots: p.GetPinnedSlots(),
	}
	for _, b := range p.GetPool().GetBackends() {
		out.Backends = append(out.Backends, configuredBackendOf(b))
	}
	return out
}

type backendItem struct {
	Pool string `json:"pool"`
	configuredBackend
	EffectiveWeight uint32      `json:"effective_weight"`
	Slots           uint32      `json:"slots"`
	PoolSlots       uint32      `json:"pool_slots"`
	NextHop         nextHopItem `json:"next_hop"`
	// Health is absent where the pool has no check.
	Health  *backendHealthItem `json:"health,omitempty"`
	Counter counterItem        `json:"counter"`
	Index   uint32             `json:"index"`
	// KeepsSlots counts the slots whose flows it keeps although it owns them no longer, Flows its entries.
	KeepsSlots uint32 `json:"keeps_slots"`
	Flows      uint32 `json:"flows"`
	Leaving    bool   `json:"leaving"`
	// DrainEnd is quiet or deadline once the drain of a drained backend has ended.
	DrainEnd string `json:"drain_end,omitempty"`
}

type nextHopItem struct {
	State     string `json:"state"`
	Interface string `json:"interface,omitempty"`
	Gateway   string `json:"gateway,omitempty"`
	MAC       string `json:"mac,omitempty"`
	Source    string `json:"source,omitempty"`
	MTU       uint32 `json:"mtu,omitempty"`
	// Since is when the state was entered.
	Since *time.Time `json:"since,omitempty"`
}

func backendItemOf(b *sluicev1.BackendStatus) backendItem {
	hop := b.GetNextHop()
	out := backendItem{
		Pool: b.GetPool(), configuredBackend: configuredBackendOf(b.GetBackend()), EffectiveWeight: b.GetEffectiveWeight(),
		Health: backendHealthItemOf(b.GetHealth()),
		Slots:  b.GetSlots(), PoolSlots: b.GetPoolSlots(), Counter: counterOf(b.GetCounter()), Index: b.GetIndex(),
		NextHop: nextHopItem{
			State: word("STATE_", hop.GetState().String()), Interface: hop.GetInterface(), Gateway: hop.GetGateway(),
			MAC: hop.GetMac(), Source: hop.GetSource(), MTU: hop.GetMtu(),
		},
		KeepsSlots: b.GetKeepsSlots(), Flows: b.GetFlows(), Leaving: b.GetLeaving(),
	}
	if out.Leaving {
		out.Admin = ""
	}
	if b.GetDrainEnd() != sluicev1.DrainEnd_DRAIN_END_UNSPECIFIED {
		out.DrainEnd = word("DRAIN_END_", b.GetDrainEnd().String())
	}
	if hop.GetSince() != nil {
		since := hop.GetSince().AsTime()
		out.NextHop.Since = &since
	}
	return out
}

// word turns an enum's name into the document's word: STATE_NO_ROUTE becomes no-route.
func word(prefix, name string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, prefix)), "_", "-")
}
