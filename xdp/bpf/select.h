/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Hash to slot to backend. */
#ifndef SLUICE_SELECT_H
#define SLUICE_SELECT_H

#include "hash.h"
#include "maps.h"
#include "packet.h"

#define SLOT_INDEX_MASK ((1U << SLOT_INDEX_BITS) - 1)

static __always_inline enum verdict select_backend(const struct root_copy *copy, struct packet *pkt)
{
	__u32 key = copy->pool_base + pkt->pool;
	const struct pool *pool = bpf_map_lookup_elem(&pools, &key);
	const struct slot_line *line;
	__u32 slot;

	if (!pool)
		return VERDICT_BAD_TABLE;
	pkt->hash = flow_hash(pkt);
	slot = pool->base + ((__u32)pkt->hash & pool->mask);
	key = slot / SLOTS_PER_LINE;
	line = bpf_map_lookup_elem(&slots, &key);
	if (!line)
		return VERDICT_BAD_TABLE;
	pkt->backend = line->word[slot % SLOTS_PER_LINE] & SLOT_INDEX_MASK;
	return pkt->backend ? VERDICT_NEXT : VERDICT_NO_BACKEND;
}

#endif
