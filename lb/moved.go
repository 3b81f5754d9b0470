package lb

import "time"

// MovedVIP is a VIP that got another pool. Its flows are kept with the pool that it had, as those of a slot are with its
// previous owner, for that pool's drain_max: new flows go to the new pool, each with an entry.
type MovedVIP struct {
	// Previous names the pool that it had.
	Previous string
	Since    time.Time
}

// previousPool is the index, plus one, of the pool that a VIP had before; 0 where it had none.
func (s *State) previousPool(vip string) uint32 {
	moved, ok := s.Moved[vip]
	if !ok {
		return 0
	}
	return s.Layout.Pools[moved.Previous].Index + 1
}

// moveVIPs notes the VIPs that get another pool, and forgets those that have for long enough. A pool that is removed takes
// its flows along.
func (p *planner) moveVIPs() {
	before := make(map[string]VIP, len(p.prev.Config.VIPs))
	for _, vip := range p.prev.Config.VIPs {
		before[vip.Name] = vip
	}
	for _, vip := range p.next.Config.VIPs {
		old, ok := before[vip.Name]
		if !ok || old.Address != vip.Address || old.Protocol != vip.Protocol {
			continue // another VIP: its flows have another destination
		}
		moved, moving := p.prev.Moved[vip.Name]
		if old.Pool != vip.Pool {
			if !moving { // flows of an earlier, overlapping move have entries; the default stays with the first pool
				moved.Previous = old.Pool
			}
			moved.Since, moving = p.now, true
		}
		pool, there := p.next.Config.Pool(moved.Previous)
		if moving && there && p.now.Sub(moved.Since) < pool.drainMax() {
			p.next.Moved[vip.Name] = moved
		}
	}
}
