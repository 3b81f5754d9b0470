package document_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/document"
	"github.com/sluice-lb/sluice/lb"
)

const example = `version: 1
pools:
  - name: empty
    slots: 2048
  - name: web
    backends:
      - {name: web-1, address: 10.9.3.2}
      - {name: web-2, address: 10.9.4.2, weight: 0}
      - {name: web-3, address: 10.9.5.2, scale: 0.5}
  - name: web6
    backends:
      - {name: web-1, address: 'fd00:9::1'}
vips:
  - name: web
    address: 198.51.100.10
    protocol: tcp
    ports: [80, 443]
    pool: web
  - name: web6
    address: 2001:db8::10
    protocol: udp
    ports: [443]
    pool: web6
`

const exampleJSON = `{
  "version": 1,
  "pools": [
    {
      "name": "empty",
      "slots": 2048
    },
    {
      "name": "web",
      "backends": [
        {
          "name": "web-1",
          "address": "10.9.3.2"
        },
        {
          "name": "web-2",
          "address": "10.9.4.2",
          "weight": 0
        },
        {
          "name": "web-3",
          "address": "10.9.5.2",
          "scale": 0.5
        }
      ]
    },
    {
      "name": "web6",
      "backends": [
        {
          "name": "web-1",
          "address": "fd00:9::1"
        }
      ]
    }
  ],
  "vips": [
    {
      "name": "web",
      "address": "198.51.100.10",
      "protocol": "tcp",
      "ports": [
        80,
        443
      ],
      "pool": "web"
    },
    {
      "name": "web6",
      "address": "2001:db8::10",
      "protocol": "udp",
      "ports": [
        443
      ],
      "pool": "web6"
    }
  ]
}
`

// shuffled is the example's configuration in another order.
var shuffled = lb.Config{
	VIPs: []lb.VIP{
		{Name: "web6", Address: netip.MustParseAddr("2001:db8::10"), Protocol: lb.UDP, Ports: []uint16{443}, Pool: "web6"},
		{Name: "web", Address: netip.MustParseAddr("198.51.100.10"), Protocol: lb.TCP, Ports: []uint16{443, 80}, Pool: "web"},
	},
	Pools: []lb.Pool{
		{Name: "web6", Backends: []lb.Backend{
			{Name: "web-1", Address: netip.MustParseAddr("fd00:9::1"), Weight: 100, Scale: lb.ScaleOne},
		}},
		{Name: "web", Backends: []lb.Backend{
			{Name: "web-3", Address: netip.MustParseAddr("10.9.5.2"), Weight: 100, Scale: 500},
			{Name: "web-2", Address: netip.MustParseAddr("10.9.4.2"), Weight: 0, Scale: lb.ScaleOne},
			{Name: "web-1", Address: netip.MustParseAddr("10.9.3.2"), Weight: 100, Scale: lb.ScaleOne},
		}},
		{Name: "empty", Slots: 2048},
	},
}

func TestMarshalIsCanonical(t *testing.T) {
	for _, tc := range []struct {
		name    string
		marshal func(lb.Config) ([]byte, error)
		want    string
	}{
		{"yaml", document.Marshal, example},
		{"json", document.MarshalJSON, exampleJSON},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mustSurvive(t, shuffled)
			got, err := tc.marshal(shuffled)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEmptyConfiguration(t *testing.T) {
	text, err := document.Marshal(lb.Config{})
	if err != nil || string(text) != "version: 1\n" {
		t.Fatalf("got %q, %v", text, err)
	}
	mustSurvive(t, lb.Config{})
}

// TestRoundTrip writes and reads random configurations: names that YAML could take for something else, every kind of
// scale and address.
func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		mustSurvive(t, randomConfig(r))
	}
}

func mustSurvive(t *testing.T, c lb.Config) {
	t.Helper()
	want := c.Normalize()
	for _, marshal := range []func(lb.Config) ([]byte, error){document.Marshal, document.MarshalJSON} {
		text, err := marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := document.Parse("round-trip", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !reflect.DeepEqual(want, got) {
			t.Fatalf("want %+v\ngot %+v\nfrom %s", want, got, text)
		}
	}
}

// awkward names are valid, and YAML reads them as something else where they are not quoted.
var awkward = []string{
	"1", "007", "0x1f", "0b1", "0o17", "1e3", "1.5", "1.", "true", "null", "yes", "on", "off", "n", "y", "no", "2026-01-02",
	"190.20", "1.2.3.4", "a--b", "e1", "inf", "nan", "0-0", "x-",
}

func randomConfig(r *rand.Rand) lb.Config {
	var c lb.Config
	name := func(i int) string {
		if i < len(awkward) {
			return awkward[i]
		}
		return fmt.Sprintf("n%d", i)
	}
	for p := range 1 + r.IntN(4) {
		pool := lb.Pool{Name: name(r.IntN(6)*5 + p), Encap: lb.Encaps[r.IntN(len(lb.Encaps))]}
		if _, taken := c.Pool(pool.Name); taken {
			continue
		}
		if r.IntN(2) == 0 {
			pool.Slots = lb.MinSlots << (2 + r.IntN(6))
		}
		pool.Health, pool.PanicThreshold = randomHealth(r), lb.PanicPercent(uint32(r.IntN(101)))
		for b := range r.IntN(12) {
			pool.Backends = append(pool.Backends, lb.Backend{
				Name: name((b + 7*p) % 60), Address: randomAddress(r, b),
				Weight: [...]uint32{0, 1, 100, lb.MaxWeight}[r.IntN(4)], Scale: lb.Scale(r.IntN(int(lb.MaxScale) + 1)),
				Encap: lb.EncapOverride(r.IntN(len(lb.Encaps) + 1)),
			})
		}
		c.Pools = append(c.Pools, pool)
	}
	for v := range r.IntN(8) {
		c.VIPs = append(c.VIPs, lb.VIP{
			Name: name(v), Address: randomAddress(r, 100+v), Protocol: lb.Protocols[r.IntN(2)],
			Ports: []uint16{uint16(1 + r.IntN(100)), 65535}, Pool: c.Pools[r.IntN(len(c.Pools))].Name,
		})
	}
	return c
}

// randomHealth leaves out about half of what may be left out.
func randomHealth(r *rand.Rand) lb.Health {
	maybe := func(h *lb.Health, change func(*lb.Health)) {
		if r.IntN(2) == 0 {
			change(h)
		}
	}
	h := lb.Health{Type: append([]lb.CheckType{lb.CheckNone}, lb.CheckTypes...)[r.IntN(len(lb.CheckTypes)+1)]}
	if h.Type == lb.CheckNone {
		return h
	}
	maybe(&h, func(h *lb.Health) {
		h.Interval = lb.MinInterval + time.Duration(r.Int64N(int64(lb.MaxInterval-lb.MinInterval)))
	})
	maybe(&h, func(h *lb.Health) {
		h.Timeout = lb.MinTimeout + time.Duration(r.Int64N(int64(lb.MinInterval-lb.MinTimeout)))
	})
	maybe(&h, func(h *lb.Health) { h.Rise, h.Fall = uint32(1+r.IntN(lb.MaxInRow)), uint32(1+r.IntN(lb.MaxInRow)) })
	switch h.Type {
	case lb.CheckTCP, lb.CheckGRPC:
		h.Port = uint16(1 + r.IntN(65535))
	case lb.CheckDNS:
		h.Query = "www.example"
	case lb.CheckHTTP, lb.CheckHTTPS:
		maybe(&h, func(h *lb.Health) { h.Port = uint16(1 + r.IntN(65535)) })
		maybe(&h, func(h *lb.Health) { h.Path = `/~"it's#a?path` })
		maybe(&h, func(h *lb.Health) { h.Host = "[2001:db8::1]:80" })
		maybe(&h, func(h *lb.Health) { h.Expect = lb.StatusRange{Low: 204, High: uint16(204 + r.IntN(2))} })
	case lb.CheckNone, lb.CheckICMP:
	}
	return h
}

// randomAddress is unique by i, of either family.
func randomAddress(r *rand.Rand, i int) netip.Addr {
	last := [4]byte{10, byte(1 + r.IntN(200)), byte(i), byte(1 + r.IntN(250))}
	if r.IntN(2) == 0 {
		return netip.AddrFrom4(last)
	}
	long := [16]byte{0xfd, byte(r.IntN(2)), 15: 0}
	copy(long[4+r.IntN(9):], last[:])
	return netip.AddrFrom16(long)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(exampleJSON))
	for _, tc := range faults {
		f.Add([]byte(tc.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := document.Parse("fuzz", text)
		if err != nil {
			mustExplain(t, text, err)
			return
		}
		mustSurvive(t, c)
	})
}

// mustExplain checks that each fault has a place inside the text, and that they are in order.
func mustExplain(t *testing.T, text []byte, err error) {
	t.Helper()
	var found document.Errors
	if !errors.As(err, &found) || len(found) == 0 {
		t.Fatalf("got %T %v, want document.Errors", err, err)
	}
	lines := 1
	for _, r := range string(text) {
		if strings.ContainsRune("\n\r\u0085\u2028\u2029", r) {
			lines++
		}
	}
	last := document.Position{}
	for _, e := range found {
		if e.Line < 1 || e.Column < 1 || e.Line > lines || e.Message == "" {
			t.Errorf("fault outside the %d lines of the text, or without a message: %v", lines, e)
		}
		if e.Line < last.Line || e.Line == last.Line && e.Column < last.Column {
			t.Errorf("fault out of order: %v", e)
		}
		last = e.Position
	}
}
