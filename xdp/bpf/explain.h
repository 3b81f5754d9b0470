/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the knob `explain` adds: the record of one packet. Where the knob is off the verifier removes all of this; of each
 * use on the way of every packet a load of the knob is left.
 */
#ifndef SLUICE_EXPLAIN_H
#define SLUICE_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "maps.h"
#include "packet.h"

/* NULL unless the packet is being explained. */
static __always_inline struct explanation *explanation(void)
{
	const __u32 zero = 0;

	return explain ? bpf_map_lookup_elem(&explained, &zero) : NULL;
}

static __always_inline void note(enum step step)
{
	struct explanation *record = explanation();

	if (record)
		record->steps |= 1U << step;
}

/* An event that is counted, or, while a packet is explained, noted. */
static __always_inline void note_or_count(enum step step, __u64 *counter)
{
	if (explain)
		note(step);
	else
		(*counter)++;
}

/*
 * Does the packet leave by another interface than it came in by? The instance that explains has the number of none, and
 * asks the record, so that the others need not look at the knob.
 */
static __always_inline bool leaves_elsewhere(__u8 egress_number)
{
	const struct explanation *record;

	if (egress_number == interface_number)
		return false;
	record = explanation();
	return !record || egress_number != record->interface;
}

/* Does the flow table take another entry? */
static __always_inline bool explain_room(void)
{
	const struct explanation *record = explanation();

	return record && !record->full;
}

static __always_inline void explain_slot(const struct packet *pkt, __u32 slot, __u32 word)
{
	struct explanation *record = explanation();

	if (!record)
		return;
	record->steps |= 1U << STEP_SLOT;
	record->hash = pkt->hash;
	record->slot = slot;
	record->word = word;
	record->pool = pkt->pool;
}

/* The flow table was asked: what it had, and what the slot's previous word is. */
static __always_inline void explain_lookup(const struct flow_entry *entry, __u32 before)
{
	struct explanation *record = explanation();

	if (!record)
		return;
	record->steps |= 1U << STEP_LOOKUP;
	record->previous = before;
	if (!entry)
		return;
	record->steps |= 1U << STEP_ENTRY;
	record->entry_backend = entry->backend;
	record->entry_seen = entry->seen;
	record->entry_state = entry->state;
}

static __always_inline void explain_verdict(const struct packet *pkt, enum verdict verdict)
{
	struct explanation *record = explanation();

	if (!record)
		return;
	record->verdict = verdict;
	if (pkt->vip || verdict == VERDICT_PASS_NO_VIP || verdict == VERDICT_VIP_NO_PORT)
		record->steps |= 1U << STEP_READ;
	record->vip = pkt->vip;
	if (pkt->vip)
		record->steps |= 1U << STEP_VIP;
	record->backend = pkt->backend;
	if (pkt->backend)
		record->steps |= 1U << STEP_BACKEND;
}

#endif
