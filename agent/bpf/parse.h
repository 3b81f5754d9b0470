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
	__u32 room;	       /* bytes that the outer header grants the packet inside */
	__u8 outer_ecn;
	__u8 inner_ecn;
	_Bool v6;	     /* the outer header */
	_Bool inner_v6;	     /* the packet inside */
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

static __always_inline __u8 ecn_of_v6(const struct ipv6hdr *ip)
{
	return ((const __u8 *)ip)[1] >> ECN_SHIFT_V6 & ECN_MASK;
}

/* set_inner answers whether the number of a protocol is that of an encapsulated packet. */
static __always_inline _Bool set_inner(struct tunnel *t, __u8 protocol)
{
	t->inner_v6 = protocol == IPPROTO_IPV6;
	return t->inner_v6 || protocol == IPPROTO_IPIP;
}

/*
 * Headers with options are left to the kernel: the load balancer never sends them. Lengths may be
 * those of many packets merged by GRO, which keeps them right in both headers; it does not merge
 * tunnelled packets beyond what the length fields can say.
 */
static __always_inline enum verdict read_outer_v4(struct __sk_buff *skb, struct tunnel *t)
{
	const struct iphdr *outer;
	__u32 total;
	void *data = front(skb, ETH_HLEN + sizeof(*outer));

	if (!data)
		return VERDICT_PASS_NOT_ENCAPSULATED;
	outer = data + ETH_HLEN;
	if (!set_inner(t, outer->protocol) || *(__u8 *)outer != IPV4_PLAIN)
		return VERDICT_PASS_NOT_ENCAPSULATED;
	if (outer->frag_off & bpf_htons(IPV4_FRAGMENT))
		return VERDICT_PASS_OUTER_FRAGMENT;
	total = bpf_ntohs(outer->tot_len);
	t->lengths_agree = total >= sizeof(*outer) && ETH_HLEN + total <= skb->len;
	t->room = total - sizeof(*outer);
	t->outer_ecn = outer->tos & ECN_MASK;
	t->v6 = 0;
	map_v4(&t->source, outer->saddr);
	return VERDICT_NEXT;
}

static __always_inline enum verdict read_outer_v6(struct __sk_buff *skb, struct tunnel *t)
{
	const struct ipv6hdr *outer;
	void *data = front(skb, ETH_HLEN + sizeof(*outer));

	if (!data)
		return VERDICT_PASS_NOT_ENCAPSULATED;
	outer = data + ETH_HLEN;
	if (outer->nexthdr == IPPROTO_FRAGMENT)
		return VERDICT_PASS_OUTER_FRAGMENT;
	if (!set_inner(t, outer->nexthdr) || outer->version != IPV6_VERSION)
		return VERDICT_PASS_NOT_ENCAPSULATED;
	t->room = bpf_ntohs(outer->payload_len);
	t->lengths_agree = ETH_HLEN + sizeof(*outer) + t->room <= skb->len;
	t->outer_ecn = ecn_of_v6(outer);
	t->v6 = 1;
	__builtin_memcpy(&t->source, &outer->saddr, sizeof(t->source));
	return VERDICT_NEXT;
}

static __always_inline enum verdict read_inner_v4(struct __sk_buff *skb, struct tunnel *t,
						  const __u32 offset)
{
	const struct iphdr *inner;
	__u32 total;
	void *data = front(skb, offset + sizeof(*inner));

	if (!data)
		return VERDICT_PASS_UNREADABLE;
	inner = data + offset;
	if (!is_vip_v4(inner->daddr))
		return VERDICT_PASS_NOT_VIP;
	total = bpf_ntohs(inner->tot_len);
	t->lengths_agree = t->lengths_agree && inner->version == 4 && inner->ihl >= 5 &&
			   total >= inner->ihl * 4U && total <= t->room;
	t->inner_ecn = inner->tos & ECN_MASK;
	return VERDICT_NEXT;
}

static __always_inline enum verdict read_inner_v6(struct __sk_buff *skb, struct tunnel *t,
						  const __u32 offset)
{
	const struct ipv6hdr *inner;
	void *data = front(skb, offset + sizeof(*inner));

	if (!data)
		return VERDICT_PASS_UNREADABLE;
	inner = data + offset;
	if (!is_vip_v6(&inner->daddr))
		return VERDICT_PASS_NOT_VIP;
	t->lengths_agree = t->lengths_agree && inner->version == IPV6_VERSION &&
			   sizeof(*inner) + bpf_ntohs(inner->payload_len) <= t->room;
	t->inner_ecn = ecn_of_v6(inner);
	return VERDICT_NEXT;
}

/* read_inner is called with constants: the verifier then knows every offset. */
static __always_inline enum verdict read_inner(struct __sk_buff *skb, struct tunnel *t,
					       const __u32 offset)
{
	if (t->inner_v6)
		return has_v6 ? read_inner_v6(skb, t, offset) : VERDICT_PASS_NOT_VIP;
	return has_v4 ? read_inner_v4(skb, t, offset) : VERDICT_PASS_NOT_VIP;
}

/*
 * Frames for another host (a promiscuous interface) and for a VLAN device above this interface
 * are not for this hook. The tag is in the metadata by now, so the data would look untagged.
 */
static __always_inline enum verdict read_tunnel(struct __sk_buff *skb, struct tunnel *t)
{
	enum verdict v;

	if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return VERDICT_PASS_NOT_ENCAPSULATED;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		v = read_outer_v4(skb, t);
		return v ? v : read_inner(skb, t, ETH_HLEN + sizeof(struct iphdr));
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		v = read_outer_v6(skb, t);
		return v ? v : read_inner(skb, t, ETH_HLEN + sizeof(struct ipv6hdr));
	}
	return VERDICT_PASS_NOT_ENCAPSULATED;
}
