/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Frame to struct packet. Nothing is written to the frame here, and nothing is dropped: lengths that contradict each
 * other are recorded in `fault`, since they matter only for packets of a VIP.
 */
#ifndef SLUICE_PARSE_H
#define SLUICE_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "packet.h"

#define IP_DF 0x4000	    /* RFC 791: don't fragment */
#define IP_FRAGMENT 0x3fff  /* RFC 791: more fragments, and the offset */
#define IP6_FRAGMENT 0xfff9 /* RFC 8200 section 4.5: the offset, and more fragments */
#define TCP_FLAGS_OFFSET 13 /* RFC 9293 section 3.1 */
#define TCP_FLAG_SYN_ACK (0x02 | 0x10)
#define TCP_FLAG_SYN_ONLY 0x02
#define TCP_FLAG_FIN_RST (0x01 | 0x04)

/*
 * Reads the ports, and checks the transport header against `room`: the bytes that the IP header grants it. `end` bounds
 * the frame.
 */
static __always_inline enum verdict parse_transport(struct packet *pkt, const void *l4,
						    const void *end, __s32 room)
{
	const struct tcphdr *tcp = l4;
	const struct udphdr *udp = l4;
	__s32 need;

	if (l4 + sizeof(__be32) > end)
		return VERDICT_PASS_UNREADABLE;
	pkt->ports = *(const __u32 *)l4;
	if (pkt->protocol == IPPROTO_TCP) {
		if ((const void *)(tcp + 1) > end) {
			pkt->fault = 1;
			return VERDICT_NEXT;
		}
		need = tcp->doff * 4;
		if (need < (__s32)sizeof(*tcp) || need > room)
			pkt->fault = 1;
		pkt->syn = (((const __u8 *)l4)[TCP_FLAGS_OFFSET] & TCP_FLAG_SYN_ACK) ==
			   TCP_FLAG_SYN_ONLY;
		pkt->closing = ((const __u8 *)l4)[TCP_FLAGS_OFFSET] & TCP_FLAG_FIN_RST;
		return VERDICT_NEXT;
	}
	if ((const void *)(udp + 1) > end) {
		pkt->fault = 1;
		return VERDICT_NEXT;
	}
	need = bpf_ntohs(udp->len);
	if (need < (__s32)sizeof(*udp) || need > room)
		pkt->fault = 1;
	return VERDICT_NEXT;
}

static __always_inline enum verdict parse_ipv4(struct packet *pkt, const struct iphdr *ip,
					       const void *end)
{
	__u32 header;

	if ((const void *)(ip + 1) > end)
		return VERDICT_PASS_UNREADABLE;
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip))
		return VERDICT_PASS_UNREADABLE;
	pkt->protocol = ip->protocol;
	if (pkt->protocol != IPPROTO_TCP && pkt->protocol != IPPROTO_UDP)
		return VERDICT_PASS_PROTOCOL;
	if (ip->frag_off & bpf_htons(IP_FRAGMENT))
		return VERDICT_PASS_FRAGMENT;
	pkt->target[0] = *(const __u64 *)&ip->saddr;
	pkt->length = bpf_ntohs(ip->tot_len);
	pkt->tos = ip->tos;
	pkt->id = ip->id;
	pkt->df = ip->frag_off & bpf_htons(IP_DF);
	if (pkt->length > (__u64)(end - (const void *)ip))
		pkt->fault = 1;
	return parse_transport(pkt, (const void *)ip + header, end,
			       (__s32)pkt->length - (__s32)header);
}

/* Where the transport header of an IPv6 packet begins, found by skip_extensions. */
struct transport {
	__u32 offset; /* from the start of the frame */
	__u8 protocol;
};

#define MAX_TRANSPORT_OFFSET                                                                       \
	0x7fff /* so that the verifier knows a bound; longer chains are unreadable */

/*
 * Follows extension headers (RFC 8200 section 4) to the transport header. A function of its own, since few packets have
 * any; it takes no packet pointers, so that callers on every kernel derive theirs anew.
 */
static __noinline int skip_extensions(struct xdp_md *ctx, struct transport *out)
{
	const void *data = (const void *)(long)ctx->data;
	const void *end = (const void *)(long)ctx->data_end;
	__u32 offset = sizeof(struct ethhdr) + sizeof(struct ipv6hdr);
	__u8 next;
	int i;

	if (!out)
		return VERDICT_PASS_UNREADABLE;
	next = out->protocol;
	for (i = 0; i <= MAX_EXTENSIONS; i++) {
		const __u8 *ext;

		if (next == IPPROTO_TCP || next == IPPROTO_UDP) {
			out->offset = offset;
			out->protocol = next;
			return VERDICT_NEXT;
		}
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT)
			return VERDICT_PASS_PROTOCOL;
		if (i == MAX_EXTENSIONS || offset > MAX_TRANSPORT_OFFSET)
			return VERDICT_PASS_UNREADABLE;
		ext = data + offset;
		if (ext + 8 > (const __u8 *)end)
			return VERDICT_PASS_UNREADABLE;
		if (next == IPPROTO_FRAGMENT) {
			/* An atomic fragment (RFC 6946) is a whole packet. */
			if (*(const __be16 *)(ext + 2) & bpf_htons(IP6_FRAGMENT))
				return VERDICT_PASS_FRAGMENT;
			offset += 8;
		} else {
			/* With segments left the destination is not the last one. */
			if (next == IPPROTO_ROUTING && ext[3])
				return VERDICT_PASS_UNREADABLE;
			offset += 8 + ext[1] * 8;
		}
		next = ext[0];
	}
	return VERDICT_PASS_UNREADABLE;
}

static __always_inline enum verdict parse_ipv6(struct xdp_md *ctx, struct packet *pkt,
					       const struct ipv6hdr *ip, const void *end)
{
	struct transport at = {};
	const __u64 *words;
	enum verdict verdict;
	const void *data;

	if ((const void *)(ip + 1) > end || ip->version != 6)
		return VERDICT_PASS_UNREADABLE;
	words = (const __u64 *)&ip->saddr;
	pkt->source[0] = words[0];
	pkt->source[1] = words[1];
	pkt->target[0] = words[2];
	pkt->target[1] = words[3];
	pkt->df = bpf_htons(IP_DF);
	pkt->length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	pkt->tos = (__u8)(bpf_ntohs(*(const __be16 *)ip) >> 4);
	if (pkt->length > (__u64)(end - (const void *)ip))
		pkt->fault = 1;
	pkt->protocol = ip->nexthdr;
	if (pkt->protocol == IPPROTO_TCP || pkt->protocol == IPPROTO_UDP)
		return parse_transport(pkt, ip + 1, end, (__s32)pkt->length - (__s32)sizeof(*ip));

	at.protocol = ip->nexthdr;
	verdict = skip_extensions(ctx, &at);
	if (verdict)
		return verdict;
	pkt->protocol = at.protocol;
	data = (const void *)(long)ctx->data;
	end = (const void *)(long)ctx->data_end;
	/* skip_extensions keeps the bound, but a verifier that checked it apart does not know. */
	if (at.offset > MAX_TRANSPORT_OFFSET + 2048)
		return VERDICT_PASS_UNREADABLE;
	return parse_transport(pkt, data + at.offset, end,
			       (__s32)pkt->length + (__s32)sizeof(struct ethhdr) -
				       (__s32)at.offset);
}

static __always_inline enum verdict parse(struct xdp_md *ctx, struct packet *pkt)
{
	const void *data = (const void *)(long)ctx->data;
	const void *end = (const void *)(long)ctx->data_end;
	const struct ethhdr *eth = data;

	if ((const void *)(eth + 1) > end)
		return VERDICT_PASS_UNREADABLE;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return parse_ipv4(pkt, (const void *)(eth + 1), end);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		pkt->ipv6 = 1;
		return parse_ipv6(ctx, pkt, (const void *)(eth + 1), end);
	}
	return VERDICT_PASS_NOT_IP;
}

#endif
