/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Frame to struct tunnel: what decapsulation must know about an outer and an inner header. */
#pragma once

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "ecn.h"
#include "maps.h"

#define IPV4_FRAGMENT 0x3fff /* more-fragments bit and offset */
#define IPV4_PLAIN 0x45	     /* version 4, no options */
#define IPV6_VERSION 6

struct tunnel {
	struct address source; /* outer */
	__u32 outer_len;       /* bytes to take away */
	__u8 outer_ecn;
	__u8 inner_ecn;
	_Bool v6;
	_Bool lengths_agree; /* the frame holds the outer packet, and that the inner one */
};

/* front returns the frame if its first len bytes can be read, pulled out of fragments if need be. */
static __always_inline void *front(struct __sk_buff *skb, __u32 len)
{
	void *data = (void *)(long)skb->data;

	/* Or clang merges this bound with an earlier, smaller one, and the verifier loses it. */
	asm volatile("" : "+r"(data));
	if (data + len <= (void *)(long)skb->data_end)
		return data;
	if (bpf_skb_pull_data(skb, len))
		return NULL;
	data = (void *)(long)skb->data;
	return data + len <= (void *)(long)skb->data_end ? data : NULL;
}

static __always_inline _Bool is_vip_v4(__be32 address)
{
	return bpf_map_lookup_elem(&vips_v4, &address);
}

static __always_inline _Bool is_vip_v6(const struct in6_addr *address)
{
	struct address key;

	__builtin_memcpy(&key, address, sizeof(key));
	return bpf_map_lookup_elem(&vips_v6, &key);
}

static __always_inline void map_v4(struct address *to, __be32 from)
{
	__builtin_memset(to->octets, 0, 10);
	to->octets[10] = to->octets[11] = 0xff;
	__builtin_memcpy(to->octets + 12, &from, sizeof(from));
}

/*
 * Headers with options are left to the kernel: the load balancer never sends them. Lengths may be
 * those of many packets merged by GRO, which keeps them right in both headers; it does not merge
 * tunnelled packets beyond what the length fields can say.
 */
static __always_inline enum verdict read_v4(struct __sk_buff *skb, struct tunnel *t)
{
	const __u32 headers = 2 * sizeof(struct iphdr);
	const struct iphdr *outer, *inner;
	__u32 outer_total, inner_total;
	void *data = front(skb, ETH_HLEN + sizeof(*outer));

	if (!data)
		return VERDICT_PASS_NOT_ENCAPSULATED;
	outer = data + ETH_HLEN;
	if (outer->protocol != IPPROTO_IPIP || *(__u8 *)outer != IPV4_PLAIN)
		return VERDICT_PASS_NOT_ENCAPSULATED;
	if (outer->frag_off & bpf_htons(IPV4_FRAGMENT))
		return VERDICT_PASS_OUTER_FRAGMENT;
	data = front(skb, ETH_HLEN + headers);
	if (!data)
		return VERDICT_PASS_UNREADABLE;
	outer = data + ETH_HLEN;
	inner = data + ETH_HLEN + sizeof(*outer);
	if (!is_vip_v4(inner->daddr))
		return VERDICT_PASS_NOT_VIP;

	outer_total = bpf_ntohs(outer->tot_len);
	inner_total = bpf_ntohs(inner->tot_len);
	t->lengths_agree =
		inner->version == 4 && inner->ihl >= 5 && inner_total >= inner->ihl * 4U &&
		outer_total >= sizeof(*outer) + inner_total && ETH_HLEN + outer_total <= skb->len;
	t->outer_len = sizeof(*outer);
	t->outer_ecn = outer->tos & ECN_MASK;
	t->inner_ecn = inner->tos & ECN_MASK;
	t->v6 = 0;
	map_v4(&t->source, outer->saddr);
	return VERDICT_NEXT;
}

static __always_inline __u8 ecn_of_v6(const struct ipv6hdr *ip)
{
	return ((const __u8 *)ip)[1] >> ECN_SHIFT_V6 & ECN_MASK;
}

static __always_inline enum verdict read_v6(struct __sk_buff *skb, struct tunnel *t)
{
	const __u32 headers = 2 * sizeof(struct ipv6hdr);
	const struct ipv6hdr *outer, *inner;
	__u32 outer_payload, inner_payload;
	void *data = front(skb, ETH_HLEN + sizeof(*outer));

	if (!data)
		return VERDICT_PASS_NOT_ENCAPSULATED;
	outer = data + ETH_HLEN;
	if (outer->nexthdr == IPPROTO_FRAGMENT)
		return VERDICT_PASS_OUTER_FRAGMENT;
	if (outer->nexthdr != IPPROTO_IPV6 || outer->version != IPV6_VERSION)
		return VERDICT_PASS_NOT_ENCAPSULATED;
	data = front(skb, ETH_HLEN + headers);
	if (!data)
		return VERDICT_PASS_UNREADABLE;
	outer = data + ETH_HLEN;
	inner = data + ETH_HLEN + sizeof(*outer);
	if (!is_vip_v6(&inner->daddr))
		return VERDICT_PASS_NOT_VIP;

	outer_payload = bpf_ntohs(outer->payload_len);
	inner_payload = bpf_ntohs(inner->payload_len);
	t->lengths_agree = inner->version == IPV6_VERSION &&
			   outer_payload >= sizeof(*inner) + inner_payload &&
			   ETH_HLEN + sizeof(*outer) + outer_payload <= skb->len;
	t->outer_len = sizeof(*outer);
	t->outer_ecn = ecn_of_v6(outer);
	t->inner_ecn = ecn_of_v6(inner);
	t->v6 = 1;
	__builtin_memcpy(&t->source, &outer->saddr, sizeof(t->source));
	return VERDICT_NEXT;
}

/*
 * Frames for another host (a promiscuous interface) and for a VLAN device above this interface
 * are not for this hook. The tag is in the metadata by now, so the data would look untagged.
 */
static __always_inline enum verdict read_tunnel(struct __sk_buff *skb, struct tunnel *t)
{
	if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return VERDICT_PASS_NOT_ENCAPSULATED;
	if (has_v4 && skb->protocol == bpf_htons(ETH_P_IP))
		return read_v4(skb, t);
	if (has_v6 && skb->protocol == bpf_htons(ETH_P_IPV6))
		return read_v6(skb, t);
	return VERDICT_PASS_NOT_ENCAPSULATED;
}
