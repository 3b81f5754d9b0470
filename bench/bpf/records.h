/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What user space hands the replayer: recorded frames, or flows from which frames are made. */
#ifndef SLUICE_BENCH_RECORDS_H
#define SLUICE_BENCH_RECORDS_H

#include <linux/types.h>

/* Words of a recorded frame that are laid over the buffer: 120 bytes hold every header that a program may read, and
 * with the length beside them a record is two cache lines.
 */
#define FRAME_WORDS 15
#define FRAME_BYTES (FRAME_WORDS * 8)

struct frame {
	__u64 words[FRAME_WORDS]; /* the first bytes as on the wire; zero beyond the length */
	__u32 length;		  /* of the whole frame in bytes, at least 14 */
	__u32 reserved;
};

/* One packet of a generated flow: four fit into a cache line, so that a million of them are read as a stream and do not
 * themselves become the benchmark.
 */
struct packet {
	__be32 source; /* IPv4 source address, or the low 32 bits of the IPv6 one */
	__be16 port;   /* source port */
	__u16 length;  /* of the frame in bytes, at least OUTLINE_V4_BYTES or OUTLINE_V6_BYTES */
	__u32 outline; /* index of the frame's outline */
	__u8 flags;    /* TCP flags */
	__u8 reserved[3];
};

/* The bytes of an outline that are copied: Ethernet, IP and TCP or UDP, rounded up to words. */
#define OUTLINE_V4_BYTES 64
#define OUTLINE_V6_BYTES 80

/* A frame to one VIP with everything in place but what struct packet says. */
struct outline {
	__u64 words[OUTLINE_V6_BYTES / 8];
	__u32 sum; /* IPv4: ones' complement sum of the IP header without length, checksum and source */
	__u32 reserved[11];
};

_Static_assert(sizeof(struct frame) == 128, "a recorded frame is two cache lines");
_Static_assert(sizeof(struct packet) == 16, "four packets fit into a cache line");
_Static_assert(sizeof(struct outline) == 128, "an outline is two cache lines");

#endif
