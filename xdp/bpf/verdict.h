/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Verdict to XDP action: the only such switch. */
#ifndef SLUICE_VERDICT_H
#define SLUICE_VERDICT_H

#include <linux/bpf.h>
#include "config.h"

static __always_inline int action_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_FORWARDED:
		return XDP_TX;
	case VERDICT_REDIRECTED:
		return XDP_REDIRECT;
	case VERDICT_PASS_NOT_IP:
	case VERDICT_PASS_UNREADABLE:
	case VERDICT_PASS_PROTOCOL:
	case VERDICT_PASS_FRAGMENT:
	case VERDICT_PASS_NO_VIP:
		return XDP_PASS;
	case VERDICT_VIP_NO_PORT:
		return unmatched_drop ? XDP_DROP : XDP_PASS;
	case VERDICT_MALFORMED:
	case VERDICT_NO_BACKEND:
	case VERDICT_NO_NEIGHBOUR:
	case VERDICT_EGRESS_UNMANAGED:
	case VERDICT_TOO_BIG:
	case VERDICT_NO_HEADROOM:
	case VERDICT_BAD_TABLE:
	case VERDICT_OFF_SEGMENT:
		return XDP_DROP;
	case VERDICT_NEXT:
	case VERDICT_COUNT:
		break;
	}
	return XDP_ABORTED;
}

#endif
