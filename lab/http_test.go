package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// httpAddress is where lbd serves HTTP by default.
const httpAddress = "127.0.0.1:9180"

// get reads a path of the load balancer's HTTP port, from inside its namespace and under a name.
func get(t *testing.T, topology *Topology, host, path string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return topology.LB.Dial("tcp", httpAddress) }}}
	resp, err := client.Get("http://" + host + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// metrics is one scrape: values by name and labels.
func metrics(t *testing.T, topology *Topology) map[string]float64 {
	t.Helper()
	status, body := get(t, topology, httpAddress, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("metrics: status %d: %s", status, body)
	}
	out := map[string]float64{}
	for line := range strings.Lines(body) {
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
		if err != nil {
			t.Fatalf("metrics: %q: %v", line, err)
		}
		out[line[:i]] = value
	}
	return out
}

// verdictSum adds up the verdicts of a scrape.
func verdictSum(m map[string]float64) (sum float64) {
	for name, value := range m {
		if strings.HasPrefix(name, "sluice_verdict_packets_total{") {
			sum += value
		}
	}
	return sum
}

const (
	seenMetric        = `sluice_frames_seen_total{interface="` + Iface + `"}`
	unaccountedMetric = `sluice_frames_unaccounted{interface="` + Iface + `"}`
)

// TestFramesSeenAreAccountedFor scrapes while traffic flows and at rest: the frames that the driver saw are those that
// verdicts count, and the metric that says otherwise stays 0.
func TestFramesSeenAreAccountedFor(t *testing.T) {
	topology, _ := raiseWhole(t, 2)
	before := metrics(t, topology)
	if _, ok := before[seenMetric]; !ok {
		t.Fatalf("there is no %s", seenMetric)
	}
	ctx, stop := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() {
		for ctx.Err() == nil {
			send(t, topology.Client, HostPort(VIPV4.String(), UDPPort), 200, 100)
		}
	})
	for range 30 {
		if m := metrics(t, topology); m[unaccountedMetric] != 0 {
			t.Errorf("under traffic %v frames are unaccounted for", m[unaccountedMetric])
		}
	}
	stop()
	sending.Wait()
	var m map[string]float64
	eventually(t, 5*time.Second, func() error {
		last := m
		time.Sleep(50 * time.Millisecond)
		if m = metrics(t, topology); last == nil || last[seenMetric] != m[seenMetric] {
			return fmt.Errorf("traffic does not come to rest")
		}
		return nil
	})
	if seen, counted := m[seenMetric]-before[seenMetric], verdictSum(m)-verdictSum(before); seen != counted || counted < 200 {
		t.Errorf("the driver saw %v frames, verdicts count %v", seen, counted)
	}
	if m[unaccountedMetric] != 0 {
		t.Errorf("at rest %v frames are unaccounted for", m[unaccountedMetric])
	}
	if v, b := m[`sluice_vip_packets_total{vip="web-udp"}`], m[`sluice_verdict_packets_total{interface="`+Iface+`",verdict="forwarded"}`]; v == 0 || v > b {
		t.Errorf("the VIP counts %v packets, the verdict %v", v, b)
	}
}

// TestHTTPPort reads the same over HTTP as over the API, under names of the node alone.
func TestHTTPPort(t *testing.T) {
	topology, _ := raiseWhole(t, 1)
	var config struct {
		Config struct {
			Pools, VIPs []struct{ Name string }
		}
	}
	status, body := get(t, topology, "localhost", "/v1/config")
	if err := json.Unmarshal([]byte(body), &config); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %v: %s", status, err, body)
	}
	names, err := topology.LBCtl("", "get", "vips", "-o", "name")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(config.Config.VIPs), strings.Count(names, "\n"); got != want || want == 0 {
		t.Errorf("over HTTP there are %d VIPs, over the API %d", got, want)
	}
	for host, want := range map[string]int{"evil.example": http.StatusMisdirectedRequest, "[::1]:9180": http.StatusOK} {
		if status, body := get(t, topology, host, "/v1/status"); status != want {
			t.Errorf("as %s: status %d, want %d: %s", host, status, want, body)
		}
	}
	if m := metrics(t, topology); m[`sluice_http_refused_total{reason="host"}`] != 1 {
		t.Errorf("%v requests are counted as refused, want 1", m[`sluice_http_refused_total{reason="host"}`])
	}
}

// TestWatch has lbctl watch backends while a weight changes and the daemon stops.
func TestWatch(t *testing.T) {
	topology, lbd := raiseWhole(t, 2)
	cmd := exec.Command(topology.binaries.LBCtl, "--server", topology.API(), "get", "backends", "--pool", "web", "-w", "-o", "json")
	var failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill() //nolint:errcheck // it has ended, unless the test failed
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	// await reads lines until one has the words.
	await := func(words string) {
		t.Helper()
		for timeout := time.After(10 * time.Second); ; {
			select {
			case line, ok := <-lines:
				if !ok {
					t.Fatalf("the watch ended: %s", failure.String())
				}
				if !json.Valid([]byte(line)) {
					t.Errorf("not JSON: %s", line)
				}
				if strings.Contains(line, words) {
					return
				}
			case <-timeout:
				t.Fatalf("the watch does not tell %q", words)
			}
		}
	}
	await(`"name":"web-1"`)
	await(`"name":"web-2"`)
	if _, err := topology.LBCtl("", "weight", "web/web-1", "0"); err != nil {
		t.Fatal(err)
	}
	await(`"effective_weight":0`)
	if err := lbd.Stop(); err != nil {
		t.Fatal(err)
	}
	for range lines { // what was on its way
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(failure.String(), "lbd is stopping") {
		t.Errorf("when lbd stopped the watch ended with %v: %s", err, failure.String())
	}
}
