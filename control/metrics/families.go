package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-lb/sluice/lb"
)

// Family is one metric of the node that is read when somebody scrapes.
type Family struct {
	Name, Help string
	Labels     []string
	Kind       prometheus.ValueType

	desc *prometheus.Desc
}

func counter(name, help string, labels ...string) *Family {
	return family(prometheus.CounterValue, name, help, labels)
}

func gauge(name, help string, labels ...string) *Family {
	return family(prometheus.GaugeValue, name, help, labels)
}

func family(kind prometheus.ValueType, name, help string, labels []string) *Family {
	return &Family{Name: name, Help: help, Labels: labels, Kind: kind, desc: prometheus.NewDesc(name, help, labels, nil)}
}

// families are those of one collector.
type families struct {
	ready, revision, publication, warnings, unconfirmed *Family

	verdictPackets, framesSeen, framesUnaccounted, interfaceInfo *Family

	vipPackets, vipBytes, vipNewFlows, vipRefused                 *Family
	backendPackets, backendBytes, backendNewFlows, backendRefused *Family

	vipBackends, vipBackendsWithSlots            *Family
	poolSlots, poolEmptySlots, poolTable         *Family
	backendSlots, backendWeight, backendAdmin    *Family
	backendNextHop                               *Family
	mapMemory, limitUsed, limitConfigured, watch *Family

	interfaceFaults                                                 *Family
	poolTransition, poolPinned                                      *Family
	vipHeld, backendHeld                                            *Family
	backendKeeps, backendFlows, backendLeaving                      *Family
	trackLookups, trackHits, trackInserts, trackHeld, trackBypassed *Family

	healthFamilies
	certificateNotAfter *Family
}

func newFamilies() *families {
	return &families{
		ready:       gauge("sluice_ready", "Whether the API serves: 1 once every interface is attached and the stored revision is live."),
		revision:    gauge("sluice_revision", "Number of the committed configuration."),
		publication: gauge("sluice_publication", "Number of the state that packets see."),
		unconfirmed: gauge("sluice_unconfirmed", "1 while the live revision waits to be confirmed; unless somebody does, an older configuration comes back."),
		warnings:    gauge("sluice_warnings", "Warnings that lbctl status shows."),

		verdictPackets: counter("sluice_verdict_packets_total", verdictHelp(), "interface", "verdict"),
		framesSeen:     counter("sluice_frames_seen_total", "Frames that the interface's driver gave to XDP, by the driver's own counter. Absent where the driver has none.", "interface"),
		framesUnaccounted: gauge("sluice_frames_unaccounted", "Frames that the driver gave to XDP and no verdict counts, at the least; "+
			"below zero where verdicts count frames that the driver did not see. 0 is as it must be.", "interface"),
		interfaceInfo: gauge("sluice_interface_info", "1 for each managed interface.", "interface", "mode", "program_tag"),

		vipPackets:  counter("sluice_vip_packets_total", "Packets forwarded for the VIP.", "vip"),
		vipBytes:    counter("sluice_vip_bytes_total", "Bytes of the clients' IP packets forwarded for the VIP.", "vip"),
		vipNewFlows: counter("sluice_vip_new_flows_total", "TCP segments with SYN and without ACK forwarded for the VIP.", "vip"),
		vipRefused:  counter("sluice_vip_refused_total", "Packets for the VIP that were dropped, whatever the verdict.", "vip"),

		backendPackets:  counter("sluice_backend_packets_total", "Packets forwarded to the backend.", "pool", "backend"),
		backendBytes:    counter("sluice_backend_bytes_total", "Bytes of the clients' IP packets forwarded to the backend.", "pool", "backend"),
		backendNewFlows: counter("sluice_backend_new_flows_total", "TCP segments with SYN and without ACK forwarded to the backend.", "pool", "backend"),
		backendRefused:  counter("sluice_backend_refused_total", "Packets dropped after the backend was selected, whatever the verdict.", "pool", "backend"),

		vipBackends:          gauge("sluice_vip_backends", "Backends of the VIP's pool.", "vip"),
		vipBackendsWithSlots: gauge("sluice_vip_backends_with_slots", "Backends of the VIP's pool that own at least one slot.", "vip"),
		poolSlots:            gauge("sluice_pool_slots", "Size of the pool's slot table.", "pool"),
		poolEmptySlots:       gauge("sluice_pool_empty_slots", "Slots of the pool that no backend owns.", "pool"),
		poolTable:            gauge("sluice_pool_table_info", "1 for each pool, with the digest of its slot table: equal on nodes that agree.", "pool", "digest"),
		backendSlots:         gauge("sluice_backend_slots", "Slots that the backend owns.", "pool", "backend"),
		backendWeight:        gauge("sluice_backend_effective_weight", "Weight times scale of the backend.", "pool", "backend"),
		backendAdmin:         gauge("sluice_backend_admin", "1 for what an operator ordered for the backend: enabled, drained or disabled.", "pool", "backend", "admin"),
		backendNextHop:       gauge("sluice_backend_next_hop", "1 for the state of the next hop to the backend.", "pool", "backend", "state"),

		interfaceFaults: gauge("sluice_interface_faults", "1 where something is wrong with the interface; lbctl status says what.", "interface"),
		poolTransition:  gauge("sluice_pool_transition_slots", "Slots of the pool in transition: new flows go to the owner, others to the previous one.", "pool"),
		poolPinned:      gauge("sluice_pool_pinned_slots", "Slots of the pool that are pinned: flows with an entry go where it says.", "pool"),
		vipHeld:         counter("sluice_vip_held_total", "TCP SYNs for the VIP that stayed with their slot's previous owner, because no entry could be made for them.", "vip"),
		backendHeld:     counter("sluice_backend_held_total", "TCP SYNs that stayed with the backend as their slot's previous owner, because no entry could be made for them.", "pool", "backend"),
		backendKeeps:    gauge("sluice_backend_keeps_slots", "Slots whose flows the backend keeps although it owns them no longer.", "pool", "backend"),
		backendFlows:    gauge("sluice_backend_flows", "Entries of the flow tables that name the backend.", "pool", "backend"),
		backendLeaving:  gauge("sluice_backend_leaving", "1 for a backend, NAME@ADDRESS, that is no longer configured and goes when its flows have.", "pool", "backend"),
		trackLookups:    counter("sluice_track_lookups_total", "Packets whose slot asked for the flow table; none in the steady state."),
		trackHits:       counter("sluice_track_hits_total", "Packets that had an entry in the flow table."),
		trackInserts:    counter("sluice_track_inserts_total", "Entries made in the flow table."),
		trackHeld:       counter("sluice_track_held_total", "First packets that got no entry and stayed with the previous owner."),
		trackBypassed:   counter("sluice_track_bypassed_total", "First packets that got no entry and went to the current owner, because the previous one fails."),

		healthFamilies:      newHealthFamilies(),
		certificateNotAfter: gauge("sluice_certificate_not_after_timestamp_seconds", "When a certificate of the node ends, in seconds since 1970: tls.cert is the node's own, tls.client_ca the first to end of those that its clients' are signed with. Absent where the API does not listen on TCP.", "use"),

		mapMemory:       gauge("sluice_map_memory_bytes", "Kernel memory of the maps."),
		limitUsed:       gauge("sluice_limit_used", "How much of a limit of the node is in use.", "limit"),
		limitConfigured: gauge("sluice_limit_configured", "A limit of the node, as it is configured.", "limit"),
		watch:           gauge("sluice_api_watches", "Watches of the API that are open."),
	}
}

// list is every family.
func (f *families) list() []*Family {
	return append(f.healthFamilies.list(), []*Family{
		f.ready, f.revision, f.publication, f.warnings, f.unconfirmed,
		f.verdictPackets, f.framesSeen, f.framesUnaccounted, f.interfaceInfo,
		f.vipPackets, f.vipBytes, f.vipNewFlows, f.vipRefused, f.vipBackends, f.vipBackendsWithSlots,
		f.backendPackets, f.backendBytes, f.backendNewFlows, f.backendRefused,
		f.backendSlots, f.backendWeight, f.backendAdmin, f.backendNextHop,
		f.poolSlots, f.poolEmptySlots, f.poolTable,
		f.mapMemory, f.limitUsed, f.limitConfigured, f.watch,
		f.interfaceFaults, f.poolTransition, f.poolPinned, f.vipHeld, f.backendHeld, f.backendKeeps, f.backendFlows, f.backendLeaving,
		f.trackLookups, f.trackHits, f.trackInserts, f.trackHeld, f.trackBypassed,
		f.certificateNotAfter,
	}...)
}

// verdictHelp explains every verdict: the help of a metric is all the room there is.
func verdictHelp() string {
	var out strings.Builder
	out.WriteString("Packets by what became of them; every packet ends in one verdict.")
	for v := lb.VerdictNext; v < lb.VerdictCount; v++ {
		out.WriteString(" " + v.String() + ": " + v.Info().Help)
	}
	return out.String()
}
