/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Everything that the Go side also sees: verdicts, and the layout of every map's values. Go reads them from BTF. */
#ifndef SLUICE_TYPES_H
#define SLUICE_TYPES_H

#include <linux/types.h>

/*
 * What became of a packet. Zero means "next step"; every other value is final, has one counter for each interface and
 * one action (verdict.h). The order and the names are those of lb/verdict.go.
 */
enum verdict {
	VERDICT_NEXT,		  /* never final */
	VERDICT_FORWARDED,	  /* the normal case */
	VERDICT_PASS_NOT_IP,	  /* normal: ARP and the like */
	VERDICT_PASS_UNREADABLE,  /* rare: truncated, or a long chain of extension headers */
	VERDICT_PASS_PROTOCOL,	  /* normal: ICMP, IPIP, ... for the host */
	VERDICT_PASS_FRAGMENT,	  /* rare */
	VERDICT_PASS_NO_VIP,	  /* normal: traffic of the host */
	VERDICT_VIP_NO_PORT,	  /* scans */
	VERDICT_MALFORMED,	  /* attacks and broken senders */
	VERDICT_NO_BACKEND,	  /* a pool without weight */
	VERDICT_NO_NEIGHBOUR,	  /* a next hop that does not answer */
	VERDICT_EGRESS_UNMANAGED, /* routing to a backend that this node cannot follow */
	VERDICT_TOO_BIG,	  /* MTU too small for the encapsulation */
	VERDICT_NO_HEADROOM,	  /* never, with a driver that reserves XDP_PACKET_HEADROOM */
	VERDICT_BAD_TABLE,	  /* never: a bug of the control plane */
	VERDICT_REDIRECTED,	  /* normal where backends lie behind another interface */
	VERDICT_OFF_SEGMENT,	  /* l2 to a backend that a router leads to */
	VERDICT_COUNT,		  /* the number of verdicts */
};

/* How a descriptor's packets travel; the family is the outer header's, whatever the one inside. */
enum encap {
	ENCAP_NONE, /* an unused descriptor */
	ENCAP_IPIP4,
	ENCAP_IPIP6,
	ENCAP_L2, /* no outer header: link-layer addresses alone */
};

/* Sizes that both sides agree on. */
enum sizes {
	VIP4_WAYS = 4,	     /* entries of a 64-byte bucket */
	VIP6_WAYS = 2,	     /* entries of a 64-byte bucket */
	SLOTS_PER_LINE = 16, /* slot words of a 64-byte element */
	MAX_INTERFACES = 16, /* managed interfaces of a node */
	VERDICT_STRIDE = 64, /* counters of one interface on one CPU; room for verdicts to come */
	VERDICT_SEEN = 63,   /* counter of frames at entry, where the knob count_seen is set */
	SLOT_INDEX_BITS =
		20, /* of a slot word: the backend index; five flag and seven count bits follow */
	PREVIOUS_SOFT =
		1 << 20, /* of a previous word: that backend fails softly and may be dying */
	INTERFACE_OFF_SEGMENT = 253, /* l2, but the route leads to a router */
	INTERFACE_UNMANAGED = 254,   /* the route leads out of an interface that is not managed */
	INTERFACE_NONE = 255,	     /* no route */
};

/*
 * Flags of a slot word: what is to be done beside sending the packet to the slot's owner, current. None of them is the
 * steady state, in which no other map is read.
 */
enum slot_flag {
	SLOT_LOOKUP = 1 << 20, /* a flow that has an entry goes where the entry says */
	SLOT_INSERT =
		1
		<< 21, /* a first packet without an entry gets one, for current; if refused it goes to the default */
	SLOT_PREVIOUS =
		1
		<< 23, /* the default for packets that are not first is previous, otherwise current */
	SLOT_FLAGS = 0x1f << 20,
};

/* What is known of a tracked flow. */
enum flow_state {
	FLOW_SYN,	  /* its first packet has been seen */
	FLOW_ESTABLISHED, /* and others */
	FLOW_CLOSING,	  /* FIN or RST has been seen */
};

/*
 * What happened to a packet on its way, for the knob `explain`. Each is noted in one place, and the values are in the
 * order in which they happen, so that a set of them is a path. The names are those of lb/step.go.
 */
enum step {
	STEP_READ,	   /* headers and ports are readable */
	STEP_VIP,	   /* a VIP has the address, port and protocol */
	STEP_SLOT,	   /* the hash of the flow chose a slot */
	STEP_MOVED,	   /* the VIP had another pool before, whose flows are kept */
	STEP_LOOKUP,	   /* the slot is changing: the flow table was asked */
	STEP_ENTRY,	   /* it has an entry, */
	STEP_ENTRY_DEAD,   /* of a backend whose flows are lost, */
	STEP_ENTRY_OVER,   /* or of a flow that is over: this packet opens another one, */
	STEP_ENTRY_FOLLOW, /* or the packet goes where it says */
	STEP_TAKE,	   /* a first packet: the entry becomes the flow it opens */
	STEP_INSERT,	   /* a first packet: an entry would be made */
	STEP_BYPASS,   /* no entry could be made, and the previous owner fails: current anyway */
	STEP_HELD,     /* no entry could be made: it stays with the previous owner */
	STEP_PREVIOUS, /* the default of the slot is its previous owner */
	STEP_BACKEND,  /* a backend is selected: the way to it was asked for */
	STEP_COUNT,    /* the number of steps */
};

/*
 * A VIP of one address, port and protocol. An entry with marker 1, port 0 and protocol 0 says that the address is a VIP's.
 * 16 bytes, the first 8 of which are the key.
 */
struct vip4_entry {
	__be32 address; /* 0: the entry is free */
	__be16 port;
	__u8 protocol;
	__u8 marker;
	__u32 vip;	     /* counter line */
	__u16 pool;	     /* descriptor, relative to the copy's pool_base */
	__u16 previous_pool; /* the pool before, plus one, while its flows are kept; else 0 */
};

/* 32 bytes. */
struct vip6_entry {
	__be32 address[4]; /* ::: the entry is free */
	__be16 port;
	__u8 protocol;
	__u8 marker;
	__u32 vip;
	__u16 pool;
	__u16 previous_pool;
	__u32 reserved;
};

/* One cache line. */
struct vip4_bucket {
	struct vip4_entry entry[VIP4_WAYS];
};

struct vip6_bucket {
	struct vip6_entry entry[VIP6_WAYS];
};

/* One half of the root: where the tables of one publication begin. One cache line. */
struct root_copy {
	__u64 vip_key; /* key of the bucket hash; changed when a set of VIPs does not fit with the old one */
	__u32 vip4_base; /* first bucket */
	__u32 vip4_mask; /* number of buckets less one */
	__u32 vip6_base;
	__u32 vip6_mask;
	__u32 pool_base; /* first descriptor */
	__u32 reserved[9];
};

/*
 * The root. Bit 0 of `select` chooses the copy that packets see; the other 63 bits are the low bits of the publication's
 * number. One aligned store of `select` changes everything at once.
 */
struct root {
	__u64 select;
	__u64 reserved[7];
	struct root_copy copy[2];
};

/* Where the slots of a pool lie. 16 bytes. */
struct pool {
	__u32 base; /* first slot */
	__u32 mask; /* number of slots less one */
	__u32 flags;
	__u32 reserved;
};

/* 16 slot words: backend index in the low 20 bits (0: the slot is empty), five flags, seven bits of change count. */
struct slot_line {
	__u32 word[SLOTS_PER_LINE];
};

/*
 * All that it takes to send a packet to a backend: 128 bytes, of which an IPv4 outer header needs the first 64.
 * `header` is the outer Ethernet and IP header as it goes on the wire, with every field that depends on the packet zero;
 * for l2 its first 12 bytes count. Its first word holds the destination MAC; a zero MAC means that the next hop is not
 * resolved.
 */
struct backend {
	__u32 checksum; /* IPv4: sum of the header's 16-bit words as they lie in memory, not folded */
	__u16 max_inner; /* bytes: the largest packet of a client that fits the MTU */
	__u8 encap;	 /* enum encap */
	__u8 interface; /* number of the egress interface, or INTERFACE_OFF_SEGMENT and following */
	__u32 dead;	/* flows that name it are lost: an entry for it counts for nothing */
	__be32 source_mask; /* bits of the outer source's last four bytes that come from the flow's hash */
	__u64 header[14];
};

/* Key of the flow tables, as in the packet. */
struct flow4_key {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 protocol;
};

struct flow6_key {
	__u64 source[2];
	__u64 destination[2];
	__be16 source_port;
	__be16 destination_port;
	__u32 protocol;
};

/* An entry: exists only for flows of slots that are changing. */
struct flow_entry {
	__u32 backend; /* index */
	__u32 vip;     /* counter line */
	__u32 seen;    /* when its last packet came: CLOCK_MONOTONIC >> FLOW_CLOCK_SHIFT */
	__u32 state;   /* enum flow_state */
};

/* Tracking on one CPU. One cache line. */
struct track_counter {
	__u64 lookups;	/* packets whose slot asked for the flow table */
	__u64 hits;	/* that had an entry */
	__u64 inserts;	/* entries made */
	__u64 held;	/* first packets that got none and stayed with previous */
	__u64 bypassed; /* first packets that got none and went to current, because previous fails */
	__u64 tokens;	/* inserts that are allowed now */
	__u64 refilled; /* when tokens were added last */
	__u64 reserved;
};

/* What was forwarded and refused: one cache line for each VIP, or backend, and CPU. */
struct counter {
	__u64 packets;
	__u64 bytes; /* of inner packets */
	__u64 new_flows;
	__u64 refused;
	__u64 held; /* first packets that stayed with a slot's previous owner, because no entry could be made */
	__u64 reserved[3];
};

/* What the knob `explain` records of one packet. User space clears it and fills in the first two. One cache line. */
struct explanation {
	__u16 interface; /* number of the interface that the packet is taken to come in by */
	__u16 full;	 /* the flow table of its family takes no more entries */
	__u32 steps;	 /* bits: 1 << enum step */
	__u64 hash;	 /* of the flow */
	__u32 verdict;
	__u32 vip;	/* counter line */
	__u32 slot;	/* in the flat array */
	__u32 word;	/* of that slot */
	__u32 previous; /* word of the previous owner; only read where the flow table is asked */
	__u32 backend;	/* index that was selected */
	__u32 entry_backend; /* index */
	__u32 entry_seen;    /* ticks */
	__u32 entry_state;   /* enum flow_state */
	__u32 pool;	     /* descriptor, relative to the copy's pool_base */
	__u32 reserved[2];
};

/* Verdicts of one interface on one CPU. */
struct verdict_line {
	__u64 packets[VERDICT_STRIDE];
};

_Static_assert(sizeof(struct vip4_bucket) == 64, "one cache line");
_Static_assert(sizeof(struct vip6_bucket) == 64, "one cache line");
_Static_assert(sizeof(struct root_copy) == 64, "one cache line");
_Static_assert(sizeof(struct pool) == 16, "four to a cache line");
_Static_assert(sizeof(struct slot_line) == 64, "one cache line");
_Static_assert(sizeof(struct backend) == 128, "two cache lines");
_Static_assert(sizeof(struct flow4_key) == 16, "no padding");
_Static_assert(sizeof(struct flow6_key) == 40, "no padding");
_Static_assert(sizeof(struct track_counter) == 64, "one cache line");
_Static_assert(sizeof(struct counter) == 64, "one cache line");
_Static_assert(sizeof(struct explanation) == 64, "one cache line");
_Static_assert(STEP_COUNT <= 32, "bits of explanation.steps");
_Static_assert(VERDICT_COUNT <= VERDICT_SEEN, "room for verdicts");

#endif
