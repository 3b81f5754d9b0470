package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStateReturns(t *testing.T) {
	dir := t.TempDir()
	s, err := loadState(dir)
	if err != nil || s.exists() {
		t.Fatalf("without a file: %+v, %v", s, err)
	}
	vip := netip.MustParseAddr("2001:db8::10")
	s.VIPs, s.Addresses = []netip.Addr{vip}, []netip.Addr{vip}
	s.Sysctls = []sysctl{{"net/ipv4/conf/eth0.7/rp_filter", "2", "0"}}
	s.setAttachment(attachment{Interface: "eth0.7", Index: 3, Hook: "tcx"})
	s.setAttachment(attachment{Interface: "eth0.7", Index: 4, Hook: "clsact"})
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	got, err := loadState(dir)
	if err != nil || !got.exists() {
		t.Fatalf("%+v, %v", got, err)
	}
	if at := got.attachment("eth0.7"); len(got.Attachments) != 1 || at.Index != 4 || got.Sysctls[0] != s.Sysctls[0] || got.Addresses[0] != vip {
		t.Errorf("read back %+v", got)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("files %q, %v", left, err)
	}
}

// The originals of another boot are not put back, and a file that cannot be read stops the agent: it may hold originals.
func TestStateOfAnotherBoot(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, stateName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"schema":1,"host":"another/net:1","vips":["198.51.100.10"]}`)
	if s, err := loadState(dir); err != nil || s.exists() {
		t.Errorf("%+v, %v", s, err)
	}
	for text, want := range map[string]string{`{"schema":2}`: "schema 2, want 1", `{"schema"`: "repair it"} {
		write(text)
		if _, err := loadState(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestKernelRelease(t *testing.T) {
	for release, want := range map[string]string{
		"5.10.0-32-cloud-amd64": "", "6.18.44": "", "7.0": "",
		"5.9.16": "too old", "4.19.0": "too old", "next": "cannot tell",
	} {
		err := checkRelease(release)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", release, err, want)
		}
	}
}

func TestDemandSatisfied(t *testing.T) {
	off := demand{name: "rp_filter"}
	least := demand{name: "arp_ignore", value: 1, atLeast: true}
	for _, row := range []struct {
		d       demand
		current string
		want    bool
	}{{off, "0", true}, {off, "1", false}, {least, "0", false}, {least, "1", true}, {least, "8", true}, {least, "", false}} {
		if got := row.d.satisfied(row.current); got != row.want {
			t.Errorf("%+v with %q: %t", row.d, row.current, got)
		}
	}
}
