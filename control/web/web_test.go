package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	apiproto "github.com/sluice-lb/sluice/proto"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// api answers each method with a message, or as it does in err; it notes requests.
type api struct {
	answers map[string]proto.Message
	err     error

	mu       sync.Mutex
	requests []string
}

func (a *api) Invoke(_ context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	a.mu.Lock()
	a.requests = append(a.requests, fmt.Sprintf("%s %v", method[strings.LastIndexByte(method, '/')+1:], args))
	a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	proto.Merge(reply.(proto.Message), a.answers[method[strings.LastIndexByte(method, '/')+1:]])
	return nil
}

func (a *api) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "no streams")
}

// last is the last request, without the random spaces that protobuf prints on purpose.
func (a *api) last() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.requests) == 0 {
		return ""
	}
	return strings.Join(strings.Fields(a.requests[len(a.requests)-1]), " ")
}

// counts is metrics that count in maps.
type counts struct {
	mu       sync.Mutex
	requests map[string]int
	refused  map[string]int
}

func (c *counts) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
}

func (c *counts) Request(handler string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[fmt.Sprintf("%s %d", handler, status)]++
}

func (c *counts) Refused(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[reason]++
}

func (c *counts) of(m map[string]int, key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return m[key]
}

// node serves an API until the test ends.
type node struct {
	*api
	*counts
	address string
}

var pool = &sluicev1.PoolStatus{Pool: &sluicev1.Pool{Name: "web", Encap: sluicev1.Encap_ENCAP_IPIP, Backends: []*sluicev1.Backend{{Name: "a", Address: "10.9.3.2"}}},
	Slots: 1024, Digest: "0011223344556677"}

func mustServe(t *testing.T) *node {
	t.Helper()
	counter := &sluicev1.Counter{Packets: 1<<63 + 1, Bytes: 2}
	backend := &sluicev1.BackendStatus{Pool: "web", Backend: &sluicev1.Backend{Name: "a"}, Counter: counter, NextHop: &sluicev1.NextHop{State: sluicev1.NextHop_STATE_NO_ROUTE}}
	n := &node{counts: &counts{requests: map[string]int{}, refused: map[string]int{}}, api: &api{answers: map[string]proto.Message{
		"ListVips": &sluicev1.ListVipsResponse{Revision: 7, Vips: []*sluicev1.VipStatus{
			{Vip: &sluicev1.Vip{Name: "v", Protocol: sluicev1.Protocol_PROTOCOL_TCP, Ports: []string{"80"}}, Counter: counter}}},
		"ListPools":     &sluicev1.ListPoolsResponse{Pools: []*sluicev1.PoolStatus{pool}},
		"ListBackends":  &sluicev1.ListBackendsResponse{Backends: []*sluicev1.BackendStatus{backend}},
		"ListSlots":     &sluicev1.ListSlotsResponse{Owners: []int32{0, -1}, Backends: []string{"a"}},
		"ListFlows":     &sluicev1.ListFlowsResponse{Flows: []*sluicev1.Flow{{State: sluicev1.Flow_STATE_CLOSING, IdleSeconds: 1.5}}, Total: 1},
		"ListRevisions": &sluicev1.ListRevisionsResponse{Revisions: []*sluicev1.Revision{{Revision: 6, Author: "root"}}},
		"Diff":          &sluicev1.DiffResponse{Changes: []*sluicev1.Change{{Kind: sluicev1.Change_KIND_CREATED}}},
		"GetStats":      &sluicev1.GetStatsResponse{Verdicts: []*sluicev1.VerdictStat{{Interface: "eth0", Verdict: "forwarded", Action: "tx", Packets: 5}}},
		"GetStatus":     &sluicev1.GetStatusResponse{Version: "v0", Revision: 7, Warnings: []string{"<b>careful</b>"}},
		"Export":        &sluicev1.ExportResponse{Config: &sluicev1.Config{Pools: []*sluicev1.Pool{pool.GetPool()}}, Revision: 7},
	}}}
	s, err := New(Options{API: n.api, Metrics: n.counts, Hosts: []string{"LB1.example.net."}, Version: "v0-test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop(time.Second)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return n
}

// send sends a request for a path of a host and returns the answer with its body.
func (n *node) send(t *testing.T, method, host, path string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestHosts(t *testing.T) {
	n := mustServe(t)
	refused := 0
	for host, want := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:9180": 200, "[::1]:9180": 200, "[2001:db8::1]": 200, "10.0.0.1:1": 200, "localhost": 200, "LOCALHOST:9180": 200,
		"localhost.": 200, "lb1.example.net": 200, "lb1.example.net:80": 200, "LB1.EXAMPLE.NET.": 200,
		"evil.example": 421, "evil.example:9180": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example:80": 421, "lb1": 421, "0x7f000001": 421, "2130706433": 421,
		"xlb1.example.net": 421,
	} {
		resp, body := n.send(t, http.MethodGet, host, "/v1/vips")
		if resp.StatusCode != want {
			t.Errorf("host %q: status %d, want %d", host, resp.StatusCode, want)
		}
		if want == 421 {
			refused++
			if !strings.Contains(body, "http_hosts") || strings.Contains(body, "revision") {
				t.Errorf("host %q is told %q", host, body)
			}
		}
	}
	if got := n.of(n.refused, refusedHost); got != refused {
		t.Errorf("%d refused requests are counted, want %d", got, refused)
	}
}

// HTTP/1.0 may come without a Host, and so may rebinding.
func TestNoHost(t *testing.T) {
	n := mustServe(t)
	c, err := net.Dial("tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /metrics HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, " 421 ") {
		t.Errorf("answered %q, %v", line, err)
	}
}

func TestMethods(t *testing.T) {
	n := mustServe(t)
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "PATCH": 405, "OPTIONS": 405, "CONNECT": 405, "BREW": 405} {
		for _, path := range []string{"/v1/vips", "/metrics", "/"} {
			resp, body := n.send(t, method, "localhost", path)
			if resp.StatusCode != want {
				t.Errorf("%s %s: status %d, want %d", method, path, resp.StatusCode, want)
			}
			if want == 405 && resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: Allow %q", method, path, resp.Header.Get("Allow"))
			}
			if method == "HEAD" && body != "" {
				t.Errorf("HEAD %s has a body: %q", path, body)
			}
		}
	}
	if got := n.of(n.refused, refusedMethod); got != 7*3 {
		t.Errorf("%d refused requests are counted, want %d", got, 7*3)
	}
}

func TestREST(t *testing.T) {
	n := mustServe(t)
	for _, row := range []struct{ path, request, part string }{
		{"/v1/vips", "ListVips", `"protocol":"tcp","ports":["80"]`},
		{"/v1/vips", "ListVips", `"counter":{"packets":9223372036854775809,"bytes":2,"new_flows":0,"refused":0`},
		{"/v1/vips/v.1", `ListVips name:"v.1"`, `"revision":7`},
		{"/v1/pools", "ListPools", `"encap":"ipip"`},
		{"/v1/pools/web", `ListPools name:"web"`, `"empty_slots":0`},
		{"/v1/backends", "ListBackends", `"next_hop":{"state":"no-route"`},
		{"/v1/backends/web", `ListBackends pool:"web"`, `"effective_weight":0`},
		{"/v1/backends/web/a", `ListBackends pool:"web" name:"a"`, `"pool":"web"`},
		{"/v1/backends?name=a", `ListBackends name:"a"`, `"backends":[`},
		{"/v1/slots/web", `ListSlots pool:"web"`, `"owners":[0,-1]`},
		{"/v1/flows", "ListFlows", `"state":"closing","idle_seconds":1.5`},
		{"/v1/flows/web?limit=5", `ListFlows pool:"web" limit:5`, `"total":1`},
		{"/v1/revisions/6", "ListRevisions revision:6", `"author":"root"`},
		{"/v1/revisions?limit=3", "ListRevisions limit:3", `"revisions":[`},
		{"/v1/diff?from=0&to=7", "Diff from:0 to:7", `"kind":"created"`},
		{"/v1/stats", "GetStats", `"packets":5`},
		{"/v1/status", "GetStatus", `"warnings":["<b>careful</b>"]`},
		{"/v1/config", "Export", `"config":{"pools":[{"name":"web","encap":"ipip"`},
	} {
		resp, body := n.send(t, http.MethodGet, "localhost", row.path)
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, row.part) || !json.Valid([]byte(body)) {
			t.Errorf("%s: status %d, %s\nwant %s", row.path, resp.StatusCode, body, row.part)
		}
		if got := n.last(); got != row.request {
			t.Errorf("%s asked %q, want %q", row.path, got, row.request)
		}
		for header, want := range map[string]string{"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
			if got := resp.Header.Get(header); got != want {
				t.Errorf("%s: %s %q, want %q", row.path, header, got, want)
			}
		}
	}
	if got := n.of(n.counts.requests, "rest 200"); got != 18 {
		t.Errorf("%d answers are counted, want 18", got)
	}
}

func TestRESTErrors(t *testing.T) {
	n := mustServe(t)
	for _, row := range []struct {
		err    error
		path   string
		status int
		part   string
	}{
		{status.Error(codes.NotFound, `vip "x" does not exist`), "/v1/vips/x", 404, `{"code":5,"message":"vip \"x\" does not exist","details":[]}`},
		{status.Error(codes.Unavailable, "lbd is starting"), "/v1/vips", 503, `"message":"lbd is starting"`},
		{nil, "/v1/nothing", 404, `"code":5`},
		{nil, "/v1/vips/a/b", 404, `"code":5`},
		{nil, "/nothing", 404, "not found"},
	} {
		n.err = row.err
		resp, body := n.send(t, http.MethodGet, "localhost", row.path)
		if resp.StatusCode != row.status || !strings.Contains(body, row.part) {
			t.Errorf("%s: status %d, %s\nwant %d, %s", row.path, resp.StatusCode, body, row.status, row.part)
		}
	}
}

func TestPage(t *testing.T) {
	n := mustServe(t)
	resp, body := n.send(t, http.MethodGet, "localhost", "/")
	if got := resp.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	if strings.Contains(body, "<b>") || strings.Contains(body, "<script") || !strings.Contains(body, "Revision 7") || !strings.Contains(body, "v0-test") {
		t.Errorf("the page is\n%s", body)
	}
	links := regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(body, -1)
	if len(links) < 8 {
		t.Errorf("the page has %d links", len(links))
	}
	for _, l := range links {
		if resp, _ := n.send(t, http.MethodGet, "localhost", l[1]); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", l[1], resp.StatusCode)
		}
	}
	n.err = status.Error(codes.Unavailable, "lbd is starting")
	if resp, body := n.send(t, http.MethodGet, "localhost", "/"); resp.StatusCode != http.StatusOK || !strings.Contains(body, "lbd is starting") {
		t.Errorf("before the start: status %d\n%s", resp.StatusCode, body)
	}
}

// schema is the part of OpenAPI that the answers are checked by.
type schema struct {
	Ref        string            `json:"$ref"`
	Type       string            `json:"type"`
	Enum       []string          `json:"enum"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
}

// TestOpenAPISaysWhatIsAnswered compares every answer with the description that is served.
func TestOpenAPISaysWhatIsAnswered(t *testing.T) {
	n := mustServe(t)
	_, body := n.send(t, http.MethodGet, "localhost", "/v1/openapi.json")
	if body != string(apiproto.OpenAPI) {
		t.Fatal("the description is not the committed one")
	}
	var d struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Schema schema `json:"schema"`
			} `json:"responses"`
		} `json:"paths"`
		Definitions map[string]schema `json:"definitions"`
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	for path, methods := range d.Paths {
		if len(methods) != 1 || len(methods["get"].Responses) == 0 {
			t.Errorf("%s has other methods than GET: %v", path, methods)
		}
		_, body := n.send(t, http.MethodGet, "localhost", strings.NewReplacer("{revision}", "6", "{", "", "}", "").Replace(path))
		var answer any
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		check(t, d.Definitions, path, methods["get"].Responses["200"].Schema, answer)
	}
	if len(d.Paths) < 16 {
		t.Errorf("%d paths are described", len(d.Paths))
	}
}

func check(t *testing.T, definitions map[string]schema, path string, s schema, v any) {
	t.Helper()
	if s.Ref != "" {
		s = definitions[strings.TrimPrefix(s.Ref, "#/definitions/")]
	}
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			property, ok := s.Properties[name]
			if !ok {
				t.Errorf("%s.%s is not described", path, name)
				continue
			}
			check(t, definitions, path+"."+name, property, field)
		}
	case []any:
		if s.Type != "array" {
			t.Errorf("%s is an array, described as %q", path, s.Type)
			return
		}
		for _, item := range v {
			check(t, definitions, path+"[]", *s.Items, item)
		}
	case float64:
		if s.Type != "integer" && s.Type != "number" {
			t.Errorf("%s is a number, described as %q", path, s.Type)
		}
	case string:
		if s.Type != "string" {
			t.Errorf("%s is text, described as %q", path, s.Type)
		}
		if len(s.Enum) > 0 && !strings.Contains(" "+strings.Join(s.Enum, " ")+" ", " "+v+" ") {
			t.Errorf("%s is %q, described as one of %v", path, v, s.Enum)
		}
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	n := mustServe(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 1<<20))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // cut off while it was sent
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestListen(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if Open(l) {
		t.Error("loopback is said to be open")
	}
	if _, err := Listen(l.Addr().String()); err == nil || !strings.Contains(err.Error(), "use another --http") {
		t.Errorf("a taken port: %v", err)
	}
	open, err := Listen("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if !Open(open) {
		t.Error("every address is said to be loopback")
	}
}
