/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The MSS option of SYNs and SYN-ACKs that leave with a VIP as source. The client's packets reach
 * this host inside an outer header, so its segments must be smaller than the link alone allows.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "parse.h"

#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2
/* Each option takes at least one of the 40 bytes that a TCP header has for them. */
#define TCP_OPTIONS_MAX 40
#define TCP_OPTIONS_MASK 127
#define IPV4_OFFSET 0x1fff

struct tcp_option {
	__u8 kind;
	__u8 len;
	__be16 value;
};

struct syn {
	__u32 tcp;     /* offset of the TCP header in the frame */
	__u32 options; /* offset of its end */
	__u16 limit;
};

static __always_inline _Bool is_syn(const void *data, const void *end, __u32 offset, struct syn *s)
{
	const struct tcphdr *tcp = data + offset;

	if ((const void *)(tcp + 1) > end || !tcp->syn)
		return 0;
	s->tcp = offset;
	s->options = offset + tcp->doff * 4U;
	return 1;
}

static __always_inline _Bool is_syn_v4(const struct __sk_buff *skb, struct syn *s)
{
	const void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct iphdr *ip = data + ETH_HLEN;

	if ((const void *)(ip + 1) > end || ip->protocol != IPPROTO_TCP ||
	    ip->frag_off & bpf_htons(IPV4_OFFSET))
		return 0;
	return is_syn(data, end, ETH_HLEN + ip->ihl * 4U, s) && is_vip_v4(ip->saddr);
}

static __always_inline _Bool is_syn_v6(const struct __sk_buff *skb, struct syn *s)
{
	const void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct ipv6hdr *ip = data + ETH_HLEN;

	if ((const void *)(ip + 1) > end || ip->nexthdr != IPPROTO_TCP)
		return 0;
	return is_syn(data, end, ETH_HLEN + sizeof(*ip), s) && is_vip_v6(&ip->saddr);
}

/*
 * find_mss returns the offset of the MSS option and its value, or 0. The mask changes nothing, as an
 * option that fits begins before 40 and is no longer than that. It gives the position the same range
 * on every path, without which the verifier of Linux 5.10 follows each combination of lengths.
 */
static __always_inline __u32 find_mss(const struct __sk_buff *skb, const struct syn *s, __u16 *mss)
{
	__u32 at = 0;

	for (int i = 0; i < TCP_OPTIONS_MAX; i++) {
		__u32 offset = s->tcp + sizeof(struct tcphdr) + at;
		struct tcp_option o;

		if (offset + sizeof(o) > s->options ||
		    bpf_skb_load_bytes(skb, offset, &o, sizeof(o)))
			return 0;
		if (o.kind == TCP_OPTION_MSS) {
			*mss = bpf_ntohs(o.value);
			return o.len == sizeof(o) ? offset : 0;
		}
		if (o.kind == TCP_OPTION_NOP)
			o.len = 1;
		else if (o.kind == TCP_OPTION_END || o.len < 2 || o.len > TCP_OPTIONS_MAX)
			return 0;
		at = (at + o.len) & TCP_OPTIONS_MASK;
	}
	return 0;
}

/*
 * lower writes the limit. The checksum helper leaves the field alone where the NIC, or the stack, is
 * still to compute it. A value at an odd offset counts with its octets exchanged (RFC 1071, 2 (B)).
 */
static __always_inline enum verdict lower(struct __sk_buff *skb, const struct syn *s, __u32 option,
					  __u16 mss)
{
	__u32 at = option + offsetof(struct tcp_option, value);
	__be16 from = bpf_htons(mss), to = bpf_htons(s->limit);
	_Bool odd = (at - s->tcp) & 1;

	if (bpf_l4_csum_replace(skb, s->tcp + offsetof(struct tcphdr, check),
				odd ? __builtin_bswap16(from) : from,
				odd ? __builtin_bswap16(to) : to, sizeof(to)))
		return VERDICT_MSS_FAILED;
	if (bpf_skb_store_bytes(skb, at, &to, sizeof(to), 0))
		return VERDICT_MSS_FAILED;
	return VERDICT_MSS_CLAMPED;
}

static __always_inline enum verdict clamp(struct __sk_buff *skb)
{
	struct syn s = {};
	__u32 key = 0, option;
	__u16 mss = 0;
	const struct mss_limits *most;
	_Bool v4 = has_v4 && skb->protocol == bpf_htons(ETH_P_IP);
	_Bool v6 = has_v6 && skb->protocol == bpf_htons(ETH_P_IPV6);

	if (!(v4 && is_syn_v4(skb, &s)) && !(v6 && is_syn_v6(skb, &s)))
		return VERDICT_PASS_EGRESS;
	most = bpf_map_lookup_elem(&limits, &key);
	s.limit = !most ? 0 : v4 ? most->mss_v4 : most->mss_v6;
	option = find_mss(skb, &s, &mss);
	if (!s.limit || !option || mss <= s.limit)
		return VERDICT_MSS_KEPT;
	return lower(skb, &s, option, mss);
}
