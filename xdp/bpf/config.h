/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Knobs that user space sets when it loads the program; the verifier removes what they turn off. */
#ifndef SLUICE_CONFIG_H
#define SLUICE_CONFIG_H

#include <linux/types.h>
#include "types.h"

/* Number of the interface that this instance is attached to, below MAX_INTERFACES: each interface has its own instance. */
volatile const __u32 interface_number;

/* Sizes of the counter maps of one CPU, in lines. */
volatile const __u32 vip_stride = 1;
volatile const __u32 backend_stride = 1;

/* Keys of the flow hash, derived from the cluster's seed. */
volatile const __u64 flow_key0;
volatile const __u64 flow_key1;

/* Take outer sources from the prefixes of `encap_source`: descriptors have a source_mask. */
volatile const __u8 source_entropy;

/* Drop, instead of pass, what is for a VIP's address but for none of its ports (`unmatched: drop`). */
volatile const __u8 unmatched_drop;

/* Count frames at entry too: for tests, which compare the sum with that of the verdicts. */
volatile const __u8 count_seen;

/*
 * Explain instead of forwarding: keep a record of what becomes of the packet (struct explanation), and write nothing
 * else. For an instance that is attached nowhere.
 */
volatile const __u8 explain;

/*
 * Nanoseconds for which one CPU earns the right to make one entry, and how many such rights it may save up: 50,000 a
 * second. A flood slows a drain, it never breaks a flow.
 */
volatile const __u64 insert_interval = 20000;
#define INSERT_BURST 1024

/* A tick of flow entries and slot stamps is 2^30 ns, a little more than a second. */
#define FLOW_CLOCK_SHIFT 30

/* A SYN takes over an entry that has been silent for so many ticks. */
#define FLOW_STALE 60

/* Extension headers that are followed in one IPv6 packet (docs/ARCHITECTURE.md, Life of a packet). */
#define MAX_EXTENSIONS 6

#endif
