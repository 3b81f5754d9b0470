package document_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/document"
)

// head is a valid start for documents that have their fault elsewhere.
const head = "version: 1\n"

var faults = []struct {
	name, text, want string
}{
	{"empty-file", "", `f:1:1: document is empty (write at least "version: 1")`},
	{"only-comments", "# nothing\n", `f:1:1: document is empty (write at least "version: 1")`},
	{"only-a-start", "---", `f:1:1: document is empty (write at least "version: 1")`},
	{"not-an-object", "- a\n", `f:1:1: must be an object, not a list`},
	{"just-text", "hello\n", `f:1:1: must be an object, not text`},
	{"no-version", "pools: []\n", `f:1:1: version: required (write "version: 1")`},
	{"version-2", "version: 2\n", `f:1:10: version: must be 1, the only version that this release reads`},
	{"version-as-text", "version: \"1\"\n", `f:1:10: version: must be 1, the only version that this release reads`},
	{"second-document", head + "---\nversion: 1\n", `f:2:1: second document in the file (keep one, or apply them apart)`},
	{"broken-second-document", head + "---\n[\n", `f:3:1: did not find expected node content`},
	{"not-utf8", head + "pools: \xff\n", `f:2:8: byte 0xff is not UTF-8 (save the file as UTF-8)`},
	{"utf16", "\xff\xfev\x00", `f:1:1: byte 0xff is not UTF-8 (save the file as UTF-8)`},
	{"control-character", head + "p\x00", `f:2:2: control character U+0000 is not allowed`},
	{"columns-count-characters", head + "pools: [{é: 1, e: 2}]\n",
		"f:2:9: pools[0].name: required (a name that is unique among pools)\n" +
			"f:2:10: pools[0].é: unknown field (known here: name, encap, slots, drain_max, drain_idle, health, panic_threshold, backends)\n" +
			"f:2:16: pools[0].e: unknown field (known here: name, encap, slots, drain_max, drain_idle, health, panic_threshold, backends)"},
	{"tab", head + "pools:\n\t- name: a\n", `f:3:1: tab in the indentation (use spaces)`},
	{"tab-after-spaces", head + "pools:\n  - name: a\n  \tencap: ipip\n", `f:4:3: tab in the indentation (use spaces)`},
	{"unclosed-list", head + "pools: [\n", `f:2:1: did not find expected node content`},
	{"bad-indentation", head + " pools: []\n", `f:2:2: mapping values are not allowed in this context`},
	{"broken-json", `{"version": 1, "pools": [}`, `f:1:1: did not find expected node content`},
	{"anchor", head + "pools: &p []\n", `f:2:8: pools: anchors are not supported (write the value out where it is used)`},
	{"alias", head + "pools: &p []\nvips: *p\n",
		"f:2:8: pools: anchors are not supported (write the value out where it is used)\n" +
			"f:3:7: vips: aliases are not supported (write the value out)"},
	{"unknown-alias", head + "pools: *nowhere\n", `f:2:8: aliases are not supported (write the value out)`},
	{"alias-bomb", head + bomb(), "f:2:1: a: unknown field (known here: version, pools, vips)\n" +
		"f:3:1: b: unknown field (known here: version, pools, vips)\n" +
		"f:4:1: c: unknown field (known here: version, pools, vips)\n" +
		"f:5:8: pools: aliases are not supported (write the value out)"},
	{"merge-key", head + "pools: [{<<: {name: a}, name: a}]\n",
		`f:2:10: pools[0].<<: unknown field (known here: name, encap, slots, drain_max, drain_idle, health, panic_threshold, backends)`},
	{"tag", head + "pools: [{name: !!str 5}]\n", `f:2:16: pools[0].name: tags are not supported (remove !!str)`},
	{"own-tag", head + "pools: !x []\n", `f:2:8: pools: tags are not supported (remove !x)`},
	{"list-as-key", head + "? [a]\n: 1\n", `f:2:3: field name must be text, not a list`},
	{"duplicate-field", head + "pools: []\nvips: []\npools: [{name: a}]\n",
		`f:4:1: pools: duplicate field (the first is in line 2)`},
	{"misspelt", head + "pools:\n  - name: a\n    backends:\n      - {name: b, address: 10.9.0.1}\n" +
		"      - {name: c, address: 10.9.0.2, weigth: 5}\n",
		`f:6:38: pools[0].backends[1].weigth: unknown field (did you mean weight?)`},
	{"field-of-a-later-release", head + "pools: [{name: a, slow_start: 1h}]\n",
		`f:2:19: pools[0].slow_start: unknown field (known here: name, encap, slots, drain_max, drain_idle, health, panic_threshold, backends)`},
	{"pools-is-text", head + "pools: web\n", `f:2:8: pools: must be a list, not text`},
	{"pool-is-text", head + "pools: [web]\n", `f:2:9: pools[0]: must be an object, not text`},
	{"pool-is-missing", head + "pools: [~]\n", `f:2:9: pools[0]: must be an object, not nothing`},
	{"empty-pool", head + "pools: [{}]\n", `f:2:9: pools[0].name: required (a name that is unique among pools)`},
	{"name-is-a-number", head + "pools: [{name: 5}]\n", `f:2:16: pools[0].name: must be text, not a number (quote it: "5")`},
	{"name-is-a-boolean", head + "pools: [{name: true}]\n",
		`f:2:16: pools[0].name: must be text, not true or false (quote it: "true")`},
	{"name-is-a-date", head + "pools: [{name: 2026-01-02}]\n",
		`f:2:16: pools[0].name: must be text, not a date (quote it: "2026-01-02")`},
	{"name-is-missing", head + "pools: [{name: }]\n", `f:2:16: pools[0].name: must be text, not nothing`},
	{"name-is-a-list", head + "pools: [{name: [a]}]\n", `f:2:16: pools[0].name: must be text, not a list`},
	{"own-encap", head + "pools: [{name: a, backends: [{name: b, address: 10.0.0.1, encap: gue}]}]\n", `f:2:66: pools[0].backends[0].encap: encap "gue": must be one of ipip, l2`},
	{"encap", head + "pools: [{name: a, encap: gue}]\n", `f:2:26: pools[0].encap: encap "gue": must be one of ipip, l2`},
	{"slots-too-small", head + "pools: [{name: a, slots: 512}]\n",
		`f:2:26: pools[0].slots: 512: must be an integer from 1024 to 262144`},
	{"weight-negative", backend("weight: -1"), `f:3:63: pools[0].backends[0].weight: -1: must be an integer from 0 to 65535`},
	{"weight-too-large", backend("weight: 65536"), `f:3:63: pools[0].backends[0].weight: 65536: must be an integer from 0 to 65535`},
	{"weight-huge", backend("weight: 99999999999999999999"),
		`f:3:63: pools[0].backends[0].weight: 99999999999999999999: must be an integer from 0 to 65535`},
	{"weight-fraction", backend("weight: 1.5"), `f:3:63: pools[0].backends[0].weight: 1.5: must be an integer from 0 to 65535`},
	{"weight-octal", backend("weight: 010"), `f:3:63: pools[0].backends[0].weight: 010: must be an integer from 0 to 65535`},
	{"weight-quoted", backend(`weight: "10"`),
		`f:3:63: pools[0].backends[0].weight: must be an integer from 0 to 65535, not text (remove the quotes)`},
	{"weight-missing", backend("weight: ~"), `f:3:63: pools[0].backends[0].weight: must be an integer from 0 to 65535, not nothing`},
	{"scale-text", backend("scale: half"), `f:3:62: pools[0].backends[0].scale: must be a number from 0 to 100, not text`},
	{"scale-negative", backend("scale: -0.5"), `f:3:62: pools[0].backends[0].scale: -0.5: must be a number from 0 to 100`},
	{"scale-too-large", backend("scale: 100.001"), `f:3:62: pools[0].backends[0].scale: 100.001: must be a number from 0 to 100`},
	{"scale-too-fine", backend("scale: 0.0005"), `f:3:62: pools[0].backends[0].scale: 0.0005: must have at most three decimals`},
	{"scale-nan", backend("scale: .nan"), `f:3:62: pools[0].backends[0].scale: .nan: must be a number from 0 to 100`},
	{"scale-infinite", backend("scale: .inf"), `f:3:62: pools[0].backends[0].scale: .inf: must be a number from 0 to 100`},
	{"address-missing", head + "pools: [{name: a, backends: [{name: b}]}]\n",
		`f:2:30: pools[0].backends[0].address: required (an IPv4 or IPv6 address)`},
	{"address-short", vip("address: 198.51.100", "ports: [80]"),
		`f:4:24: vips[0].address: "198.51.100" is not an IPv4 or IPv6 address`},
	{"address-starts-with-a-colon", head + "pools:\n  - name: a\n    backends:\n      - {name: b, address: ::1}\n",
		`f:5:28: "::1" must be quoted (inside {} and [] plain text cannot start with a colon)`},
	{"address-prefix", vip("address: 198.51.100.0/28", "ports: [80]"),
		`f:4:24: vips[0].address: "198.51.100.0/28" is not an IPv4 or IPv6 address (prefixes are not in this release)`},
	{"address-with-port", vip("address: 198.51.100.1:80", "ports: [80]"),
		`f:4:24: vips[0].address: "198.51.100.1:80" is not an IPv4 or IPv6 address (ports have a field of their own)`},
	{"port-range", vip("address: 198.51.100.1", "ports: [80, 8000-8099]"),
		`f:4:50: vips[0].ports[1]: port ranges such as "8000-8099" are not in this release (list each port)`},
	{"any-port", vip("address: 198.51.100.1", "ports: [any]"),
		`f:4:46: vips[0].ports[0]: "any" is not in this release (list each port)`},
	{"port-zero", vip("address: 198.51.100.1", "ports: [0]"), `f:4:46: vips[0].ports[0]: 0: must be an integer from 1 to 65535`},
	{"port-quoted", vip("address: 198.51.100.1", `ports: ["80"]`),
		`f:4:46: vips[0].ports[0]: must be an integer from 1 to 65535, not text (remove the quotes)`},
	{"ports-is-a-number", vip("address: 198.51.100.1", "ports: 80"), `f:4:45: vips[0].ports: must be a list, not a number`},
	{"protocol", head + "pools: [{name: a}]\nvips: [{name: v, address: 198.51.100.1, protocol: quic, ports: [1], pool: a}]\n",
		`f:3:51: vips[0].protocol: protocol "quic": must be one of tcp, udp`},
	{"violation-of-a-value", head + "pools:\n  - name: a\n    backends:\n      - {name: b, address: 127.0.0.1}\n",
		`f:5:28: pools[0].backends[0].address: backend "b" of pool "a": ` +
			`address 127.0.0.1 is a loopback address (use one that other hosts reach)`},
	{"violations-between-objects", head + "vips:\n  - {name: v, address: 198.51.100.1, protocol: tcp, ports: [80, 443], pool: a}\n" +
		"  - {name: w, address: 198.51.100.1, protocol: tcp, ports: [81, 443], pool: b}\npools: [{name: a}]\n",
		`f:4:65: vips[1].ports[1]: vips "v" and "w" both claim tcp 198.51.100.1:443 (change the port of one)` + "\n" +
			`f:4:77: vips[1].pool: vip "w": pool "b" does not exist (create it, or name one that exists)`},
	{"violation-beside-a-fault", head + "pools: [{name: a, helth: 1, backends: [{name: B, address: 10.9.0.1}]}]\n" +
		"vips: [{name: v, address: 198.51.100.1, protocol: tcp, ports: [1], pool: c}]\n",
		"f:2:19: pools[0].helth: unknown field (did you mean health?)\n" +
			`f:2:47: pools[0].backends[0].name: pool "a": backend name "B" is not valid ` +
			"(use 1 to 63 of a-z, 0-9, '.' and '-', the first a letter or digit)\n" +
			`f:3:74: vips[0].pool: vip "v": pool "c" does not exist (create it, or name one that exists)`},
	{"health-without-type", health("{port: 80}"), `f:2:27: pools[0].health.type: required (tcp, http, https, grpc, dns or icmp)`},
	{"health-of-unknown-type", health("{type: ping}"),
		`f:2:34: pools[0].health.type: type "ping": must be one of tcp, http, https, grpc, dns, icmp`},
	{"health-by-tunnel", health("{type: icmp, via: tunnel}"), `f:2:40: pools[0].health.via: unknown field (known here: ` +
		`type, port, path, host, expect, query, service, interval, timeout, rise, fall)`},
	{"health-values", health("{type: http, port: 0, path: x, expect: 99, interval: 2, timeout: 5 s, rise: 0, fall: 101}"),
		"f:2:46: pools[0].health.port: 0: must be an integer from 1 to 65535\n" +
			`f:2:55: pools[0].health.path: pool "a": health check http has the path "x", which is not valid (start with '/' and use printable ASCII without spaces)` + "\n" +
			`f:2:66: pools[0].health.expect: expect "99": must be an HTTP status or a range of them within 100-599, such as 200-399` + "\n" +
			"f:2:80: pools[0].health.interval: must be text, not a number (quote it: \"2\")\n" +
			`f:2:92: pools[0].health.timeout: "5 s" is not a duration (write it as 30s, 5m or 1h)` + "\n" +
			"f:2:103: pools[0].health.rise: 0: must be an integer from 1 to 100\n" +
			"f:2:112: pools[0].health.fall: 101: must be an integer from 1 to 100"},
	{"health-fields-of-other-types", health("{type: icmp, port: 1, path: /, host: h, expect: 200, query: q, service: s}"),
		`f:2:46: pools[0].health.port: pool "a": health check icmp has no port (remove it)` + "\n" +
			`f:2:55: pools[0].health.path: pool "a": health check icmp has no path (remove it)` + "\n" +
			`f:2:64: pools[0].health.host: pool "a": health check icmp has no host (remove it)` + "\n" +
			`f:2:75: pools[0].health.expect: pool "a": health check icmp has no expect (remove it)` + "\n" +
			`f:2:87: pools[0].health.query: pool "a": health check icmp has no query (remove it)` + "\n" +
			`f:2:99: pools[0].health.service: pool "a": health check icmp has no service (remove it)`},
	{"health-needs", health("{type: tcp}"), `f:2:27: pools[0].health.port: pool "a": health check tcp needs a port (use 1 to 65535)`},
	{"health-timeout", health("{type: icmp, interval: 500ms, timeout: 2s}"),
		`f:2:66: pools[0].health.timeout: pool "a": health check icmp has a timeout of 2s (use 10ms to the interval, 500ms)`},
	{"panic-threshold", head + "pools: [{name: a, panic_threshold: 101}]\n",
		`f:2:36: pools[0].panic_threshold: 101: must be an integer from 0 to 100`},
	{"no-violation-from-an-unread-pool", head + "pools: [{name: 5}]\n" +
		"vips: [{name: v, address: 198.51.100.1, protocol: tcp, ports: [any], pool: \"5\"}]\n",
		`f:2:16: pools[0].name: must be text, not a number (quote it: "5")` + "\n" +
			`f:3:64: vips[0].ports[0]: "any" is not in this release (list each port)`},
	{"all-faults-in-order", "vips:\n  - {name: [], adress: 1}\npools: 5\nversion: 3\n",
		"f:2:5: vips[0].address: required (an IPv4 or IPv6 address)\n" +
			"f:2:5: vips[0].protocol: required (tcp or udp)\n" +
			"f:2:5: vips[0].ports: required (a list such as [80, 443])\n" +
			"f:2:5: vips[0].pool: required (the name of a pool)\n" +
			"f:2:12: vips[0].name: must be text, not a list\n" +
			"f:2:16: vips[0].adress: unknown field (did you mean address?)\n" +
			"f:3:8: pools: must be a list, not a number\n" +
			"f:4:10: version: must be 1, the only version that this release reads"},
}

func backend(fields string) string {
	return head + "pools:\n  - {name: a, backends: [{name: b, address: 10.9.0.1, " + fields + "}]}\n"
}

func vip(address, ports string) string {
	return head + "pools: [{name: a}]\nvips:\n  - {name: v, " + address + ", " + ports + ", protocol: tcp, pool: a}\n"
}

func health(object string) string {
	return head + "pools: [{name: a, health: " + object + "}]\n"
}

// bomb would be ten to the fifth nodes if aliases were followed.
func bomb() string {
	ten := func(s string) string { return "[" + strings.Repeat(s+",", 9) + s + "]" }
	return "a: &a " + ten("x") + "\nb: &b " + ten("*a") + "\nc: &c " + ten("*b") + "\npools: *c\n"
}

func TestFaults(t *testing.T) {
	for _, tc := range faults {
		t.Run(tc.name, func(t *testing.T) {
			_, err := document.Parse("f", []byte(tc.text))
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	_, err := document.Parse("f", make([]byte, document.MaxSize+1))
	want := "f:1:1: document has 16777217 bytes: must have at most 16777216"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
