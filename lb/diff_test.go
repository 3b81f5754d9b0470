package lb

import (
	"net/netip"
	"reflect"
	"testing"
)

// buildTables builds the tables of all pools.
func buildTables(c Config) map[string]*Table {
	tables := map[string]*Table{}
	for _, p := range c.Normalize().Pools {
		tables[p.Name] = BuildTable(Seed{}, p)
	}
	return tables
}

func TestDiff(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*Config)
		want   []Change
	}{
		{"nothing", func(*Config) {}, nil},
		{"order", func(c *Config) {
			c.Pools[0], c.Pools[1] = c.Pools[1], c.Pools[0]
			c.VIPs[0].Ports = []uint16{443, 80}
		}, nil},
		{"vip-created", func(c *Config) { c.VIPs = append(c.VIPs, vip("new", "198.51.100.11")) },
			[]Change{{Kind: Created, Object: "vip/new"}}},
		{"vip-configured", func(c *Config) {
			v := &c.VIPs[2]
			v.Address, v.Protocol, v.Ports, v.Pool = netip.MustParseAddr("198.51.100.12"), TCP, []uint16{8080, 80}, "web"
		}, []Change{{Kind: Configured, Object: "vip/web6", Detail: "address: 2001:db8::10 -> 198.51.100.12, protocol: udp -> tcp, ports: [443] -> [80 8080], pool: web6 -> web"}}},
		{"pool-and-vip-deleted", func(c *Config) { c.Pools, c.VIPs = c.Pools[:1], c.VIPs[:2] },
			[]Change{{Kind: Deleted, Object: "backend/web6/web-1"}, {Kind: Deleted, Object: "pool/web6"}, {Kind: Deleted, Object: "vip/web6"}}},
		{"backend-address", func(c *Config) { c.Pools[0].Backends[0].Address = netip.MustParseAddr("10.9.3.3") },
			[]Change{{Kind: Configured, Object: "backend/web/web-1", Detail: "address: 10.9.3.2 -> 10.9.3.3"}}},
		{"backend-out", func(c *Config) { c.Pools[0].Backends[0].Scale = 0 },
			[]Change{
				{Kind: Configured, Object: "backend/web/web-1", Detail: "scale: 1 -> 0"},
				{Kind: Configured, Object: "pool/web", SlotsMoved: 512},
			}},
		{"slots-named", func(c *Config) { c.Pools[0].Slots = 1024 },
			[]Change{{Kind: Configured, Object: "pool/web", Detail: "slots: 1024 (default) -> 1024"}}},
		{"backend-removed", func(c *Config) { c.Pools[0].Backends = c.Pools[0].Backends[1:] },
			[]Change{{Kind: Deleted, Object: "backend/web/web-1"}, {Kind: Configured, Object: "pool/web", SlotsMoved: 512}}},
		{"backend-renamed", func(c *Config) { c.Pools[1].Backends[0].Name = "web-9" },
			[]Change{
				{Kind: Deleted, Object: "backend/web6/web-1"}, {Kind: Created, Object: "backend/web6/web-9"},
				{Kind: Configured, Object: "pool/web6", SlotsMoved: 1024},
			}},
		{"pool-emptied", func(c *Config) { c.Pools[1].Backends = nil },
			[]Change{{Kind: Deleted, Object: "backend/web6/web-1"}, {Kind: Configured, Object: "pool/web6", SlotsMoved: 1024}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			old, new := validConfig(), validConfig()
			row.change(&new)
			if got := Diff(old, new, buildTables(old), buildTables(new)); !reflect.DeepEqual(got, row.want) {
				t.Errorf("changes\n  %+v\nwant\n  %+v", got, row.want)
			}
		})
	}
}

// TestSlotsMovedAcrossSizes: a table written twice in a row moves no flow.
func TestSlotsMovedAcrossSizes(t *testing.T) {
	p := testPool(3, 1024)
	small := BuildTable(Seed{}, p)
	large := &Table{Owners: append(append([]uint16{}, small.Owners...), small.Owners...)}
	if n := slotsMoved(p, p, small, large); n != 0 {
		t.Errorf("%d slots move from a table to its double", n)
	}
	large.Owners[1500] = NoOwner
	if n := slotsMoved(p, p, large, small); n != 1 {
		t.Errorf("%d slots move, want the one that was empty", n)
	}
}

func TestFormatScale(t *testing.T) {
	for s, want := range map[Scale]string{0: "0", 1: "0.001", 500: "0.5", ScaleOne: "1", 1250: "1.25", MaxScale: "100"} {
		if got := formatScale(s); got != want {
			t.Errorf("formatScale(%d) = %q, want %q", s, got, want)
		}
	}
}
