/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Hash to slot to backend. */
#ifndef SLUICE_SELECT_H
#define SLUICE_SELECT_H

#include "hash.h"
#include "maps.h"
#include "packet.h"
#include "track.h"

/*
 * A slot with flags. The function works on a copy: were the packet's own address passed on, the compiler could keep none
 * of its fields in registers, and every packet would pay for that.
 */
static __always_inline void select_changing(struct packet *pkt, __u32 slot, __u32 word)
{
	struct packet copy = *pkt;

	track(&copy, slot, word);
	pkt->backend = copy.backend;
	pkt->held = copy.held;
}

static __always_inline enum verdict select_backend(const struct root_copy *copy, struct packet *pkt)
{
	__u32 key = copy->pool_base + pkt->pool;
	const struct pool *pool = bpf_map_lookup_elem(&pools, &key);
	const struct slot_line *line;
	__u32 slot, word;

	if (!pool)
		return VERDICT_BAD_TABLE;
	pkt->hash = flow_hash(pkt);
	slot = pool->base + ((__u32)pkt->hash & pool->mask);
	key = slot / SLOTS_PER_LINE;
	line = bpf_map_lookup_elem(&slots, &key);
	if (!line)
		return VERDICT_BAD_TABLE;
	word = line->word[slot % SLOTS_PER_LINE];
	pkt->backend = word & SLOT_INDEX_MASK;
	if (word & SLOT_FLAGS)
		select_changing(pkt, slot, word);
	return pkt->backend ? VERDICT_NEXT : VERDICT_NO_BACKEND;
}

#endif
