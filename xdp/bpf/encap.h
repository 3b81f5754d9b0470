/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Packet to packet for the backend. The descriptor's header goes in front as whole words, with the fields that depend on
 * the packet patched in on the way. After the head has grown there is no way back: a packet that fails then is dropped.
 */
#ifndef SLUICE_ENCAP_H
#define SLUICE_ENCAP_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
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
/* Hash bits that choose no slot. Those of the source and of label and id may overlap: no header has all of them. */
#define SOURCE_SHIFT 32
#define FLOW_LABEL_SHIFT 40
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

/* The number that an outer header gives what is inside. */
static __always_inline __u64 inner_protocol(const struct packet *pkt)
{
	return pkt->ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
}

/* The bits of the outer source that spread flows, as they lie in its last four bytes; none without encap_source. */
static __always_inline __be32 source_bits(const struct packet *pkt, const struct backend *backend)
{
	return source_entropy ? bpf_htonl((__u32)(pkt->hash >> SOURCE_SHIFT)) & backend->source_mask
			      : 0;
}

/* RFC 2003 and RFC 4213, with DSCP and ECN copied as in RFC 6040 section 4.1 and DF as in RFC 2003 section 3.1. */
static __always_inline enum verdict encap_ipip4(struct xdp_md *ctx, const struct packet *pkt,
						const struct backend *backend)
{
	__u16 length = bpf_htons((__u16)(pkt->length + sizeof(struct iphdr)));
	__u16 id = outer_id(pkt);
	__u64 protocol = inner_protocol(pkt);
	__be32 source = source_bits(pkt, backend);
	__u32 sum = backend->checksum + ((__u32)pkt->tos << 8) + length + id + pkt->df +
		    ((__u32)protocol << 8) + (source & 0xffff) + (source >> 16);
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
	to[2] = backend->header[2] | length | (__u64)id << 16 | (__u64)pkt->df << 32 |
		protocol << 56;
	to[3] = backend->header[3] | fold_checksum(sum) | (__u64)source << 16;
	*(__u16 *)(to + 4) = (__u16)backend->header[4];
	return VERDICT_NEXT;
}

/* RFC 2473, with DSCP and ECN copied and a flow label of the flow's own (RFC 6438). */
static __always_inline enum verdict encap_ipip6(struct xdp_md *ctx, const struct packet *pkt,
						const struct backend *backend)
{
	__u64 label = pkt->hash >> FLOW_LABEL_SHIFT;
	__u64 class_and_label = (__u64)(pkt->tos >> 4) << 48 | /* low half of the first byte */
				((__u64)(pkt->tos & 0xf) << 4 | (label >> 16 & 0xf)) << 56;
	__u64 protocol = inner_protocol(pkt);
	__be32 source = source_bits(pkt, backend);
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
		(__u64)bpf_htons((__u16)pkt->length) << 16 | protocol << 32;
	to[3] = backend->header[3];
	to[4] = backend->header[4] | (__u64)source << 16;
	to[5] = backend->header[5];
	*(__u32 *)(to + 6) = (__u32)backend->header[6];
	*(__u16 *)((void *)to + 52) = (__u16)(backend->header[6] >> 32);
	return VERDICT_NEXT;
}

/* The frame as it is, to another station of the segment. */
static __always_inline enum verdict rewrite_l2(struct xdp_md *ctx, const struct backend *backend)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if (data + sizeof(struct ethhdr) > end)
		return VERDICT_BAD_TABLE; /* it was longer when it was parsed */
	*(__u64 *)data = backend->header[0];
	*(__u32 *)(data + 8) = (__u32)backend->header[1];
	return VERDICT_NEXT;
}

/* The verdict of a packet whose descriptor names no interface. */
static __always_inline enum verdict no_way(__u8 interface)
{
	switch (interface) {
	case INTERFACE_NONE:
		return VERDICT_NO_NEIGHBOUR;
	case INTERFACE_OFF_SEGMENT:
		return VERDICT_OFF_SEGMENT;
	}
	return VERDICT_EGRESS_UNMANAGED;
}

static __always_inline enum verdict write_header(struct xdp_md *ctx, const struct packet *pkt,
						 const struct backend *backend)
{
	if (!(backend->header[0] << 16)) /* the six bytes of the MAC */
		return VERDICT_NO_NEIGHBOUR;
	if (pkt->length > backend->max_inner)
		return VERDICT_TOO_BIG;
	if (backend->encap == ENCAP_IPIP4)
		return encap_ipip4(ctx, pkt, backend);
	if (backend->encap == ENCAP_IPIP6)
		return encap_ipip6(ctx, pkt, backend);
	return rewrite_l2(ctx, backend);
}

static __always_inline enum verdict encap(struct xdp_md *ctx, const struct packet *pkt)
{
	const struct backend *backend = bpf_map_lookup_elem(&backends, &pkt->backend);
	enum verdict refused;
	bool elsewhere;

	if (!backend || backend->encap == ENCAP_NONE)
		return VERDICT_BAD_TABLE;
	elsewhere = leaves_elsewhere(backend->interface);
	if (elsewhere) {
		if (backend->interface >= MAX_INTERFACES)
			return no_way(backend->interface);
		/* Asked first, while the packet is whole: the map lacks an interface that is gone. */
		if (bpf_redirect_map(&egress, backend->interface, 0) != XDP_REDIRECT)
			return VERDICT_EGRESS_UNMANAGED;
	}
	refused = write_header(ctx, pkt, backend);
	if (refused)
		return refused;
	return elsewhere ? VERDICT_REDIRECTED : VERDICT_FORWARDED;
}

#endif
