package health

import "github.com/sluice-lb/sluice/lb"

// member is one backend of a pool as its checks and its next hop leave it.
type member struct {
	key       string
	enabled   bool
	condition lb.Condition
}

// poolConditions adds the conditions that count for a pool to out, which packets are forwarded by. Where so few of the
// enabled backends are up that the pool panics none counts, and the answer is true.
func poolConditions(threshold lb.PanicThreshold, members []member, out lb.Conditions) (up, enabled int, panics bool) {
	for _, m := range members {
		if m.enabled {
			enabled++
			if m.condition == lb.ConditionUp {
				up++
			}
		}
	}
	if threshold.Panics(up, enabled) {
		return up, enabled, true
	}
	for _, m := range members {
		if m.condition != lb.ConditionUp {
			out[m.key] = m.condition
		}
	}
	return up, enabled, false
}
