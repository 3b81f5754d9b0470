package lb

import (
	"net/netip"
	"slices"
)

// Move says what a change of the configuration does to one VIP that has been there before. Flows are spread evenly over
// slots by a keyed hash, so Moved / Slots is also the share of the VIP's flows that are in slots that move.
type Move struct {
	// VIP is its name.
	VIP string
	// Slots is the size of its pool's slot table; where the size changes, of the larger table.
	Slots int
	// Moved is how many slots send new flows to another server than before, or to none. Flows that are under way are kept
	// where their server stays reachable. A VIP that is deleted, or that clients find under another address, protocol or
	// port, loses all of them.
	Moved int
	// Lost is how many of the moved ones send them to none.
	Lost int
}

// Share is the part of the VIP's flows that moves, 0 to 1.
func (m Move) Share() float64 {
	if m.Slots == 0 {
		return 0
	}
	return float64(m.Moved) / float64(m.Slots)
}

// Moves lists the VIPs whose flows a change moves, sorted by name. Both configurations are normalized; the tables, by pool
// name, are those in use before and after. A server is known by its address and encap: a backend that is renamed moves
// nothing, one that gets another address does.
func Moves(old, new Config, oldTables, newTables map[string]*Table) []Move {
	type pair struct{ old, new string }
	pairs := map[pair]Move{}
	after := make(map[string]VIP, len(new.VIPs))
	for _, v := range new.VIPs {
		after[v.Name] = v
	}
	before, behind := serversByPool(old, oldTables), serversByPool(new, newTables)
	var moves []Move
	for _, v := range old.VIPs {
		is, stays := after[v.Name]
		p := pair{v.Pool, is.Pool}
		if !stays || !reachedAlike(v, is) {
			p.new = "" // not a pool's name: nothing answers any more
		}
		m, known := pairs[p]
		if !known {
			m = moveSlots(before[p.old], behind[p.new])
			pairs[p] = m
		}
		if m.Moved > 0 {
			m.VIP = v.Name
			moves = append(moves, m)
		}
	}
	return moves
}

// reachedAlike tells whether every packet that the old VIP took is still taken by the new one.
func reachedAlike(old, new VIP) bool {
	if old.Address != new.Address || old.Protocol != new.Protocol {
		return false
	}
	open := map[uint16]bool{}
	for _, port := range new.Ports {
		open[port] = true
	}
	for _, port := range old.Ports {
		if !open[port] {
			return false
		}
	}
	return true
}

// server is where packets go; the zero value is nowhere.
type server struct {
	address netip.Addr
	encap   Encap
}

// poolServers is a slot table with servers in place of indexes.
type poolServers struct {
	table   *Table
	servers []server
}

func serversByPool(c Config, tables map[string]*Table) map[string]poolServers {
	out := make(map[string]poolServers, len(c.Pools))
	for _, p := range c.Pools {
		servers := make([]server, len(p.Backends))
		for i, b := range p.Backends {
			servers[i] = server{b.Address, p.Encap}
		}
		out[p.Name] = poolServers{tables[p.Name], servers}
	}
	return out
}

func (p poolServers) slots() int {
	if p.table == nil {
		return 0
	}
	return len(p.table.Owners)
}

// at is the server of a slot, where slot s of a small table covers s, s+size, s+2*size and so on of a larger one.
func (p poolServers) at(s int) server {
	if p.slots() == 0 {
		return server{}
	}
	owner := p.table.Owners[s%p.slots()]
	if owner == NoOwner {
		return server{}
	}
	return p.servers[owner]
}

func moveSlots(old, new poolServers) Move {
	m := Move{Slots: max(old.slots(), new.slots())}
	if old.table != nil && old.table == new.table && slices.Equal(old.servers, new.servers) {
		return m
	}
	for s := range m.Slots {
		was, is := old.at(s), new.at(s)
		if was == is || was == (server{}) {
			continue // an empty slot has no flows to move
		}
		m.Moved++
		if is == (server{}) {
			m.Lost++
		}
	}
	return m
}
