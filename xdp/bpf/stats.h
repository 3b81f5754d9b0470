/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counting: verdicts by interface, and the lines of VIPs and backends. */
#ifndef SLUICE_STATS_H
#define SLUICE_STATS_H

#include "config.h"
#include "maps.h"
#include "packet.h"

static __always_inline void count_verdict(__u32 cpu, __u32 verdict)
{
	__u32 key = cpu * MAX_INTERFACES + interface_number;
	struct verdict_line *line = bpf_map_lookup_elem(&verdict_counters, &key);

	if (line)
		line->packets[verdict & (VERDICT_STRIDE - 1)]++;
}

/* One packet that was forwarded adds to a line. */
static __always_inline void count_forwarded(struct counter *line, const struct packet *pkt)
{
	line->packets++;
	line->bytes += pkt->length;
	if (pkt->syn)
		line->new_flows++;
	if (pkt->held)
		line->held++;
}

/* The packet's VIP and backend, where it got that far, hear of its verdict. */
static __always_inline void count_objects(__u32 cpu, const struct packet *pkt, enum verdict verdict)
{
	const _Bool sent = verdict == VERDICT_FORWARDED || verdict == VERDICT_REDIRECTED;
	__u32 key = cpu * vip_stride + pkt->vip;
	struct counter *line;

	if (!pkt->vip)
		return;
	line = bpf_map_lookup_elem(&vip_counters, &key);
	if (line) {
		if (sent)
			count_forwarded(line, pkt);
		else
			line->refused++;
	}
	if (!pkt->backend)
		return;
	key = cpu * backend_stride + pkt->backend;
	line = bpf_map_lookup_elem(&backend_counters, &key);
	if (line) {
		if (sent)
			count_forwarded(line, pkt);
		else
			line->refused++;
	}
}

#endif
