/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Explicit congestion notification at the end of a tunnel: RFC 6040, section 4.2. */
#pragma once

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ECN_NOT_ECT 0
#define ECN_ECT_1 1
#define ECN_ECT_0 2
#define ECN_CE 3
#define ECN_MASK 3
/* No ECN value: the packet must be dropped, the only signal that its sender understands. */
#define ECN_DROP 4

/* In IPv6 the field is bits 4 and 5 of the second octet. */
#define ECN_SHIFT_V6 4

/* ecn_outwards answers which ECN field the inner packet goes on with (RFC 6040, figure 4). */
static __always_inline __u8 ecn_outwards(__u8 outer, __u8 inner)
{
	if (outer == ECN_CE)
		return inner == ECN_NOT_ECT ? ECN_DROP : ECN_CE;
	if (outer == ECN_ECT_1 && inner == ECN_ECT_0)
		return ECN_ECT_1;
	return inner;
}

/*
 * The IPv4 header's own checksum takes up the change, so the sum over the packet, which a NIC may
 * have reported, stays what it was and neither write recomputes it.
 */
static __always_inline int write_ecn_v4(struct __sk_buff *skb, __u8 ecn)
{
	__u8 old[2], tos;
	long err = bpf_skb_load_bytes(skb, ETH_HLEN, old, sizeof(old));

	if (err)
		return -1;
	tos = (old[1] & ~ECN_MASK) | ecn;
	err = bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check),
				  bpf_htons(old[0] << 8 | old[1]), bpf_htons(old[0] << 8 | tos),
				  sizeof(__u16));
	if (err)
		return -1;
	err = bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, tos), &tos, sizeof(tos),
				  0);
	return err ? -1 : 0;
}

static __always_inline int write_ecn_v6(struct __sk_buff *skb, __u8 ecn)
{
	const __u32 offset = ETH_HLEN + 1;
	__u8 octet;

	if (bpf_skb_load_bytes(skb, offset, &octet, sizeof(octet)))
		return -1;
	octet = (octet & ~(ECN_MASK << ECN_SHIFT_V6)) | ecn << ECN_SHIFT_V6;
	if (bpf_skb_store_bytes(skb, offset, &octet, sizeof(octet), BPF_F_RECOMPUTE_CSUM))
		return -1;
	return 0;
}
