/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the steps tell each other about the packet at hand. */
#ifndef SLUICE_PACKET_H
#define SLUICE_PACKET_H

#include <linux/types.h>

/*
 * Words hold the packet's bytes as they lie in memory. The program is little-endian (bpfel), so that is the value which
 * binary.LittleEndian reads in Go; hashes are therefore the same on every machine.
 */
struct packet {
	__u64 source[2]; /* IPv4: unused */
	__u64 target[2]; /* IPv4: [0] is source and destination address */
	__u32 ports;	 /* source and destination port */
	__u32 length; /* bytes of the IP packet by its own header, without Ethernet and padding */
	__u32 vip;    /* counter line; 0: not for a VIP */
	__u32 pool;
	__u32 previous_pool; /* plus one; 0: the VIP has had no other pool lately */
	__u32 backend;	     /* index; 0: none selected */
	__u8 ipv6;
	__u8 protocol;
	__u8 tos;     /* DSCP and ECN */
	__u8 fault;   /* lengths contradict each other: malformed, if it is for a VIP */
	__u8 syn;     /* TCP with SYN and without ACK */
	__u8 closing; /* TCP with FIN or RST */
	__u8 held;    /* stayed with the slot's previous owner for want of an entry */
	__be16 id;    /* IPv4 identification */
	__be16 df;    /* "don't fragment" as in an IPv4 header, or zero; always set for IPv6 */
	__u64 hash;
};

#endif
