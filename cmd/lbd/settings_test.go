package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/control/access"
	"github.com/sluice-lb/sluice/lb"
)

func mustWrite(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const wholeFile = `
interfaces: [eth0, eth1]
mode: auto
api: [unix:///tmp/a.sock, 192.0.2.1:9443]
api_group: sluice
tls: {cert: /tmp/node.crt, key: /tmp/node.key, client_ca: /tmp/ca.crt}
roles:
  viewer: [group:adm, ou:noc]
  editor: ["cn:alice"]
audit_log: /tmp/audit.log
http: 127.0.0.2:80
http_hosts: [lb1, lb1.example.net]
state_dir: /tmp/state
bpffs_dir: /sys/fs/bpf/a
seed_file: /tmp/seed
unmatched: drop
log_format: json
history: 50
limits: {vips: 10, backends: 20, slots: 4096, flows_v4: 1000, flows_v6: 500}
`

func TestSettings(t *testing.T) {
	whole := settings{
		interfaces: []string{"eth0", "eth1"}, mode: "auto", api: []string{"unix:///tmp/a.sock", "192.0.2.1:9443"}, apiGroup: "sluice",
		tls: access.Files{Cert: "/tmp/node.crt", Key: "/tmp/node.key", ClientCA: "/tmp/ca.crt"}, auditLog: "/tmp/audit.log",
		roles: []access.Rule{
			{Role: access.Viewer, Kind: access.Group, Value: "adm"}, {Role: access.Viewer, Kind: access.OU, Value: "noc"},
			{Role: access.Editor, Kind: access.CN, Value: "alice"},
		},
		http: "127.0.0.2:80", httpHosts: []string{"lb1", "lb1.example.net"}, stateDir: "/tmp/state",
		bpffsDir: "/sys/fs/bpf/a", seedFile: "/tmp/seed", unmatched: "drop", logFormat: "json",
		limits: lb.Limits{VIPs: 10, Backends: 20, Slots: 4096, FlowsV4: 1000, FlowsV6: 500}, history: 50,
	}
	with := func(s settings, change func(*settings)) settings { change(&s); return s }
	for _, row := range []struct {
		name, file string
		args       []string
		want       settings
	}{
		{"defaults", "", []string{"--interface", "eth0"}, with(defaults, func(s *settings) { s.interfaces = []string{"eth0"} })},
		{"file", wholeFile, nil, whole},
		{"flag-beats-file", wholeFile, []string{"--interface", "eth7", "--mode", "native", "--state-dir", "/srv"},
			with(whole, func(s *settings) { s.interfaces, s.mode, s.stateDir = []string{"eth7"}, "native", "/srv" })},
		{"flag-beats-file-even-with-the-default", wholeFile, []string{"--log-format=text"}, with(whole, func(s *settings) { s.logFormat = "text" })},
		{"flags-replace-a-list", wholeFile, []string{"--api=unix:///tmp/b.sock", "--api", "unix:///tmp/c.sock"},
			with(whole, func(s *settings) { s.api = []string{"unix:///tmp/b.sock", "unix:///tmp/c.sock"} })},
		{"one-address", "interfaces: [eth0]\napi: unix:///tmp/b.sock\n", nil,
			with(defaults, func(s *settings) { s.interfaces, s.api = []string{"eth0"}, []string{"unix:///tmp/b.sock"} })},
		{"part-of-a-file", "limits: {vips: 5}", []string{"--interface=eth0", "-v"},
			with(defaults, func(s *settings) { s.interfaces, s.limits.VIPs, s.verbose = []string{"eth0"}, 5, true })},
		{"no-http", wholeFile, []string{"--http="}, with(whole, func(s *settings) { s.http = "" })},
		{"empty-file", "# nothing\n", []string{"--interface=eth0"}, with(defaults, func(s *settings) { s.interfaces = []string{"eth0"} })},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := row.args
			if row.file != "" {
				args = append(args, "--config", mustWrite(t, "node.yaml", row.file))
			}
			got, err := readSettings(args, io.Discard)
			if diff := cmp.Diff(row.want, got, cmp.AllowUnexported(settings{})); diff != "" || err != nil {
				t.Errorf("err %v, diff %s", err, diff)
			}
		})
	}
}

func TestBadSettings(t *testing.T) {
	for _, row := range []struct {
		name, file string
		args       []string
		want       string
	}{
		{"nothing", "", nil, "no interfaces"},
		{"twice", "", []string{"--interface=a", "--interface=a"}, `interface "a" is named twice`},
		{"mode", "", []string{"--interface=a", "--mode=fast"}, `mode "fast": must be one of native, generic, auto`},
		{"argument", "", []string{"--interface=a", "start"}, `argument "start" is not expected`},
		{"flag", "", []string{"--iface=a"}, "not defined: -iface"},
		{"unknown-field", "interfaces: [a]\nlimits:\n  vipz: 4\n", nil, "node.yaml:3:3: limits.vipz: unknown field (known are backends, flows_v4, flows_v6, slots, vips)"},
		{"field-twice", "mode: native\nmode: auto\n", nil, "node.yaml:2:1: mode: named twice"},
		{"two-faults", "a: 1\nb: 2\n", nil, "node.yaml:2:1: b: unknown field"},
		{"not-a-number", "limits: {vips: many}", nil, `node.yaml:1:16: limits.vips: "many": must be a number`},
		{"not-a-list", "interfaces: eth0", nil, "node.yaml:1:13: interfaces: must be a list"},
		{"not-an-object", "- a\n", nil, "node.yaml:1:1: must be an object"},
		{"tcp-without-tls", "", []string{"--interface=a", "--api=192.0.2.1:9443"},
			`api "192.0.2.1:9443": is not a socket, and tls is incomplete (set tls: {cert: FILE, key: FILE, client_ca: FILE} in the file of --config`},
		{"tcp-with-half-of-tls", "interfaces: [a]\napi: 192.0.2.1:9443\ntls: {cert: /tmp/c, key: /tmp/k}\n", nil, "tls is incomplete"},
		{"no-address", "interfaces: [a]\napi: []\n", nil, "api: no address"},
		{"address-twice", "", []string{"--interface=a", "--api=unix:///a", "--api=unix:///a"}, `api "unix:///a" is named twice`},
		{"rule", "roles:\n  viewer: [alice]\n", nil, `node.yaml:2:12: roles.viewer[0]: "alice": must be KIND:VALUE`},
		{"role", "roles:\n  admin: [cn:alice]\n", nil, "node.yaml:2:3: roles.admin: unknown field (known are editor, operator, viewer)"},
		{"two-documents", "mode: auto\n---\nmode: auto\n", nil, "more than one document"},
		{"not-yaml", "mode: [", nil, "node.yaml: yaml: line 1"},
		{"limits", "interfaces: [a]\nlimits: {vips: 0}", nil, "limits.vips: 0 is out of range"},
		{"history", "interfaces: [a]\nhistory: 1", nil, "history 1: must be at least 2"},
		{"http", "", []string{"--interface=a", "--http=localhost"}, `http "localhost": must be HOST:PORT`},
		{"http-hosts", "interfaces: [a]\nhttp_hosts: [lb1, 'lb1:80']", nil, `http_hosts[1] "lb1:80": must be a name`},
		{"flow-limits", "interfaces: [a]\nlimits: {flows_v6: 16777217}", nil, "limits.flows_v6: 16777217 is out of range"},
		{"unmatched", "interfaces: [a]\nunmatched: reject", nil, `unmatched "reject": must be one of pass, drop`},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := row.args
			if row.file != "" {
				args = append(args, "--config", mustWrite(t, "node.yaml", row.file))
			}
			if _, err := readSettings(args, io.Discard); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

func TestMissingCapabilities(t *testing.T) {
	const netAdmin, sysAdmin, perfmon, bpf = 1 << 12, 1 << 21, 1 << 38, 1 << 39
	for effective, want := range map[uint64]string{
		0:                        "CAP_BPF CAP_NET_ADMIN CAP_PERFMON",
		netAdmin:                 "CAP_BPF CAP_PERFMON",
		netAdmin | bpf:           "CAP_PERFMON",
		sysAdmin:                 "CAP_NET_ADMIN",
		netAdmin | bpf | perfmon: "",
		netAdmin | sysAdmin:      "",
	} {
		if got := strings.Join(missingCapabilities(effective), " "); got != want {
			t.Errorf("%#x: %q, want %q", effective, got, want)
		}
	}
}
