/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Hash to slot to backend. */
#ifndef SLUICE_SELECT_H
#define SLUICE_SELECT_H

#include "explain.h"
#include "hash.h"
#include "maps.h"
#include "packet.h"
#include "track.h"

#define NO_SLOT (~0U) /* has no stamp */

/* A slot's previous owner, as a word of the map. */
static __always_inline __u32 previous_word(__u32 slot)
{
	__u32 key = slot / SLOTS_PER_LINE;
	const struct slot_line *line = bpf_map_lookup_elem(&previous, &key);

	return line ? line->word[slot % SLOTS_PER_LINE] : 0;
}

/* Who owns the flow in the pool that the VIP had before; 0 where nobody does. */
static __always_inline __u32 owner_before(const struct root_copy *copy, const struct packet *pkt)
{
	__u32 key = copy->pool_base + pkt->previous_pool - 1;
	const struct pool *pool = bpf_map_lookup_elem(&pools, &key);
	const struct slot_line *line;
	__u32 slot, word;

	if (!pool)
		return 0;
	slot = pool->base + ((__u32)pkt->hash & pool->mask);
	key = slot / SLOTS_PER_LINE;
	line = bpf_map_lookup_elem(&slots, &key);
	if (!line)
		return 0;
	word = line->word[slot % SLOTS_PER_LINE];
	return (word & SLOT_PREVIOUS ? previous_word(slot) : word) & SLOT_INDEX_MASK;
}

/*
 * A slot with flags, or a VIP that had another pool before: then every slot is in transition from what it was there. The
 * function works on a copy: were the packet's own address passed on, the compiler could keep none of its fields in
 * registers, and every packet would pay for that.
 */
static __always_inline void select_changing(const struct root_copy *root, struct packet *pkt,
					    __u32 slot, __u32 word)
{
	struct packet copy = *pkt;
	__u32 before;

	if (pkt->previous_pool) {
		note(STEP_MOVED);
		before = owner_before(root, pkt);
		if (!before)
			before = pkt->backend;
		track(&copy, NO_SLOT, SLOT_LOOKUP | SLOT_INSERT | SLOT_PREVIOUS, before);
	} else {
		track(&copy, slot, word, previous_word(slot));
	}
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
	explain_slot(pkt, slot, word);
	pkt->backend = word & SLOT_INDEX_MASK;
	if ((word & SLOT_FLAGS) | pkt->previous_pool)
		select_changing(copy, pkt, slot, word);
	return pkt->backend ? VERDICT_NEXT : VERDICT_NO_BACKEND;
}

#endif
