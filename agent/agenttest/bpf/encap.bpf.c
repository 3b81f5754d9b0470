// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Test only: the load balancer of a test, as an egress program on the client's interface. It puts
 * an outer header on what goes to a VIP, whole GSO packets included. User space writes the header.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Written by the test at any time. */
__u8 outer_v4[20];
__u8 outer_v6[40];
__u8 vip_v4[4];
__u8 vip_v6[16];
__u8 outer_ecn;
__u8 crossed; /* the outer header is of the other family */
__u8 bare;    /* no outer header at all */

static __always_inline __u16 header_sum(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;

	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int is_vip_v4(struct __sk_buff *skb)
{
	__u8 to[4];

	if (bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, daddr), to, sizeof(to)))
		return 0;
	for (int i = 0; i < 4; i++)
		if (to[i] != vip_v4[i])
			return 0;
	return 1;
}

static __always_inline int is_vip_v6(struct __sk_buff *skb)
{
	__u8 to[16];

	if (bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, daddr), to, sizeof(to)))
		return 0;
	for (int i = 0; i < 16; i++)
		if (to[i] != vip_v6[i])
			return 0;
	return 1;
}

static __always_inline int set_ethertype(struct __sk_buff *skb, __be16 type)
{
	return bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &type, sizeof(type), 0);
}

static __always_inline int encap_v4(struct __sk_buff *skb, __u8 protocol)
{
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	struct iphdr ip;

	if (bpf_skb_adjust_room(skb, sizeof(ip), BPF_ADJ_ROOM_MAC, flags))
		return TC_ACT_SHOT;
	__builtin_memcpy(&ip, outer_v4, sizeof(ip));
	ip.tos = outer_ecn;
	ip.tot_len = bpf_htons(skb->len - ETH_HLEN);
	ip.protocol = protocol;
	ip.check = 0;
	ip.check = header_sum(&ip);
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) ||
	    set_ethertype(skb, bpf_htons(ETH_P_IP)))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

static __always_inline int encap_v6(struct __sk_buff *skb, __u8 protocol)
{
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
	struct ipv6hdr ip;

	if (bpf_skb_adjust_room(skb, sizeof(ip), BPF_ADJ_ROOM_MAC, flags))
		return TC_ACT_SHOT;
	__builtin_memcpy(&ip, outer_v6, sizeof(ip));
	((__u8 *)&ip)[1] = outer_ecn << 4;
	ip.payload_len = bpf_htons(skb->len - ETH_HLEN - sizeof(ip));
	ip.nexthdr = protocol;
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) ||
	    set_ethertype(skb, bpf_htons(ETH_P_IPV6)))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

SEC("tc")
int encap(struct __sk_buff *skb)
{
	if (bare)
		return TC_ACT_OK;
	if (skb->protocol == bpf_htons(ETH_P_IP) && is_vip_v4(skb))
		return crossed ? encap_v6(skb, IPPROTO_IPIP) : encap_v4(skb, IPPROTO_IPIP);
	if (skb->protocol == bpf_htons(ETH_P_IPV6) && is_vip_v6(skb))
		return crossed ? encap_v4(skb, IPPROTO_IPV6) : encap_v6(skb, IPPROTO_IPV6);
	return TC_ACT_OK;
}

char __license[] SEC("license") = "Dual BSD/GPL";
