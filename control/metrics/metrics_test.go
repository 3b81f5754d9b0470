package metrics

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

var update = flag.Bool("update", false, "write the table of docs/metrics.md and testdata/metrics.txt")

// api answers each method with a message, or with an error.
type api struct {
	answers map[string]proto.Message
	errs    map[string]error
}

func (a *api) Invoke(_ context.Context, method string, _, reply any, _ ...grpc.CallOption) error {
	name := method[strings.LastIndexByte(method, '/')+1:]
	if err := a.errs[name]; err != nil {
		return err
	}
	proto.Merge(reply.(proto.Message), a.answers[name])
	return nil
}

func (a *api) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "no streams")
}

// drivers is what drivers have seen by interface.
type drivers map[string]uint64

func (d drivers) Frames(iface string) (uint64, int, error) {
	if iface == "eth9" {
		return 0, 0, errors.New("no such device")
	}
	n, ok := d[iface]
	if !ok {
		return 0, 0, nil
	}
	return n, 1, nil
}

func newAPI() *api {
	counter := func(n uint64) *sluicev1.Counter {
		return &sluicev1.Counter{Packets: n, Bytes: 100 * n, NewFlows: n / 10, Refused: 1}
	}
	return &api{errs: map[string]error{}, answers: map[string]proto.Message{
		"GetStatus": &sluicev1.GetStatusResponse{Revision: 7, Publication: 9, Warnings: []string{"w"}, MapMemoryBytes: 1 << 20,
			Limits: []*sluicev1.Limit{{Name: "vips", Used: 1, Configured: 1024}},
			Checks: &sluicev1.CheckTotals{Backends: 2, Outstanding: 1, MaxOutstanding: 256, Late: 5, Results: []*sluicev1.CheckTotals_Result{
				{Grade: sluicev1.CheckResult_GRADE_GOOD, Checks: 90}, {Grade: sluicev1.CheckResult_GRADE_SILENT, Checks: 10}}},
			// Two CAs, while one takes over from the other: the first to end counts.
			Certificates: []*sluicev1.Certificate{
				{Use: "tls.cert", NotAfter: &timestamppb.Timestamp{Seconds: 1800000000}},
				{Use: "tls.client_ca", NotAfter: &timestamppb.Timestamp{Seconds: 1900000000}},
				{Use: "tls.client_ca", NotAfter: &timestamppb.Timestamp{Seconds: 1850000000}}},
			Interfaces: []*sluicev1.Interface{{Name: "eth0", Mode: "native", ProgramTag: "00ff"}, {Name: "eth1", Mode: "generic", ProgramTag: "00ff"}, {Name: "eth2", Mode: "native", Fault: "gone"}}},
		"ListVips": &sluicev1.ListVipsResponse{Vips: []*sluicev1.VipStatus{{Vip: &sluicev1.Vip{Name: "web"}, Counter: counter(50), Backends: 2, BackendsWithSlots: 1}}},
		"ListPools": &sluicev1.ListPoolsResponse{Pools: []*sluicev1.PoolStatus{{Pool: &sluicev1.Pool{Name: "p"}, Slots: 1024, EmptySlots: 3, Digest: "0123456789abcdef",
			Health: &sluicev1.PoolHealth{Up: 1, Enabled: 5, Panic: true, Threshold: 25}}, {Pool: &sluicev1.Pool{Name: "unchecked"}, Slots: 1024, EmptySlots: 1024, Digest: "00"}}},
		"ListBackends": &sluicev1.ListBackendsResponse{Backends: []*sluicev1.BackendStatus{
			{Pool: "p", Backend: &sluicev1.Backend{Name: "a", Admin: sluicev1.Admin_ADMIN_DRAINED}, EffectiveWeight: 100, Slots: 1021, Counter: counter(50),
				NextHop: &sluicev1.NextHop{State: sluicev1.NextHop_STATE_EGRESS_UNMANAGED},
				Health:  &sluicev1.BackendHealth{State: sluicev1.BackendHealth_STATE_DOWN, Ignored: true}},
			// It had another address before, and that one still has flows.
			{Pool: "p", Backend: &sluicev1.Backend{Name: "a", Address: "10.9.3.9"}, Leaving: true, KeepsSlots: 2, Flows: 4, Counter: counter(5)}}},
		"GetStats": &sluicev1.GetStatsResponse{Tracking: &sluicev1.Tracking{Lookups: 9, Hits: 6, Inserts: 2, Held: 1}, Verdicts: []*sluicev1.VerdictStat{
			{Interface: "eth0", Verdict: "forwarded", Packets: 40}, {Interface: "eth0", Verdict: "malformed", Packets: 2}, {Interface: "eth1", Verdict: "forwarded", Packets: 10}}},
	}}
}

// newMetrics has every metric.
func newMetrics(a *api, d Frames) *Metrics {
	m := New("v0-test", slog.New(slog.DiscardHandler))
	m.Collect(Source{API: a, Driver: d, Ready: func() bool { return true }, Watching: func() int { return 3 }})
	m.Applied(3*time.Millisecond, nil)
	m.Applied(time.Second, errors.New("full"))
	m.Call("Apply", codes.OK, time.Second)
	m.Call("SetVip", codes.NotFound, time.Second)
	m.Request("rest", 200)
	m.Refused(RefusedHost)
	return m
}

func scrapeOf(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// ours leaves out what the Go runtime and the process tell.
func ours(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "sluice_") && !strings.HasPrefix(line, "sluice_build_info") {
			out.WriteString(line)
		}
	}
	return out.String()
}

func TestScrape(t *testing.T) {
	got := ours(scrapeOf(t, newMetrics(newAPI(), drivers{"eth0": 1042, "eth1": 5})))
	golden := filepath.Join("testdata", "metrics.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestUnaccountedFrames(t *testing.T) {
	seen := drivers{"eth0": 1042}
	m := newMetrics(newAPI(), seen)
	for _, row := range []struct {
		seen uint64
		want string
	}{{1042, "0"}, {1042, "0"}, {1045, "3"}, {1045, "3"}} {
		seen["eth0"] = row.seen
		if line := fmt.Sprintf("sluice_frames_unaccounted{interface=\"eth0\"} %s\n", row.want); !strings.Contains(scrapeOf(t, m), line) {
			t.Errorf("with %d frames seen there is no %q", row.seen, line)
		}
	}
}

// What cannot be read is missing and counted; the rest is there.
func TestFailuresAreCounted(t *testing.T) {
	for method, part := range map[string]string{"GetStatus": "status", "ListVips": "vips", "ListPools": "pools", "ListBackends": "backends", "GetStats": "stats"} {
		a := newAPI()
		a.errs[method] = errors.New("broken")
		m := newMetrics(a, drivers{})
		scrapeOf(t, m)
		got := scrapeOf(t, m)
		// The first scrape may have gathered the counter before it was raised.
		if !strings.Contains(got, `sluice_collector_failures_total{part="`+part+`"} 1`) && !strings.Contains(got, `sluice_collector_failures_total{part="`+part+`"} 2`) {
			t.Errorf("%s fails: not counted\n%s", method, ours(got))
		}
		if !strings.Contains(got, "sluice_ready 1\n") || method != "ListVips" && method != "GetStatus" && !strings.Contains(got, "sluice_vip_packets_total") {
			t.Errorf("%s fails: the rest is missing\n%s", method, ours(got))
		}
	}
	a := newAPI()
	a.answers["GetStatus"].(*sluicev1.GetStatusResponse).Interfaces[2].Name = "eth9"
	m := newMetrics(a, drivers{})
	scrapeOf(t, m)
	if got := scrapeOf(t, m); strings.Contains(got, `sluice_collector_failures_total{part="driver"} 0`) {
		t.Error("a driver that cannot be read is not counted")
	}
}

func TestNotReady(t *testing.T) {
	m := New("v0-test", slog.New(slog.DiscardHandler))
	a := newAPI()
	m.Collect(Source{API: a, Ready: func() bool { return false }, Watching: func() int { return 0 }})
	got := scrapeOf(t, m)
	if !strings.Contains(got, "sluice_ready 0\n") || strings.Contains(got, "sluice_revision") || strings.Contains(got, `part="status"} 1`) {
		t.Errorf("before the start:\n%s", ours(got))
	}
}

// promtool is the tool that checks metrics and rules; scripts/install-test-deps brings it.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		path, err = exec.LookPath(filepath.Join("..", "..", "bin", "tools", "promtool"))
	}
	if err != nil {
		if os.Getenv("CI") != "" || os.Getenv("SLUICE_TEST_REQUIRE") != "" {
			t.Fatalf("promtool is missing (run scripts/install-test-deps)")
		}
		t.Skip("promtool is missing (run scripts/install-test-deps)")
	}
	return path
}

func TestPromtoolFindsNoFault(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), promtool(t), "check", "metrics")
	cmd.Stdin = strings.NewReader(scrapeOf(t, newMetrics(newAPI(), drivers{"eth0": 1042})))
	out, err := cmd.CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAlertRules runs the rules' own tests, and looks that every metric in a rule is one of ours and every rule is tested.
func TestAlertRules(t *testing.T) {
	rules := filepath.Join("..", "..", "deploy", "prometheus", "alerts.yaml")
	tests := filepath.Join(filepath.Dir(rules), "alerts_test.yaml")
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	tested, err := os.ReadFile(tests)
	if err != nil {
		t.Fatal(err)
	}
	families, err := newMetrics(newAPI(), drivers{"eth0": 1042}).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, f := range families {
		known[f.GetName()] = true
	}
	for _, name := range regexp.MustCompile(`sluice_\w+`).FindAllString(string(text), -1) {
		if !known[name] {
			t.Errorf("a rule has %q, which is no metric", name)
		}
	}
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(text), -1)
	for _, a := range alerts {
		// Once for the healthy nodes, then before and after it fires.
		if n := strings.Count(string(tested), "alertname: "+a[1]); n < 3 {
			t.Errorf("alert %s is tested %d times, want 3", a[1], n)
		}
	}
	if len(alerts) == 0 {
		t.Error("there are no alerts")
	}
	for _, args := range [][]string{{"check", "rules", rules}, {"test", "rules", tests}} {
		if out, err := exec.CommandContext(t.Context(), promtool(t), args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestDocumentHasEveryMetric compares the table of docs/metrics.md with what is registered.
func TestDocumentHasEveryMetric(t *testing.T) {
	families, err := newMetrics(newAPI(), drivers{"eth0": 1042}).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	for _, f := range newFamilies().list() {
		declared[f.Name] = true
	}
	var table strings.Builder
	table.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "sluice_") {
			continue
		}
		delete(declared, f.GetName())
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		sort.Strings(labels)
		help, _, _ := strings.Cut(f.GetHelp(), " next: ") // the verdicts have a table of their own
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, " "), help)
	}
	if len(declared) > 0 {
		t.Errorf("no scrape has %v", declared)
	}
	const begin, end = "<!-- table of metrics -->\n", "<!-- end of table -->\n"
	page := filepath.Join("..", "..", "docs", "metrics.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	was, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between %q and %q", page, begin, end)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		was = table.String()
	}
	if diff := cmp.Diff(table.String(), was); diff != "" {
		t.Errorf("the table of %s differs (go test ./control/metrics -update writes it):\n%s", page, diff)
	}
}
