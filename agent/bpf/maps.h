/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every map and load-time knob, each with who writes, who reads and what bounds it. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "types.h"

/* Knobs, set before the program is loaded; the verifier removes the family that has no VIP. */
volatile const _Bool has_v4;
volatile const _Bool has_v6;

/*
 * VIPs and allowed outer sources: written once by the agent, before the program that reads them is
 * attached; a new agent brings new maps with its program, so a packet sees the old set or the new
 * one. The agent sets max_entries to the number of entries.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __be32);
	__type(value, __u32);
	__uint(max_entries, 1);
} vips_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct address);
	__type(value, __u32);
	__uint(max_entries, 1);
} vips_v6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct prefix_v4);
	__type(value, __u32);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} sources_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct prefix_v6);
	__type(value, __u32);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} sources_v6 SEC(".maps");

/* Written by the agent whenever an MTU changes, read for every SYN. Pinned, for `--status`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct mss_limits);
	__uint(max_entries, 1);
} limits SEC(".maps");

/* Written by both programs, indexed by enum verdict. Pinned: counts go on through an upgrade. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(max_entries, COUNTER_SLOTS);
} counters SEC(".maps");

/* Packets by refused outer source. Least recently used ones make room: a flood cannot fill memory. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct address);
	__type(value, __u64);
	__uint(max_entries, 256);
} refused SEC(".maps");
