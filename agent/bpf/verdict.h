/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The one exit of both programs: verdict to counter and action. */
#pragma once

#include <linux/pkt_cls.h>

#include "maps.h"

/* TC_ACT_UNSPEC lets other programs of the hook see the packet too; on tcx it is TCX_NEXT. */
static __always_inline int action(enum verdict v)
{
	switch (v) {
	case VERDICT_REFUSED_SOURCE:
	case VERDICT_CE_DROPPED:
	case VERDICT_MALFORMED:
	case VERDICT_DECAP_FAILED:
	case VERDICT_NEXT:
		return TC_ACT_SHOT;
	default:
		return TC_ACT_UNSPEC;
	}
}

/* leave counts the packet, with its length as it leaves, and returns the action. */
static __always_inline int leave(const struct __sk_buff *skb, enum verdict v)
{
	__u32 key = v;
	struct counter *c = bpf_map_lookup_elem(&counters, &key);

	if (c) {
		c->packets++;
		c->bytes += skb->len;
	}
	return action(v);
}
