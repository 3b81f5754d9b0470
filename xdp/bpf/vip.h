/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Packet to VIP. The tables are bucketed cuckoo tables over arrays: every key lies in one of two buckets of one cache
 * line each, where user space has placed it.
 */
#ifndef SLUICE_VIP_H
#define SLUICE_VIP_H

#include "hash.h"
#include "maps.h"
#include "packet.h"

#define VIP_ADDRESS_WORD (1U << 24) /* port 0, protocol 0, marker 1: the address itself */

/* The second word of a key: port in network order, protocol, marker 0. */
static __always_inline __u32 vip_port_word(const struct packet *pkt)
{
	return pkt->ports >> 16 | (__u32)pkt->protocol << 16;
}

/*
 * The two bucket numbers of a key are the low and the high half of this. One round alone would leave them alike for
 * addresses that differ in their last byte only.
 */
static __always_inline __u64 vip_hash_finish(__u64 state)
{
	state *= MULTIPLIER_FIRST;
	return state ^ state >> 32;
}

static __always_inline const struct vip4_entry *search_bucket4(__u32 index, __u64 key)
{
	const struct vip4_bucket *bucket = bpf_map_lookup_elem(&vip4, &index);
	int i;

	if (!bucket)
		return NULL;
#pragma unroll
	for (i = 0; i < VIP4_WAYS; i++)
		if (*(const __u64 *)&bucket->entry[i] == key)
			return &bucket->entry[i];
	return NULL;
}

static __always_inline const struct vip4_entry *find_vip4(const struct root_copy *copy,
							  __u32 address, __u32 port_word)
{
	__u64 key = (__u64)port_word << 32 | address;
	__u64 hash = vip_hash_finish(hash_round(copy->vip_key, key));
	const struct vip4_entry *entry;

	entry = search_bucket4(copy->vip4_base + ((__u32)hash & copy->vip4_mask), key);
	if (!entry)
		entry = search_bucket4(copy->vip4_base + ((__u32)(hash >> 32) & copy->vip4_mask),
				       key);
	return entry;
}

static __always_inline const struct vip6_entry *search_bucket6(__u32 index, const __u64 *address,
							       __u32 port_word)
{
	const struct vip6_bucket *bucket = bpf_map_lookup_elem(&vip6, &index);
	int i;

	if (!bucket)
		return NULL;
#pragma unroll
	for (i = 0; i < VIP6_WAYS; i++) {
		const struct vip6_entry *entry = &bucket->entry[i];
		const __u64 *words = (const __u64 *)entry;

		if (words[0] == address[0] && words[1] == address[1] &&
		    (__u32)words[2] == port_word)
			return entry;
	}
	return NULL;
}

static __always_inline const struct vip6_entry *find_vip6(const struct root_copy *copy,
							  const __u64 *address, __u32 port_word)
{
	const struct vip6_entry *entry;
	__u64 hash = hash_round(hash_round(hash_round(copy->vip_key, address[0]), address[1]),
				port_word);

	hash = vip_hash_finish(hash);
	entry = search_bucket6(copy->vip6_base + ((__u32)hash & copy->vip6_mask), address,
			       port_word);
	if (!entry)
		entry = search_bucket6(copy->vip6_base + ((__u32)(hash >> 32) & copy->vip6_mask),
				       address, port_word);
	return entry;
}

/* Nothing has the port; is the address a VIP's at all? */
static __always_inline enum verdict classify_miss(bool known)
{
	return known ? VERDICT_VIP_NO_PORT : VERDICT_PASS_NO_VIP;
}

static __always_inline enum verdict find_vip(const struct root_copy *copy, struct packet *pkt)
{
	if (pkt->ipv6) {
		const struct vip6_entry *entry = find_vip6(copy, pkt->target, vip_port_word(pkt));

		if (!entry)
			return classify_miss(find_vip6(copy, pkt->target, VIP_ADDRESS_WORD));
		pkt->vip = entry->vip;
		pkt->pool = entry->pool;
	} else {
		__u32 address = (__u32)(pkt->target[0] >> 32);
		const struct vip4_entry *entry = find_vip4(copy, address, vip_port_word(pkt));

		if (!entry)
			return classify_miss(find_vip4(copy, address, VIP_ADDRESS_WORD));
		pkt->vip = entry->vip;
		pkt->pool = entry->pool;
	}
	return pkt->fault ? VERDICT_MALFORMED : VERDICT_NEXT;
}

#endif
