// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The backend's side of the tunnel, as two programs of the traffic control hooks of an interface:
 * ingress takes the outer header off, egress keeps clients from sending segments that do not fit
 * with one. Replies never pass the load balancer.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "decap.h"
#include "mss.h"
#include "verdict.h"

SEC("tc")
int sluice_ingress(struct __sk_buff *skb)
{
	return leave(skb, decapsulate(skb));
}

SEC("tc")
int sluice_egress(struct __sk_buff *skb)
{
	return leave(skb, clamp(skb));
}

/* Names enum verdict in the type information, from which the agent's constants are made. */
const enum verdict *verdict_unused __attribute__((unused));

char __license[] SEC("license") = "Dual BSD/GPL";
