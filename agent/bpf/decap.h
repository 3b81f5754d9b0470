/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Outer header off, for packets to a VIP from a source that may send them. */
#pragma once

#include "ecn.h"
#include "maps.h"
#include "parse.h"

static __always_inline _Bool source_allowed(const struct tunnel *t)
{
	if (t->v6) {
		struct prefix_v6 key = {.bits = 128};

		__builtin_memcpy(key.octets, t->source.octets, sizeof(key.octets));
		return bpf_map_lookup_elem(&sources_v6, &key);
	}
	struct prefix_v4 key = {.bits = 32};

	__builtin_memcpy(key.octets, t->source.octets + 12, sizeof(key.octets));
	return bpf_map_lookup_elem(&sources_v4, &key);
}

/* name_refused keeps count of who was refused. Two CPUs may both insert: one packet is then not named. */
static __always_inline void name_refused(const struct tunnel *t)
{
	__u64 one = 1, *packets = bpf_map_lookup_elem(&refused, &t->source);

	if (packets)
		__sync_fetch_and_add(packets, 1);
	else
		bpf_map_update_elem(&refused, &t->source, &one, BPF_NOEXIST);
}

/*
 * exchange makes a packet of the other family of it, which only bpf_skb_change_proto does on every
 * kernel since 5.10 (the DECAP_L3 flags of bpf_skb_adjust_room are of 6.3): the headers shrink or
 * grow by the 20 bytes between an IPv4 and an IPv6 header, after the Ethernet header, and are
 * garbage then. What is left of the outer header for strip to take away has the inner one's size.
 */
static __always_inline int exchange(struct __sk_buff *skb, const struct tunnel *t)
{
	const __be16 protocol = t->inner_v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);

	if (bpf_skb_change_proto(skb, protocol, 0))
		return -1;
	return bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &protocol,
				   sizeof(protocol), 0)
		       ? -1
		       : 0;
}

/*
 * strip takes the outer header away, which has the inner one's size: from the start where both are of
 * one family, otherwise after exchange. FIXED_GSO: the segment size of a merged packet is that of the
 * inner TCP payload, which stays. NO_CSUM_RESET: IPIP has no checksum between the NIC's finding and
 * the inner one, so the finding stays true. The kernel needs no BPF_F_ADJ_ROOM_DECAP flag, which
 * 5.10 would refuse.
 */
static __always_inline int strip(struct __sk_buff *skb, const struct tunnel *t)
{
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	long err;

	if (t->inner_v6 != t->v6 && exchange(skb, t))
		return -1;
	/* The constants spare the verifier a variable length. */
	if (t->inner_v6)
		err = bpf_skb_adjust_room(skb, -(__s32)sizeof(struct ipv6hdr), BPF_ADJ_ROOM_MAC,
					  flags);
	else
		err = bpf_skb_adjust_room(skb, -(__s32)sizeof(struct iphdr), BPF_ADJ_ROOM_MAC,
					  flags);
	return err ? -1 : 0;
}

/* The verdict of a packet whose outer header is off. */
static __always_inline enum verdict decapsulated(const struct tunnel *t)
{
	if (t->v6)
		return t->inner_v6 ? VERDICT_DECAPSULATED_V6 : VERDICT_DECAPSULATED_V4_IN_V6;
	return t->inner_v6 ? VERDICT_DECAPSULATED_V6_IN_V4 : VERDICT_DECAPSULATED_V4;
}

static __always_inline enum verdict decapsulate(struct __sk_buff *skb)
{
	struct tunnel t = {};
	enum verdict v = read_tunnel(skb, &t);
	__u8 ecn;

	if (v != VERDICT_NEXT)
		return v;
	if (!source_allowed(&t)) {
		name_refused(&t);
		return VERDICT_REFUSED_SOURCE;
	}
	if (!t.lengths_agree)
		return VERDICT_MALFORMED;
	ecn = ecn_outwards(t.outer_ecn, t.inner_ecn);
	if (ecn == ECN_DROP)
		return VERDICT_CE_DROPPED;
	if (strip(skb, &t))
		return VERDICT_DECAP_FAILED;
	if (ecn != t.inner_ecn && (t.inner_v6 ? write_ecn_v6(skb, ecn) : write_ecn_v4(skb, ecn)))
		return VERDICT_DECAP_FAILED;
	/* The NIC hashed the outer addresses; the stack asks for the flow's. */
	bpf_set_hash_invalid(skb);
	return decapsulated(&t);
}
