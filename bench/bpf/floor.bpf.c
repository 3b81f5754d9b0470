// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What a load balancer is measured against: doing nothing, and encapsulating without a decision. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Knobs: the outer header, the same for every packet. */
volatile const bool ipv6 = false;  /* outer IPv6, else IPv4 */
volatile const __u64 outer_v4[4];  /* Ethernet and the IPv4 header up to half of its destination */
volatile const __u16 outer_v4_end; /* the rest of it */
volatile const __u32
	outer_v4_sum; /* ones' complement sum of the IPv4 header without length and checksum */
volatile const __u64
	outer_v6[6]; /* Ethernet and the IPv6 header without the end of its destination */
volatile const __u32 outer_v6_mid; /* the rest of it */
volatile const __u16 outer_v6_end;

/* The time that the replayer itself and a tail call take. */
SEC("xdp")
int empty(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

static __always_inline int floor_v4(struct xdp_md *ctx)
{
	__u64 *data;
	struct iphdr *outer;
	__u32 sum;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*outer)))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	outer = (void *)data + ETH_HLEN;
	if ((void *)(outer + 2) > (void *)(long)ctx->data_end)
		return XDP_DROP;
#pragma unroll
	for (int i = 0; i < 4; i++)
		data[i] = outer_v4[i];
	*(__u16 *)(data + 4) = outer_v4_end;
	outer->tot_len = bpf_htons(bpf_ntohs(outer[1].tot_len) + sizeof(*outer));
	sum = outer_v4_sum + outer->tot_len;
	sum = (sum & 0xffff) + (sum >> 16);
	outer->check = ~((sum & 0xffff) + (sum >> 16));
	return XDP_TX;
}

static __always_inline int floor_v6(struct xdp_md *ctx)
{
	__u64 *data;
	struct ipv6hdr *outer;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*outer)))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	outer = (void *)data + ETH_HLEN;
	if ((void *)(outer + 2) > (void *)(long)ctx->data_end)
		return XDP_DROP;
#pragma unroll
	for (int i = 0; i < 6; i++)
		data[i] = outer_v6[i];
	*(__u32 *)(data + 6) = outer_v6_mid;
	*(__u16 *)((void *)(data + 6) + 4) = outer_v6_end;
	outer->payload_len = bpf_htons(bpf_ntohs(outer[1].payload_len) + sizeof(*outer));
	return XDP_TX;
}

/* The least that sends a valid packet to one backend: grow the head, write a constant outer header with the packet's
 * own length (and, in IPv4, checksum), transmit.
 */
SEC("xdp")
int encap(struct xdp_md *ctx)
{
	return ipv6 ? floor_v6(ctx) : floor_v4(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
