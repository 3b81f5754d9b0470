package lb

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// backend is a backend with defaults.
func backend(name, address string) Backend {
	b := Backend{Name: name, Weight: DefaultWeight, Scale: ScaleOne}
	if address != "" {
		b.Address = netip.MustParseAddr(address)
	}
	return b
}

// vip is a TCP VIP of pool web, where ports name none on port 80.
func vip(name, address string, ports ...uint16) VIP {
	if len(ports) == 0 {
		ports = []uint16{80}
	}
	v := VIP{Name: name, Protocol: TCP, Ports: ports, Pool: "web"}
	if address != "" {
		v.Address = netip.MustParseAddr(address)
	}
	return v
}

// validConfig has two pools and three VIPs without a fault or a warning.
func validConfig() Config {
	return Config{
		Pools: []Pool{
			{Name: "web", Backends: []Backend{backend("web-1", "10.9.3.2"), backend("web-2", "10.9.4.2")}},
			{Name: "web6", Backends: []Backend{backend("web-1", "fd00:9::2")}},
		},
		VIPs: []VIP{
			vip("web", "198.51.100.10", 80, 443),
			vip("dns", "198.51.100.10", 53),
			{Name: "web6", Address: netip.MustParseAddr("2001:db8::10"), Protocol: UDP, Ports: []uint16{443}, Pool: "web6"},
		},
	}
}

func TestValidateAccepts(t *testing.T) {
	udp := validConfig()
	udp.VIPs = append(udp.VIPs, vip("web-udp", "198.51.100.10", 80, 443))
	udp.VIPs[3].Protocol = UDP
	empty := validConfig()
	empty.Pools[0].Backends = nil
	large := validConfig()
	large.Pools[0] = testPool(1000, 0)
	for _, row := range []struct {
		name   string
		config Config
	}{
		{"valid", validConfig()}, {"zero", Config{}}, {"same-port-other-protocol", udp}, {"no-backends", empty}, {"thousand-backends", large},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := row.config.Validate(DefaultLimits); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestValidateRefuses makes one fault at a time in the valid configuration and expects just the violations listed.
func TestValidateRefuses(t *testing.T) {
	badAddress := func(a string) func(*Config) {
		return func(c *Config) { c.Pools[0].Backends[1].Address = netip.MustParseAddr(a) }
	}
	for _, row := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"pool-name", func(c *Config) { c.Pools[1].Name = "Web6"; c.VIPs[2].Pool = "Web6" },
			[]string{`pools[1].name: pool name "Web6" is not valid (use 1 to 63 of a-z, 0-9, '.' and '-', the first a letter or digit)`}},
		{"backend-name", func(c *Config) { c.Pools[0].Backends[0].Name = "" },
			[]string{`pools[0].backends[0].name: pool "web": backend name "" is not valid (use 1 to 63 of a-z, 0-9, '.' and '-', the first a letter or digit)`}},
		{"vip-name", func(c *Config) { c.VIPs[0].Name = "-web" },
			[]string{`vips[0].name: vip name "-web" is not valid (use 1 to 63 of a-z, 0-9, '.' and '-', the first a letter or digit)`}},
		{"pool-twice", func(c *Config) {
			c.Pools = append(c.Pools, Pool{Name: "web"})
			c.Pools[2].Backends = c.Pools[0].Backends
		},
			[]string{`pools[2].name: pool "web" exists already at pools[0] (rename or remove one)`}},
		{"backend-twice", func(c *Config) { c.Pools[0].Backends[1].Name = "web-1" },
			[]string{`pools[0].backends[1].name: pool "web": backend "web-1" exists already at pools[0].backends[0] (rename or remove one)`}},
		{"vip-twice", func(c *Config) { c.VIPs[1].Name = "web" },
			[]string{`vips[1].name: vip "web" exists already at vips[0] (rename or remove one)`}},
		{"backend-address-missing", func(c *Config) { c.Pools[0].Backends[1].Address = netip.Addr{} },
			[]string{`pools[0].backends[1].address: backend "web-2" of pool "web": address is missing or not valid (use an IPv4 or IPv6 address)`}},
		{"backend-address-unspecified", badAddress("0.0.0.0"),
			[]string{`pools[0].backends[1].address: backend "web-2" of pool "web": address 0.0.0.0 is unspecified (use a unicast address)`}},
		{"backend-address-multicast", badAddress("224.0.0.1"),
			[]string{`pools[0].backends[1].address: backend "web-2" of pool "web": address 224.0.0.1 is multicast (use a unicast address)`}},
		{"backend-address-loopback", badAddress("127.0.0.1"),
			[]string{`pools[0].backends[1].address: backend "web-2" of pool "web": address 127.0.0.1 is a loopback address (use one that other hosts reach)`}},
		{"backend-address-broadcast", badAddress("255.255.255.255"),
			[]string{`pools[0].backends[1].address: backend "web-2" of pool "web": address 255.255.255.255 is broadcast (use a unicast address)`}},
		{"vip-address-mapped", func(c *Config) { c.VIPs[0].Address = netip.MustParseAddr("::ffff:198.51.100.10") },
			[]string{`vips[0].address: vip "web": address ::ffff:198.51.100.10 is IPv4 in IPv6 form (use 198.51.100.10)`}},
		{"vip-address-zone", func(c *Config) { c.VIPs[2].Address = netip.MustParseAddr("fe80::1%eth0") },
			[]string{`vips[2].address: vip "web6": address fe80::1%eth0 has a zone (use an address that is not link-local)`}},
		{"vip-address-multicast", func(c *Config) { c.VIPs[2].Address = netip.MustParseAddr("ff02::1") },
			[]string{`vips[2].address: vip "web6": address ff02::1 is multicast (use a unicast address)`}},
		{"vip-address-missing", func(c *Config) { c.VIPs[2].Address = netip.Addr{} },
			[]string{`vips[2].address: vip "web6": address is missing or not valid (use an IPv4 or IPv6 address)`}},
		{"backend-address-twice", func(c *Config) { c.Pools[0].Backends[1].Address = c.Pools[0].Backends[0].Address },
			[]string{`pools[0].backends[1].address: backend "web-2" of pool "web" has the address 10.9.3.2 of backend "web-1" (remove one; use weight for a larger share)`}},
		{"backend-is-vip", badAddress("198.51.100.10"),
			[]string{`pools[0].backends[1].address: backend "web-2" of pool "web" has the address 198.51.100.10 of vip "web" (use the address of the server itself)`}},
		{"weight", func(c *Config) { c.Pools[0].Backends[0].Weight = MaxWeight + 1 },
			[]string{`pools[0].backends[0].weight: backend "web-1" of pool "web": weight 65536 is out of range (use 0 to 65535)`}},
		{"scale", func(c *Config) { c.Pools[0].Backends[0].Scale = MaxScale + 500 },
			[]string{`pools[0].backends[0].scale: backend "web-1" of pool "web": scale 100.5 is out of range (use 0 to 100)`}},
		{"encap", func(c *Config) { c.Pools[0].Encap = 9 },
			[]string{`pools[0].encap: pool "web": encap(9) is not known (use ipip or l2)`}},
		{"slots-power", func(c *Config) { c.Pools[0].Slots = 3000 },
			[]string{`pools[0].slots: pool "web": slots 3000 must be a power of two from 1024 to 262144 (or leave it out)`}},
		{"slots-small", func(c *Config) { c.Pools[0].Slots = 512 },
			[]string{`pools[0].slots: pool "web": slots 512 must be a power of two from 1024 to 262144 (or leave it out)`}},
		{"slots-large", func(c *Config) { c.Pools[0].Slots = 1 << 19 },
			[]string{`pools[0].slots: pool "web": slots 524288 must be a power of two from 1024 to 262144 (or leave it out)`}},
		{"too-many-backends", func(c *Config) { c.Pools[0] = testPool(MaxBackends+1, 1024) },
			[]string{
				`pools[0].backends: pool "web" has 1025 backends, a pool takes at most 1024 (split the pool)`,
				`pools[0].slots: pool "web": slots 1024 is less than its 1025 backends (use 262144, or leave it out)`,
			}},
		{"protocol", func(c *Config) { c.VIPs[0].Protocol = 1 },
			[]string{`vips[0].protocol: vip "web": protocol(1) is not known (use tcp or udp)`}},
		{"no-ports", func(c *Config) { c.VIPs[0].Ports = nil },
			[]string{`vips[0].ports: vip "web" has no ports (name at least one from 1 to 65535)`}},
		{"port-zero", func(c *Config) { c.VIPs[0].Ports[1] = 0 },
			[]string{`vips[0].ports[1]: vip "web": port 0 is out of range (use 1 to 65535)`}},
		{"port-twice", func(c *Config) { c.VIPs[0].Ports[1] = 80 },
			[]string{`vips[0].ports[1]: vip "web" names port 80 twice (remove one)`}},
		{"pool-misspelt", func(c *Config) { c.VIPs[0].Pool = "wbe" },
			[]string{`vips[0].pool: vip "web": pool "wbe" does not exist (did you mean "web"?)`}},
		{"pool-unknown", func(c *Config) { c.VIPs[0].Pool = "database" },
			[]string{`vips[0].pool: vip "web": pool "database" does not exist (create it, or name one that exists)`}},
		{"no-pools", func(c *Config) { c.Pools, c.VIPs = nil, c.VIPs[:1] },
			[]string{`vips[0].pool: vip "web": pool "web" does not exist (there are no pools: create it first)`}},
		{"collision", func(c *Config) { c.VIPs[1].Ports = []uint16{53, 443} },
			[]string{`vips[1].ports[1]: vips "web" and "dns" both claim tcp 198.51.100.10:443 (change the port of one)`}},
		{"own-encap", func(c *Config) { c.Pools[0].Backends[1].Encap = OverrideEncap(9) },
			[]string{`pools[0].backends[1].encap: backend "web-2" of pool "web": encap(9) is not known (use ipip or l2, or leave it out)`}},
		{"two-faults", func(c *Config) { c.VIPs[0].Ports[0] = 0; c.Pools[0].Slots = 7 },
			[]string{
				`pools[0].slots: pool "web": slots 7 must be a power of two from 1024 to 262144 (or leave it out)`,
				`vips[0].ports[0]: vip "web": port 0 is out of range (use 1 to 65535)`,
			}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := validConfig()
			row.change(&c)
			checkViolations(t, c.Validate(DefaultLimits), row.want)
		})
	}
}

func checkViolations(t *testing.T, err error, want []string) {
	t.Helper()
	var violations Violations
	if !errors.As(err, &violations) {
		t.Fatalf("error %v, want %d violations", err, len(want))
	}
	got := strings.Split(violations.Error(), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("violations\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestValidateEntries fills the VIP table by ports alone.
func TestValidateEntries(t *testing.T) {
	config := validConfig()
	var want string
	for i := range config.VIPs {
		if config.VIPs[i].Address.Is4() {
			config.VIPs[i].Ports = []uint16{1, 2, 3, 4, 5, 6, 7, 8}
			config.VIPs = config.VIPs[i : i+1]
			want = "vips: 9 IPv4 entries, one for each port of a VIP and one for each address, but the node setting limits.vips is 4 and has room for 8 (raise limits.vips)"
			break
		}
	}
	limits := Limits{VIPs: 4, Backends: 64, Slots: 1 << 16}
	if err := config.Validate(limits); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, expected %q", err, want)
	}
	limits.VIPs = 5
	if err := config.Validate(limits); err != nil {
		t.Errorf("one more VIP is enough, but: %v", err)
	}
}

func TestValidateLimits(t *testing.T) {
	for _, row := range []struct {
		name   string
		limits Limits
		want   []string
	}{
		{"just-enough", Limits{VIPs: 6, Backends: 3, Slots: 2048}, nil},
		{"vips", Limits{VIPs: 2, Backends: 3, Slots: 2048}, []string{
			"vips: 3 VIPs, but the node setting limits.vips is 2 and has room for 2 (raise limits.vips)",
		}},
		{"backends", Limits{VIPs: 6, Backends: 2, Slots: 2048}, []string{
			"pools: 3 backends, but the node setting limits.backends is 2 and has room for 2 (raise limits.backends)",
		}},
		{"slots", Limits{VIPs: 6, Backends: 3, Slots: 1024}, []string{
			"pools: 2048 slots, but the node setting limits.slots is 1024 and has room for 1024 (raise limits.slots)",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := validConfig().Validate(row.limits)
			if row.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkViolations(t, err, row.want)
		})
	}
}

func TestLimitsValidate(t *testing.T) {
	if err := DefaultLimits.Validate(); err != nil {
		t.Error(err)
	}
	for _, row := range []struct {
		limits Limits
		want   string
	}{
		{Limits{VIPs: 0, Backends: 1, Slots: 1024}, "limits.vips: 0 "},
		{Limits{VIPs: 1, Backends: MaxBackendIndex + 1, Slots: 1024}, "limits.backends: 1048576 "},
		{Limits{VIPs: 1, Backends: 1, Slots: 1023}, "limits.slots: 1023 "},
	} {
		if err := row.limits.Validate(); err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%+v: error %v, want %q", row.limits, err, row.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	if w := validConfig().Warnings(); len(w) != 0 {
		t.Errorf("warnings of a configuration without fault: %q", w)
	}
	c := validConfig()
	c.Pools[0].Backends[0].Weight = 0
	c.Pools[0].Backends[1].Scale = 0
	c.Pools[1].Backends = nil
	few := testPool(9, 2048)
	few.Name = "few"
	c.Pools = append(c.Pools, few)
	want := []string{
		`pool "few": 2048 slots for 9 backends are fewer than 256 each: shares will be uneven (use 4096 slots, or leave slots out)`,
		`pool "few": no vip uses it`,
		`pool "web": the weights of all 2 backends are 0: packets to its vips are dropped`,
		`pool "web6" has no backends: packets to its vips are dropped`,
	}
	if got := c.Warnings(); !slices.Equal(got, want) {
		t.Errorf("warnings\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "0": true, "web-1.example": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, ".a": false, "A": false, "a_b": false, "a/b": false, "é": false, strings.Repeat("a", 64): false,
	} {
		if ValidName(name) != want {
			t.Errorf("ValidName(%q) = %v, want %v", name, !want, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want int
	}{{"web", "web", 0}, {"wbe", "web", 2}, {"web", "webs", 1}, {"eb", "web", 1}, {"abc", "xyz", 3}, {"kitten", "sitting", 3}, {"a", "abcdef", 6}} {
		if got := editDistance(row.a, row.b); got != row.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", row.a, row.b, got, row.want)
		}
	}
}

// FuzzValidate feeds arbitrary configurations: Validate never panics, and what it accepts can be normalized, planned and
// published without an error.
func FuzzValidate(f *testing.F) {
	f.Add([]byte("web\x00\x0a\x09\x03\x02"), uint32(0))
	f.Add([]byte{1, 1, 'a', 1, 'b', 10, 0, 0, 1, 100, 1, 'v', 1, 'a', 198, 51, 100, 1, 6, 1, 0, 80}, uint32(1024))
	f.Fuzz(func(t *testing.T, data []byte, slots uint32) {
		c := fuzzConfig(data, slots)
		limits := Limits{VIPs: 64, Backends: 64, Slots: 1 << 19}
		err := c.Validate(limits)
		c.Warnings()
		if err != nil {
			var violations Violations
			if err.Error() == "" || !errors.As(err, &violations) || len(violations) == 0 {
				t.Fatalf("an error without a violation: %#v", err)
			}
			return
		}
		if _, err := Plan(nil, PlanInput{Config: c, Limits: limits, Revision: 1}); err != nil {
			t.Fatalf("planning a valid configuration: %v", err)
		}
	})
}

// fuzzConfig reads a configuration from bytes, zeros after the last.
func fuzzConfig(data []byte, slots uint32) Config {
	next := func() byte {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return b
	}
	word := func() string {
		w := make([]byte, next()%4)
		for i := range w {
			w[i] = next()
		}
		return string(w)
	}
	address := func() netip.Addr {
		switch a, b, c, d := next(), next(), next(), next(); next() % 4 {
		case 0:
			return netip.AddrFrom16([16]byte{0: a, 1: b, 14: c, 15: d})
		case 1:
			return netip.AddrFrom16([16]byte{10: 255, 11: 255, 12: a, 13: b, 14: c, 15: d})
		default:
			return netip.AddrFrom4([4]byte{a, b, c, d})
		}
	}
	var c Config
	for range next() % 4 {
		p := Pool{Name: word(), Encap: Encap(next() % 2), Slots: slots}
		for range next() % 4 {
			p.Backends = append(p.Backends, Backend{
				Name: word(), Address: address(), Weight: uint32(next()) << (next() % 24), Scale: Scale(next()) << (next() % 24),
			})
		}
		c.Pools = append(c.Pools, p)
	}
	for range next() % 4 {
		v := VIP{Name: word(), Pool: word(), Address: address(), Protocol: Protocol(next())}
		for range next() % 4 {
			v.Ports = append(v.Ports, uint16(next())<<8|uint16(next()))
		}
		c.VIPs = append(c.VIPs, v)
	}
	return c
}

func BenchmarkValidate(b *testing.B) {
	var c Config
	for i := range 100 {
		p := testPool(100, 0)
		p.Name = fmt.Sprintf("pool-%d", i)
		c.Pools = append(c.Pools, p)
	}
	for i := range 10000 {
		c.VIPs = append(c.VIPs, VIP{
			Name: fmt.Sprintf("vip-%d", i), Protocol: TCP, Ports: []uint16{80, 443}, Pool: fmt.Sprintf("pool-%d", i%100),
			Address: netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}),
		})
	}
	limits := Limits{VIPs: 1 << 16, Backends: 1 << 16, Slots: 1 << 24}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Validate(limits); err != nil {
			b.Fatal(err)
		}
	}
}
