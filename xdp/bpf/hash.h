/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The two keyed hashes, of flows and of VIPs. lb/flow.go and lb/viptable.go are the same in Go. */
#ifndef SLUICE_HASH_H
#define SLUICE_HASH_H

#include <linux/types.h>
#include "config.h"
#include "packet.h"

/* Odd multipliers: 2^64 / golden ratio, and the two of MurmurHash3's 64-bit finalizer. */
#define MULTIPLIER_GOLDEN 0x9e3779b97f4a7c15ULL
#define MULTIPLIER_FIRST 0xff51afd7ed558ccdULL
#define MULTIPLIER_SECOND 0xc4ceb9fe1a85ec53ULL

/* One round: a bijection of `state` for each `word`, and of `word` for each `state`. */
static __always_inline __u64 hash_round(__u64 state, __u64 word)
{
	state = (state ^ word) * MULTIPLIER_GOLDEN;
	return state ^ state >> 32;
}

/*
 * Hash of the flow, keyed twice: before the addresses and before the ports. Its low bits choose the slot, bits 40 and up
 * are the outer header's entropy.
 */
static __always_inline __u64 flow_hash(const struct packet *pkt)
{
	__u64 state = flow_key0;

	if (pkt->ipv6) {
		state = hash_round(state, pkt->source[0]);
		state = hash_round(state, pkt->source[1]);
		state = hash_round(state, pkt->target[0]);
		state = hash_round(state, pkt->target[1]);
	} else {
		state = hash_round(state, pkt->target[0]);
	}
	state ^= flow_key1 ^ (__u64)pkt->protocol << 32 ^ pkt->ports;
	state *= MULTIPLIER_FIRST;
	state ^= state >> 33;
	state *= MULTIPLIER_SECOND;
	return state ^ state >> 33;
}

#endif
