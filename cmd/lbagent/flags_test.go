package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	ok := []string{"--vip", "198.51.100.10", "--from", "10.9.0.0/16", "--interface", "eth0"}
	with := func(more ...string) []string { return append(append([]string{}, ok...), more...) }
	for _, row := range []struct {
		args []string
		want string
	}{
		{nil, "no VIP (give --vip ADDRESS)"},
		{ok[:2], "no outer source (give --from PREFIX"},
		{ok[:4], "no interface (give --interface NAME)"},
		{with("--vip", "web"), `flag --vip: "web" is not an address`},
		{with("--vip", "224.0.0.1"), `VIP "224.0.0.1": not a unicast address`},
		{with("--vip", "fe80::1%eth0"), `VIP "fe80::1%eth0": has a zone`},
		{with("--vip", "::ffff:198.51.100.1"), `write "198.51.100.1"`},
		{with("--encap", "l2"), `outer source "10.9.0.0/16": nothing is taken off with encap l2 alone`},
		{with("--from", "10.9.0.1/16"), `outer source "10.9.0.1/16": not a prefix (write "10.9.0.0/16")`},
		{with("--from", "lb"), `flag --from: "lb" is neither a prefix nor an address`},
		{with("--interface", "a/b"), `interface "a/b": not an interface name`},
		{with("--encap", "gue"), `flag --encap: encap "gue": must be one of ipip, l2`},
		{with("--mss-clamp", "12"), `MSS clamp "12": not auto, off, or a number from 536 to 65535`},
		{with("--attach", "xdp"), `attach mode "xdp": not one of auto, tcx, clsact`},
		{with("--log-format", "xml"), `flag --log-format: "xml"`},
		{with("-o", "yaml"), `flag --output: "yaml"`},
		{with("now"), `unexpected argument "now"`},
		{[]string{"--status", "--detach"}, "exclude each other"},
		{[]string{"--colour"}, "unknown flag: --colour"},
	} {
		var out, errors bytes.Buffer
		if code := run(t.Context(), row.args, &out, &errors); code != exitUsage {
			t.Errorf("%q: exit code %d, want %d", row.args, code, exitUsage)
		}
		if got := errors.String(); !strings.Contains(got, row.want) {
			t.Errorf("%q: %s, want %s", row.args, got, row.want)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	var out, errors bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, &out, &errors); code != exitOK || !strings.Contains(errors.String(), "--mss-clamp") {
		t.Errorf("help: %d %s", code, &errors)
	}
	out.Reset()
	if code := run(t.Context(), []string{"--version"}, &out, &errors); code != exitOK || !strings.HasPrefix(out.String(), "lbagent ") {
		t.Errorf("version: %d %s", code, &out)
	}
}
