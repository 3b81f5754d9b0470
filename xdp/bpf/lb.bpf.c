// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The life of a packet: parse, find the VIP, select a backend, encapsulate, count. Each step answers with a verdict;
 * zero leads to the next step. docs/ARCHITECTURE.md tells the story at length, lb/twin.go tells it in Go.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "config.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "hash.h"
#include "vip.h"
#include "track.h"
#include "select.h"
#include "encap.h"
#include "stats.h"
#include "verdict.h"

/* Never inlined away: bpf2go names its constants after it. */
const enum sizes *unused_sizes __attribute__((unused));
const enum encap *unused_encap __attribute__((unused));
const enum verdict *unused_verdict __attribute__((unused));
const enum slot_flag *unused_slot_flag __attribute__((unused));
const enum step *unused_step __attribute__((unused));
const enum flow_state *unused_flow_state __attribute__((unused));

static __always_inline enum verdict forward(struct xdp_md *ctx, struct packet *pkt)
{
	const __u32 zero = 0;
	const struct root *tables = bpf_map_lookup_elem(&root, &zero);
	const struct root_copy *copy;
	enum verdict verdict;

	verdict = parse(ctx, pkt);
	if (verdict)
		return verdict;
	if (!tables)
		return VERDICT_BAD_TABLE;
	/* Read once: all the tables of a packet are of one publication. */
	copy = &tables->copy[*(volatile const __u64 *)&tables->select & 1];
	verdict = find_vip(copy, pkt);
	if (verdict)
		return verdict;
	verdict = select_backend(copy, pkt);
	if (verdict)
		return verdict;
	return encap(ctx, pkt);
}

SEC("xdp")
int sluice(struct xdp_md *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct packet pkt = {};
	enum verdict verdict;

	if (count_seen)
		count_verdict(cpu, VERDICT_SEEN);
	verdict = forward(ctx, &pkt);
	if (explain) {
		explain_verdict(&pkt, verdict);
		return action_of(verdict);
	}
	count_verdict(cpu, verdict);
	count_objects(cpu, &pkt, verdict);
	return action_of(verdict);
}

char _license[] SEC("license") = "Dual BSD/GPL";
