/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Everything that the agent in user space sees too: verdicts, map keys and values. */
#pragma once

#include <linux/types.h>

/*
 * What became of one packet. Zero means "next step" and is never final. The numbers index the
 * pinned counters, which outlive the program: add at the end, never renumber.
 */
enum verdict {
	VERDICT_NEXT = 0,
	/* Ingress. */
	VERDICT_DECAPSULATED_V4,       /* the normal case */
	VERDICT_DECAPSULATED_V6,       /* the normal case */
	VERDICT_REFUSED_SOURCE,	       /* somebody else's tunnel, or a missing --from */
	VERDICT_CE_DROPPED,	       /* RFC 6040; a sender that does not copy ECN outwards */
	VERDICT_MALFORMED,	       /* never from a working load balancer */
	VERDICT_DECAP_FAILED,	       /* the kernel had no memory, or a bug */
	VERDICT_PASS_NOT_ENCAPSULATED, /* everything else the host receives */
	VERDICT_PASS_OUTER_FRAGMENT,   /* an MTU on the way is too small */
	VERDICT_PASS_UNREADABLE,       /* a cut-off inner header */
	VERDICT_PASS_NOT_VIP,	       /* other tunnels of this host, or a missing --vip */
	/* Egress. */
	VERDICT_PASS_EGRESS, /* everything but SYNs from a VIP */
	VERDICT_MSS_KEPT,    /* already small enough, or no MSS option */
	VERDICT_MSS_CLAMPED, /* the normal case */
	VERDICT_MSS_FAILED,  /* the kernel had no memory, or a bug; sent unclamped */
	/* Ingress again. */
	VERDICT_DECAPSULATED_V6_IN_V4, /* the normal case where a pool's backends are of the other family */
	VERDICT_DECAPSULATED_V4_IN_V6, /* likewise */
	VERDICT_COUNT,
};

/* Room for later verdicts without a new layout of the pinned map. */
#define COUNTER_SLOTS 64
_Static_assert(VERDICT_COUNT <= COUNTER_SLOTS, "verdicts need more counters");

struct counter {
	__u64 packets;
	__u64 bytes;
};

/* An IPv6 address, or an IPv4 address in the form ::ffff:a.b.c.d. */
struct address {
	__u8 octets[16];
};
_Static_assert(sizeof(struct address) == 16, "address is a key without padding");

struct prefix_v4 {
	__u32 bits;
	__u8 octets[4];
};
_Static_assert(sizeof(struct prefix_v4) == 8, "prefix_v4 is a key without padding");

struct prefix_v6 {
	__u32 bits;
	__u8 octets[16];
};
_Static_assert(sizeof(struct prefix_v6) == 20, "prefix_v6 is a key without padding");

/* The largest MSS that a SYN from a VIP may advertise, in bytes of TCP payload; 0 leaves it alone. */
struct mss_limits {
	__u16 mss_v4;
	__u16 mss_v6;
	__u32 reserved;
};
_Static_assert(sizeof(struct mss_limits) == 8, "limits are replaced by one store");
