/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Flow to backend, and back, while a slot changes. The rule that keeps connections: a first packet goes anywhere other
 * than to the slot's default only if an entry for it has been stored. So a table that is full, or a flood, delays a drain
 * and breaks nothing.
 */
#ifndef SLUICE_TRACK_H
#define SLUICE_TRACK_H

#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "explain.h"
#include "maps.h"
#include "packet.h"

#define SLOT_INDEX_MASK ((1U << SLOT_INDEX_BITS) - 1)

/* Keys are made where they are used, rather than kept: the stack is small, and few packets come here. */
static __always_inline struct flow4_key flow4_key(const struct packet *pkt)
{
	struct flow4_key key = {
		.source = (__be32)pkt->target[0],
		.destination = (__be32)(pkt->target[0] >> 32),
		.source_port = (__be16)pkt->ports,
		.destination_port = (__be16)(pkt->ports >> 16),
		.protocol = pkt->protocol,
	};
	return key;
}

static __always_inline struct flow6_key flow6_key(const struct packet *pkt)
{
	struct flow6_key key = {
		.source = {pkt->source[0], pkt->source[1]},
		.destination = {pkt->target[0], pkt->target[1]},
		.source_port = (__be16)pkt->ports,
		.destination_port = (__be16)(pkt->ports >> 16),
		.protocol = pkt->protocol,
	};
	return key;
}

static __always_inline struct flow_entry *find_flow(const struct packet *pkt)
{
	struct flow6_key key6;
	struct flow4_key key4;

	if (pkt->ipv6) {
		key6 = flow6_key(pkt);
		return bpf_map_lookup_elem(&flows6, &key6);
	}
	key4 = flow4_key(pkt);
	return bpf_map_lookup_elem(&flows4, &key4);
}

/* Takes one of this CPU's rights to make an entry. */
static __always_inline bool take_token(struct track_counter *line, __u64 now)
{
	__u64 fresh = (now - line->refilled) / insert_interval;

	if (explain)
		return line->tokens + fresh > 0;
	if (fresh) {
		line->refilled = now;
		line->tokens = line->tokens + fresh > INSERT_BURST ? INSERT_BURST
								   : line->tokens + fresh;
	}
	if (!line->tokens)
		return false;
	line->tokens--;
	return true;
}

static __always_inline bool insert_flow(const struct packet *pkt, __u32 backend, __u32 seen)
{
	struct flow_entry entry = {
		.backend = backend, .vip = pkt->vip, .seen = seen, .state = FLOW_SYN};
	struct flow6_key key6;
	struct flow4_key key4;

	if (explain)
		return explain_room();
	if (pkt->ipv6) {
		key6 = flow6_key(pkt);
		return bpf_map_update_elem(&flows6, &key6, &entry, BPF_ANY) == 0;
	}
	key4 = flow4_key(pkt);
	return bpf_map_update_elem(&flows4, &key4, &entry, BPF_ANY) == 0;
}

static __always_inline bool backend_dead(__u32 index)
{
	const struct backend *backend = bpf_map_lookup_elem(&backends, &index);

	return !backend || backend->dead;
}

static __always_inline bool entry_dead(const struct flow_entry *entry)
{
	if (!backend_dead(entry->backend))
		return false;
	note(STEP_ENTRY_DEAD);
	return true;
}

/*
 * A packet whose flow has an entry. A SYN for a flow that is established goes to its host, which answers it with a
 * challenge (RFC 5961): a forged one moves nothing. Only where the entry is closing or silent it is a new flow, and false
 * leads on as if there were none. A RST ends nothing here either, for it may be forged.
 */
static __always_inline bool follow_entry(struct packet *pkt, struct flow_entry *entry, __u32 seen)
{
	if (pkt->syn && entry->state != FLOW_SYN &&
	    (entry->state == FLOW_CLOSING || seen - entry->seen > FLOW_STALE)) {
		note(STEP_ENTRY_OVER);
		return false;
	}
	pkt->backend = entry->backend;
	if (explain)
		return true;
	if (entry->seen != seen)
		entry->seen = seen;
	if (pkt->closing)
		entry->state = FLOW_CLOSING;
	else if (!pkt->syn && entry->state == FLOW_SYN)
		entry->state = FLOW_ESTABLISHED;
	return true;
}

/*
 * A first packet of a flow that has an entry which says nothing any more: closing, silent, or for a backend that is dead.
 * The entry becomes the new flow's. Were it left alone, where no new one is made, the flow's next packet would follow it.
 */
static __always_inline void take_entry(const struct packet *pkt, struct flow_entry *entry,
				       __u32 seen)
{
	if (!pkt->backend) /* nobody takes new flows */
		return;
	note(STEP_TAKE);
	if (explain)
		return;
	entry->backend = pkt->backend;
	entry->vip = pkt->vip;
	entry->seen = seen;
	entry->state = FLOW_SYN;
}

/* A packet that has no entry, of a slot whose default is its previous owner. */
static __always_inline void follow_previous(struct packet *pkt, __u32 slot, __u32 before,
					    __u32 seen)
{
	__u32 key = slot / SLOTS_PER_LINE;
	struct slot_line *stamp = bpf_map_lookup_elem(&stamps, &key);

	note(STEP_PREVIOUS);
	pkt->backend = before & SLOT_INDEX_MASK;
	if (!explain && stamp && stamp->word[slot % SLOTS_PER_LINE] != seen)
		stamp->word[slot % SLOTS_PER_LINE] = seen;
}

/* A first packet that has no entry: it gets one, or stays with the previous owner. */
static __always_inline void first_packet(struct packet *pkt, struct track_counter *line, __u32 slot,
					 __u32 before, __u64 now)
{
	__u32 seen = (__u32)(now >> FLOW_CLOCK_SHIFT);

	if (!pkt->backend) /* nobody takes new flows */
		return;
	if (take_token(line, now) && insert_flow(pkt, pkt->backend, seen)) {
		note_or_count(STEP_INSERT, &line->inserts);
	} else if (before & PREVIOUS_SOFT) {
		note_or_count(STEP_BYPASS, &line->bypassed);
	} else {
		note_or_count(STEP_HELD, &line->held);
		pkt->held = 1;
		follow_previous(pkt, slot, before, seen);
	}
}

/*
 * Decides on the backend of a packet whose slot has flags. pkt->backend is the slot's current owner when it comes in,
 * `before` the previous one's word.
 */
static __noinline int track(struct packet *pkt, __u32 slot, __u32 word, __u32 before)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct track_counter *line;
	struct flow_entry *entry;
	__u32 seen;
	__u64 now;

	if (!pkt || pkt->protocol !=
			    IPPROTO_TCP) /* UDP has no first packet: its flows move with the slot */
		return 0;
	line = bpf_map_lookup_elem(&track_counters, &cpu);
	if (!line)
		return 0;
	now = bpf_ktime_get_ns();
	seen = (__u32)(now >> FLOW_CLOCK_SHIFT);
	if (!explain)
		line->lookups++;
	entry = find_flow(pkt);
	explain_lookup(entry, before);
	if (entry && !entry_dead(entry) && follow_entry(pkt, entry, seen)) {
		note_or_count(STEP_ENTRY_FOLLOW, &line->hits);
		return 0;
	}
	if (pkt->syn) {
		if (entry)
			take_entry(pkt, entry, seen);
		else if (word & SLOT_INSERT)
			first_packet(pkt, line, slot, before, now);
	} else if (word & SLOT_PREVIOUS) {
		follow_previous(pkt, slot, before, seen);
	}
	return 0;
}

#endif
