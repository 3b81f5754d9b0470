/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Packet to packet for the backend. The descriptor's header goes in front as whole words, with the fields that depend on
 * the packet patched in on the way. After the head has grown there is no way back: a packet that fails then is dropped.
 */
#ifndef SLUICE_ENCAP_H
#define SLUICE_ENCAP_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "explain.h"
#include "maps.h"
#include "packet.h"

#define HEADER_IPIP4 (sizeof(struct ethhdr) + sizeof(struct iphdr))
#define HEADER_IPIP6 (sizeof(struct ethhdr) + sizeof(struct ipv6hdr))
#define FLOW_LABEL_SHIFT 40 /* hash bits that choose no slot */
#define FRAGMENT_ID_SHIFT 48

/* The checksum of RFC 1071 from an unfolded sum. */
static __always_inline __u16 fold_checksum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/*
 * An outer packet that may be fragmented on its way needs an id that differs from those of its neighbours; one that may
 * not has id 0 (RFC 6864). The inner id differs from packet to packet, the hash from flow to flow.
 */
static __always_inline __u16 outer_id(const struct packet *pkt)
{
	__u16 id = pkt->id ^ (__u16)(pkt->hash >> FRAGMENT_ID_SHIFT);

	if (pkt->df)
		return 0;
	return id ? id : 1;
}

/* RFC 2003, with DSCP and ECN copied as in RFC 6040 section 4.1 and DF as in RFC 2003 section 3.1. */
static __always_inline enum verdict encap_ipip4(struct xdp_md *ctx, const struct packet *pkt,
						const struct backend *backend)
{
	__u16 length = bpf_htons((__u16)(pkt->length + sizeof(struct iphdr)));
	__u16 id = outer_id(pkt);
	__u32 sum = backend->checksum + ((__u32)pkt->tos << 8) + length + id + pkt->df;
	void *data, *end;
	__u64 *to;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct iphdr)))
		return VERDICT_NO_HEADROOM;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + HEADER_IPIP4 > end)
		return VERDICT_NO_HEADROOM;
	to = data;
	to[0] = backend->header[0];
	to[1] = backend->header[1] | (__u64)pkt->tos << 56;
	to[2] = backend->header[2] | length | (__u64)id << 16 | (__u64)pkt->df << 32;
	to[3] = backend->header[3] | fold_checksum(sum);
	*(__u16 *)(to + 4) = (__u16)backend->header[4];
	return VERDICT_FORWARDED;
}

/* RFC 2473, with DSCP and ECN copied and a flow label of the flow's own (RFC 6438). */
static __always_inline enum verdict encap_ipip6(struct xdp_md *ctx, const struct packet *pkt,
						const struct backend *backend)
{
	__u64 label = pkt->hash >> FLOW_LABEL_SHIFT;
	__u64 class_and_label = (__u64)(pkt->tos >> 4) << 48 | /* low half of the first byte */
				((__u64)(pkt->tos & 0xf) << 4 | (label >> 16 & 0xf)) << 56;
	void *data, *end;
	__u64 *to;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct ipv6hdr)))
		return VERDICT_NO_HEADROOM;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + HEADER_IPIP6 > end)
		return VERDICT_NO_HEADROOM;
	to = data;
	to[0] = backend->header[0];
	to[1] = backend->header[1] | class_and_label;
	to[2] = backend->header[2] | bpf_htons((__u16)label) |
		(__u64)bpf_htons((__u16)pkt->length) << 16;
	to[3] = backend->header[3];
	to[4] = backend->header[4];
	to[5] = backend->header[5];
	*(__u32 *)(to + 6) = (__u32)backend->header[6];
	*(__u16 *)((void *)to + 52) = (__u16)(backend->header[6] >> 32);
	return VERDICT_FORWARDED;
}

static __always_inline enum verdict encap(struct xdp_md *ctx, const struct packet *pkt)
{
	const struct backend *backend = bpf_map_lookup_elem(&backends, &pkt->backend);

	if (!backend || backend->encap == ENCAP_NONE)
		return VERDICT_BAD_TABLE;
	if (leaves_elsewhere(backend->interface))
		return backend->interface == INTERFACE_NONE ? VERDICT_NO_NEIGHBOUR
							    : VERDICT_EGRESS_UNMANAGED;
	if (!(backend->header[0] << 16)) /* the six bytes of the MAC */
		return VERDICT_NO_NEIGHBOUR;
	if (pkt->length > backend->max_inner)
		return VERDICT_TOO_BIG;
	if (backend->encap == ENCAP_IPIP4)
		return encap_ipip4(ctx, pkt, backend);
	return encap_ipip6(ctx, pkt, backend);
}

#endif
