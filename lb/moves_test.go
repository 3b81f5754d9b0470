package lb_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-lb/sluice/lb"
)

func movesOf(t *testing.T, old, new lb.Config) []lb.Move {
	t.Helper()
	tables := func(c lb.Config) map[string]*lb.Table {
		out := map[string]*lb.Table{}
		for _, p := range c.Pools {
			out[p.Name] = lb.BuildTable(lb.Seed{1}, p)
		}
		return out
	}
	old, new = old.Normalize(), new.Normalize()
	return lb.Moves(old, new, tables(old), tables(new))
}

func movingConfig() lb.Config {
	backend := func(name, address string) lb.Backend {
		return lb.Backend{Name: name, Address: netip.MustParseAddr(address), Weight: 100, Scale: lb.ScaleOne}
	}
	vip := func(name, address, pool string, ports ...uint16) lb.VIP {
		return lb.VIP{Name: name, Address: netip.MustParseAddr(address), Protocol: lb.TCP, Ports: ports, Pool: pool}
	}
	return lb.Config{
		Pools: []lb.Pool{
			{Name: "blue", Backends: []lb.Backend{backend("a", "10.9.3.1"), backend("b", "10.9.3.2"), backend("c", "10.9.3.3"), backend("d", "10.9.3.4")}},
			{Name: "green", Backends: []lb.Backend{backend("a", "10.9.4.1")}},
		},
		VIPs: []lb.VIP{vip("api", "198.51.100.1", "blue", 443), vip("dns", "198.51.100.2", "green", 53), vip("web", "198.51.100.3", "blue", 80, 81)},
	}
}

func TestMoves(t *testing.T) {
	const slots = 1024
	all := lb.Move{Slots: slots, Moved: slots}
	gone := lb.Move{Slots: slots, Moved: slots, Lost: slots}
	for _, row := range []struct {
		name string
		edit func(*lb.Config)
		want map[string]lb.Move
	}{
		{"nothing", func(*lb.Config) {}, nil},
		{"a-vip-is-added", func(c *lb.Config) {
			v := c.VIPs[0]
			v.Name, v.Ports = "new", []uint16{8443}
			c.VIPs = append(c.VIPs, v)
		}, nil},
		{"a-vip-is-deleted", func(c *lb.Config) { c.VIPs = c.VIPs[:2] }, map[string]lb.Move{"web": gone}},
		{"a-port-is-closed", func(c *lb.Config) { c.VIPs[2].Ports = []uint16{80} }, map[string]lb.Move{"web": gone}},
		{"a-port-is-opened", func(c *lb.Config) { c.VIPs[2].Ports = []uint16{80, 81, 82} }, nil},
		{"the-address-changes", func(c *lb.Config) { c.VIPs[2].Address = netip.MustParseAddr("198.51.100.9") }, map[string]lb.Move{"web": gone}},
		{"another-pool", func(c *lb.Config) { c.VIPs[1].Pool = "blue" }, map[string]lb.Move{"dns": all}},
		{"a-pool-is-renamed", func(c *lb.Config) { c.Pools[1].Name, c.VIPs[1].Pool = "red", "red" }, nil},
		{"a-backend-is-renamed", func(c *lb.Config) { c.Pools[1].Backends[0].Name = "z" }, nil},
		{"a-backend-gets-another-address", func(c *lb.Config) { c.Pools[1].Backends[0].Address = netip.MustParseAddr("10.9.4.9") }, map[string]lb.Move{"dns": all}},
		{"no-backend-is-left", func(c *lb.Config) { c.Pools[1].Backends = nil }, map[string]lb.Move{"dns": gone}},
		{"a-table-grows", func(c *lb.Config) { c.Pools[1].Slots = 4096 }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := movingConfig()
			row.edit(&c)
			got := movesOf(t, movingConfig(), c)
			if !slices.IsSortedFunc(got, func(a, b lb.Move) int { return strings.Compare(a.VIP, b.VIP) }) || len(got) != len(row.want) {
				t.Fatalf("got %+v, want %+v", got, row.want)
			}
			for _, m := range got {
				want := row.want[m.VIP]
				want.VIP = m.VIP
				if m != want {
					t.Errorf("got %+v, want %+v", m, want)
				}
			}
		})
	}
}

// Scaling one of four equal backends to nothing moves its quarter, for every VIP of the pool and for no other.
func TestMovesOfAScaledBackend(t *testing.T) {
	c := movingConfig()
	c.Pools[0].Backends[0].Scale = 0
	got := movesOf(t, movingConfig(), c)
	if len(got) != 2 || got[0].VIP != "api" || got[1].VIP != "web" {
		t.Fatalf("got %+v, want moves of api and web", got)
	}
	for _, m := range got {
		if m.Slots != 1024 || m.Moved != 256 || m.Lost != 0 || m.Share() != 0.25 {
			t.Errorf("got %+v (share %v), want 256 of 1024 slots", m, m.Share())
		}
	}
	// And back: nothing is in excess.
	if back := movesOf(t, c, movingConfig()); len(back) != 2 || back[0].Moved != 256 {
		t.Errorf("back: %+v", back)
	}
}
