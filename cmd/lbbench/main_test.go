package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-lb/sluice/bench"
)

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestUsageErrorsNameTheValue(t *testing.T) {
	for want, args := range map[string][]string{
		"unknown flag: --flow":         {"replay", "--flow", "1"},
		"flows 0: must be":             {"replay", "--flows", "0"},
		`distribution "gauss": must`:   {"replay", "--flows", "1", "--dist", "gauss"},
		`protocol "sctp": must be`:     {"replay", "--flows", "1", "--protocol", "sctp"},
		"family 5: must be":            {"replay", "--flows", "1", "--family", "5"},
		"size 20: must be":             {"replay", "--flows", "1", "--size", "128,20"},
		`output "xml": must be`:        {"replay", "--flows", "1", "-o", "xml"},
		"backends 0: must be":          {"replay", "--flows", "1", "--backends", "0"},
		"--unchanged goes with --pcap": {"replay", "--flows", "1", "--unchanged"},
		"rounds 3: must be":            {"replay", "--flows", "1", "--rounds", "3"},
		"repeat 7: must be":            {"replay", "--flows", "1", "--repeat", "7"},
		"either --flows or --pcap":     {"replay"},
		"must be given":                {"replay", "--flows", "1", "--pcap", "x"},
		"in --document already":        {"replay", "--flows", "1", "--document", "x", "--vips", "3"},
		`unknown command "repaly"`:     {"repaly"},
	} {
		_, err := run(t, args...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got error %v, want one that says %q", args, err, want)
		}
		if exitCode(err) != exitUsage {
			t.Errorf("%v: exit code %d, want %d", args, exitCode(err), exitUsage)
		}
	}
}

func TestMissingFilesAreFailures(t *testing.T) {
	for _, args := range [][]string{
		{"replay", "--pcap", "nowhere.pcap"},
		{"replay", "--flows", "1", "--document", "nowhere.yaml"},
	} {
		_, err := run(t, args...)
		if !errors.Is(err, os.ErrNotExist) || exitCode(err) != exitFailed {
			t.Errorf("%v: got error %v, exit code %d", args, err, exitCode(err))
		}
	}
}

const testDocument = `version: 1
pools:
  - name: web
    backends:
      - {name: web-1, address: 10.9.3.2}
      - {name: web-2, address: 10.9.4.2}
vips:
  - {name: web, address: 198.51.100.10, protocol: tcp, ports: [80], pool: web}
`

func TestReplayOfDocumentAndCapture(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root to load BPF programs")
		}
		t.Skip("needs root to load BPF programs")
	}
	document := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(document, []byte(testDocument), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"replay", "--pcap", filepath.Join("..", "..", "testdata", "echo-v4.pcap"), "--document", document,
		"--rounds", "9", "--repeat", "100000"}
	out, err := run(t, append(args, "-o", "json")...)
	if err != nil {
		t.Fatal(err)
	}
	var report bench.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	if len(report.Verdicts) != 1 || report.Verdicts[0].Verdict != "forwarded" || report.Verdicts[0].Packets != report.Received {
		t.Errorf("verdicts %+v of %d frames, want all forwarded", report.Verdicts, report.Received)
	}
	if len(report.Pools) != 1 || report.Pools[0].Pool != "web" || len(report.Pools[0].Backends) != 2 {
		t.Errorf("pools %+v, want web with two backends", report.Pools)
	}
	out, err = run(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"echo-v4.pcap", "net/floor", "forwarded  tx", "web/web-1", "left out: 1500 frames, server to client"} {
		if !strings.Contains(out, want) {
			t.Errorf("table lacks %q:\n%s", want, out)
		}
	}
}
