// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The replayer: shows a program a stream of frames inside one BPF_PROG_RUN.
 *
 * With `repeat` the kernel runs a program over and over on the same buffer and restores nothing between the runs: a
 * program that encapsulates would see its own output from the second run on. Here each run undoes the head growth of
 * the one before, lays the next frame over the buffer and tail-calls the program under test.
 *
 * One thread on one CPU runs it, so that plain globals keep its place.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "records.h"

/* The sizes are set by user space before the maps are made. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frame);
} frames SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet);
} packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct outline);
} outlines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

/* Knobs. */
/* How many frames or packets there are; the stream starts again after the last. */
volatile const __u32 records = 1;
volatile const bool ipv6 = false; /* packets are IPv6 */
volatile const bool udp = false;  /* packets are UDP, else TCP */

/* Place in the stream, and the length of the frame that lies in the buffer. */
__u32 next;
__u32 length;

/* Counters. */
__u64 laid;	/* frames shown to the program under test */
__u64 restored; /* the program before had moved the head, and it was moved back */
__u64 resized;	/* the frame before had another length */
__u64 failed;	/* the buffer could not be brought into shape: the figures are worthless */
__u64 missing;	/* no record, or no program in the target array: likewise */

/* Brings the buffer, whatever the previous run left of it, to `want` bytes at the place where it began. */
static __always_inline int reshape(struct xdp_md *ctx, __u32 want)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	/* 64 bits wide: the verifier takes no 32-bit arithmetic on packet pointers. */
	__s64 grown = end - data - (__s64)length;

	if (grown) {
		restored++;
		if (bpf_xdp_adjust_head(ctx, grown))
			goto broken;
	}
	if (want != length) {
		resized++;
		if (bpf_xdp_adjust_tail(ctx, (int)want - (int)length))
			goto broken;
		length = want;
	}
	return 0;
broken:
	failed++;
	return -1;
}

static __always_inline __u32 take_place(void)
{
	__u32 place = next;

	next = place + 1 < records ? place + 1 : 0;
	return place;
}

static __always_inline int hand_over(struct xdp_md *ctx)
{
	laid++;
	bpf_tail_call(ctx, &target, 0);
	missing++;
	return XDP_ABORTED;
}

/* One binary digit of a length below FRAME_BYTES. */
#define COPY_DIGIT(n)                                                                              \
	do {                                                                                       \
		if (!(left & (n)))                                                                 \
			break;                                                                     \
		if (to + (n) > end)                                                                \
			return -1;                                                                 \
		__builtin_memcpy(to, from, n);                                                     \
		to += (n);                                                                         \
		from += (n);                                                                       \
	} while (0)

static __always_inline int lay_short(void *to, const void *end, const struct frame *f)
{
	const void *from = f->words;
	__u32 left = f->length;

	COPY_DIGIT(64);
	COPY_DIGIT(32);
	COPY_DIGIT(16);
	COPY_DIGIT(8);
	COPY_DIGIT(4);
	COPY_DIGIT(2);
	COPY_DIGIT(1);
	return 0;
}

static __always_inline int lay_frame(struct xdp_md *ctx, const struct frame *f)
{
	__u64 *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if (f->length < FRAME_BYTES)
		return lay_short(data, end, f);
	if ((void *)data + FRAME_BYTES > end)
		return -1;
#pragma unroll
	for (int i = 0; i < FRAME_WORDS; i++)
		data[i] = f->words[i];
	return 0;
}

SEC("xdp")
int replay_frames(struct xdp_md *ctx)
{
	__u32 place = take_place();
	struct frame *f = bpf_map_lookup_elem(&frames, &place);

	if (!f) {
		missing++;
		return XDP_ABORTED;
	}
	if (reshape(ctx, f->length))
		return XDP_ABORTED;
	if (lay_frame(ctx, f)) {
		failed++;
		return XDP_ABORTED;
	}
	return hand_over(ctx);
}

static __always_inline __sum16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void fill_transport(void *transport, const struct packet *p, __u32 headers)
{
	if (udp) {
		struct udphdr *h = transport;

		h->source = p->port;
		h->len = bpf_htons(p->length - headers);
		return;
	}
	((struct tcphdr *)transport)->source = p->port;
	((__u8 *)transport)[offsetof(struct tcphdr, window) - 1] = p->flags;
}

static __always_inline int lay_v4(struct xdp_md *ctx, const struct packet *p,
				  const struct outline *o)
{
	__u64 *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)data + ETH_HLEN;
	__be16 total = bpf_htons(p->length - ETH_HLEN);

	if ((void *)data + OUTLINE_V4_BYTES > end)
		return -1;
#pragma unroll
	for (int i = 0; i < OUTLINE_V4_BYTES / 8; i++)
		data[i] = o->words[i];
	ip->tot_len = total;
	ip->saddr = p->source;
	ip->check = fold(o->sum + total + (p->source & 0xffff) + (p->source >> 16));
	fill_transport(ip + 1, p, ETH_HLEN + sizeof(*ip));
	return 0;
}

static __always_inline int lay_v6(struct xdp_md *ctx, const struct packet *p,
				  const struct outline *o)
{
	__u64 *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ipv6hdr *ip = (void *)data + ETH_HLEN;

	if ((void *)data + OUTLINE_V6_BYTES > end)
		return -1;
#pragma unroll
	for (int i = 0; i < OUTLINE_V6_BYTES / 8; i++)
		data[i] = o->words[i];
	ip->payload_len = bpf_htons(p->length - ETH_HLEN - sizeof(*ip));
	ip->saddr.s6_addr32[3] = p->source;
	fill_transport(ip + 1, p, ETH_HLEN + sizeof(*ip));
	return 0;
}

SEC("xdp")
int replay_packets(struct xdp_md *ctx)
{
	__u32 place = take_place();
	struct packet *p = bpf_map_lookup_elem(&packets, &place);
	struct outline *o;

	if (!p) {
		missing++;
		return XDP_ABORTED;
	}
	o = bpf_map_lookup_elem(&outlines, &p->outline);
	if (!o) {
		missing++;
		return XDP_ABORTED;
	}
	if (reshape(ctx, p->length))
		return XDP_ABORTED;
	if (ipv6 ? lay_v6(ctx, p, o) : lay_v4(ctx, p, o)) {
		failed++;
		return XDP_ABORTED;
	}
	return hand_over(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
