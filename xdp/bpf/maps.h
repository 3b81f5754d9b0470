/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Every map. User space sets the sizes (limits in the node's configuration); the ones here are for tools that load the
 * object as it is. Those that every packet reads are memory-mapped arrays: their values start on a page, so that one
 * 64-byte value is one cache line, and their look-ups are inlined. The program writes counters, stamps and flow entries,
 * user space the rest; it never rewrites what a packet may be reading, with three exceptions in a descriptor, of one
 * aligned store each: the MAC word, `dead`, and the interface's number.
 */
#ifndef SLUICE_MAPS_H
#define SLUICE_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"

/* One element. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct root);
} root SEC(".maps");

/* Two copies of limits.vips / 4 buckets, rounded up to a power of two, and some room. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct vip4_bucket);
} vip4 SEC(".maps");

/* Likewise. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct vip6_bucket);
} vip6 SEC(".maps");

/* Two copies of limits.slots / 1,024 descriptors: no more pools have room for their slots. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct pool);
} pools SEC(".maps");

/* limits.slots / 16. The slots of all pools, each pool's on a multiple of its size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot_line);
} slots SEC(".maps");

/* The owner before the change, and flags of its own, for slots whose word has SLOT_PREVIOUS. As many as slots. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot_line);
} previous SEC(".maps");

/* When a slot last sent a packet to its previous owner by default, in ticks. The program writes it, user space clears it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot_line);
} stamps SEC(".maps");

/*
 * limits.flows_v4 and limits.flows_v6. The program makes entries, user space lets them expire. They never evict: when one
 * is full, new flows of changing slots stay with the previous owner.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow4_key);
	__type(value, struct flow_entry);
} flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow6_key);
	__type(value, struct flow_entry);
} flows6 SEC(".maps");

/* CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct track_counter);
} track_counters SEC(".maps");

/*
 * The kernel's index of each managed interface, by its number in descriptors: where packets go that leave by another
 * interface than they came in by. The kernel clears the entry of an interface that is deleted. Not mapped: user space
 * writes it where the program is attached.
 */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, MAX_INTERFACES);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} egress SEC(".maps");

/* limits.backends and one: index 0 is never used. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

/* CPUs times vip_stride. Each CPU adds to its own lines: no atomics. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counter);
} vip_counters SEC(".maps");

/* CPUs times backend_stride. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counter);
} backend_counters SEC(".maps");

/*
 * What an instance with the knob `explain` writes, and all that it writes. One element, for one packet at a time. Never
 * pinned: it belongs to the process that explains.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct explanation);
} explained SEC(".maps");

/* CPUs times MAX_INTERFACES. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_INTERFACES);
	__type(key, __u32);
	__type(value, struct verdict_line);
} verdict_counters SEC(".maps");

#endif
