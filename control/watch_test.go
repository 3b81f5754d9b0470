package control_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// receive is the next answer; the test fails where none comes.
func receive[T any](t *testing.T, stream grpc.ServerStreamingClient[T]) *T {
	t.Helper()
	got, err := receiveWithin(t, stream, 5*time.Second)
	if err != nil {
		t.Fatalf("the watch ended: %v", err)
	}
	return got
}

func receiveWithin[T any](t *testing.T, stream grpc.ServerStreamingClient[T], wait time.Duration) (*T, error) {
	t.Helper()
	type result struct {
		got *T
		err error
	}
	done := make(chan result, 1)
	go func() { got, err := stream.Recv(); done <- result{got, err} }()
	select {
	case r := <-done:
		return r.got, r.err
	case <-time.After(wait):
		t.Fatalf("no answer within %s", wait)
		return nil, nil
	}
}

// words names what an answer to WatchVips or WatchBackends has, as "+name" and "-name".
func words(answer any) string {
	var out []string
	var deleted []string
	switch a := answer.(type) {
	case *sluicev1.WatchVipsResponse:
		for _, v := range a.GetVips() {
			out = append(out, "+"+v.GetVip().GetName())
		}
		deleted = a.GetDeleted()
	case *sluicev1.WatchPoolsResponse:
		for _, p := range a.GetPools() {
			out = append(out, "+"+p.GetPool().GetName())
		}
		deleted = a.GetDeleted()
	case *sluicev1.WatchBackendsResponse:
		for _, b := range a.GetBackends() {
			out = append(out, "+"+b.GetPool()+"/"+b.GetBackend().GetName())
		}
		deleted = a.GetDeleted()
	}
	for _, name := range deleted {
		out = append(out, "-"+name)
	}
	return strings.Join(out, " ")
}

func want(t *testing.T, answer any, text string) {
	t.Helper()
	if got := words(answer); got != text {
		t.Errorf("the watch told %q, want %q", got, text)
	}
}

func TestWatchTellsWhatChanges(t *testing.T) {
	_, c := webNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	vips, err := c.WatchVips(ctx, &sluicev1.WatchVipsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	pools, err := c.WatchPools(ctx, &sluicev1.WatchPoolsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	backends, err := c.WatchBackends(ctx, &sluicev1.WatchBackendsRequest{Pool: "web"})
	if err != nil {
		t.Fatal(err)
	}
	want(t, receive(t, vips), "+web")
	want(t, receive(t, pools), "+web")
	want(t, receive(t, backends), "+web/web-a +web/web-b")

	if _, err := c.CreatePool(ctx, &sluicev1.CreatePoolRequest{Pool: &sluicev1.Pool{Name: "other",
		Backends: []*sluicev1.Backend{{Name: "x", Address: "10.9.4.1"}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateVip(ctx, &sluicev1.CreateVipRequest{Vip: &sluicev1.Vip{Name: "new", Address: "198.51.100.11",
		Protocol: sluicev1.Protocol_PROTOCOL_UDP, Ports: []string{"53"}, Pool: "other"}}); err != nil {
		t.Fatal(err)
	}
	got := receive(t, vips)
	want(t, got, "+new")
	if got.GetRevision() != 3 {
		t.Errorf("revision %d, want 3", got.GetRevision())
	}
	// Two changes of the pool may be told as one.
	for last := receive(t, pools); len(last.GetPools()[0].GetVips()) == 0; last = receive(t, pools) {
		want(t, last, "+other")
	}

	if _, err := c.DeleteBackend(ctx, &sluicev1.DeleteBackendRequest{Pool: "web", Name: "web-a"}); err != nil {
		t.Fatal(err)
	}
	// web-b owns more slots now, and web-a keeps the flows of those it had; the other pool was not asked for.
	a := receive(t, backends)
	want(t, a, "+web/web-b +web/web-a -web/web-a")
	if last := a.GetBackends()[1]; !last.GetLeaving() {
		t.Errorf("a removed backend is not leaving: %v", last)
	}
	if _, err := c.DeleteVip(ctx, &sluicev1.DeleteVipRequest{Name: "new"}); err != nil {
		t.Fatal(err)
	}
	for {
		a := receive(t, vips)
		if words(a) == "-new" {
			break
		}
		want(t, a, "+web") // which has fewer backends
	}
}

func TestWatchOfCountersAndNextHops(t *testing.T) {
	n, c := webNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	plain, err := c.WatchBackends(ctx, &sluicev1.WatchBackendsRequest{Name: "web-a"})
	if err != nil {
		t.Fatal(err)
	}
	counting, err := c.WatchVips(ctx, &sluicev1.WatchVipsRequest{Counters: true})
	if err != nil {
		t.Fatal(err)
	}
	want(t, receive(t, plain), "+web/web-a")
	want(t, receive(t, counting), "+web")
	index := n.engine.State().Layout.VIPs["web"]
	n.dp.count(lb.Counters{VIPs: make([]lb.Counter, index+1), Backends: []lb.Counter{{}, {Packets: 5}, {Packets: 6}}}, index)
	got := receive(t, counting)
	want(t, got, "+web")
	if p := got.GetVips()[0].GetCounter().GetPackets(); p != 77 {
		t.Errorf("counted %d packets, want 77", p)
	}
	// Counters alone were no news for the other; a next hop that is lost is.
	n.hops.set(netip.MustParseAddr("10.9.3.10"), lb.NextHop{})
	a := receive(t, plain)
	want(t, a, "+web/web-a")
	if s := a.GetBackends()[0].GetNextHop().GetState(); s != sluicev1.NextHop_STATE_NO_ROUTE {
		t.Errorf("next hop %s, want no route", s)
	}
}

func TestWatchFlows(t *testing.T) {
	n, c := webNode(t)
	entry := func(port uint16, state lb.FlowState, age time.Duration) lb.FlowEntry {
		return lb.FlowEntry{Flow: lb.Flow{Protocol: lb.TCP, Source: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.7"), port),
			Destination: netip.MustParseAddrPort("198.51.100.10:80")}, VIP: n.engine.State().Layout.VIPs["web"], State: state, Age: age}
	}
	n.dp.track(entry(1, lb.FlowSYN, 0), entry(2, lb.FlowEstablished, 0))
	stream, err := c.WatchFlows(t.Context(), &sluicev1.WatchFlowsRequest{Pool: "web"})
	if err != nil {
		t.Fatal(err)
	}
	if a := receive(t, stream); len(a.GetFlows()) != 2 {
		t.Errorf("the watch told %v, want two flows", a)
	}
	// To be silent for longer is no news; to be established is, and so is to be gone.
	n.dp.track(entry(1, lb.FlowSYN, time.Minute), entry(2, lb.FlowEstablished, time.Minute), entry(3, lb.FlowSYN, 0))
	if a := receive(t, stream); len(a.GetFlows()) != 1 || a.GetFlows()[0].GetSource() != "203.0.113.7:3" || len(a.GetDeleted()) != 0 {
		t.Errorf("the watch told %v, want flow 3", a)
	}
	n.dp.track(entry(3, lb.FlowEstablished, 0))
	a := receive(t, stream)
	if len(a.GetFlows()) != 1 || a.GetFlows()[0].GetState() != sluicev1.Flow_STATE_ESTABLISHED {
		t.Errorf("the watch told %v, want flow 3 established", a)
	}
	if len(a.GetDeleted()) != 2 || a.GetDeleted()[0].GetSource() != "203.0.113.7:1" || a.GetDeleted()[1].GetProtocol() != sluicev1.Protocol_PROTOCOL_TCP {
		t.Errorf("the watch told %v, want flows 1 and 2 gone", a)
	}
}

func TestWatchSlots(t *testing.T) {
	_, c := webNode(t)
	stream, err := c.WatchSlots(t.Context(), &sluicev1.WatchSlotsRequest{Pool: "web"})
	if err != nil {
		t.Fatal(err)
	}
	share := func(a *sluicev1.WatchSlotsResponse) (first int) {
		for _, owner := range a.GetSlots().GetOwners() {
			if owner == 0 {
				first++
			}
		}
		return first
	}
	if first := share(receive(t, stream)); first < 400 || first > 600 {
		t.Errorf("the first of two backends owns %d of 1024 slots", first)
	}
	for weight, least := range []int{0, 1} { // all for the second backend, then next to all
		if _, err := c.SetWeight(t.Context(), &sluicev1.SetWeightRequest{Pool: "web", Name: "web-a", Weight: uint32(weight)}); err != nil {
			t.Fatal(err)
		}
		if first := share(receive(t, stream)); first < least || first > 100 {
			t.Errorf("with weight %d the first backend owns %d slots", weight, first)
		}
	}
	if _, err := c.DeleteVip(t.Context(), &sluicev1.DeleteVipRequest{Name: "web"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeletePool(t.Context(), &sluicev1.DeletePoolRequest{Name: "web"}); err != nil {
		t.Fatal(err)
	}
	if _, err := receiveWithin(t, stream, 5*time.Second); status.Code(err) != codes.NotFound {
		t.Errorf("the pool is gone: %v, want NOT_FOUND", err)
	}
}

func TestWatchOfUnknown(t *testing.T) {
	_, c := webNode(t)
	for name, watch := range map[string]func() error{
		"vip":  func() error { return firstError(c.WatchVips(t.Context(), &sluicev1.WatchVipsRequest{Name: "no"})) },
		"pool": func() error { return firstError(c.WatchPools(t.Context(), &sluicev1.WatchPoolsRequest{Name: "no"})) },
		"backend": func() error {
			return firstError(c.WatchBackends(t.Context(), &sluicev1.WatchBackendsRequest{Name: "no"}))
		},
		"flows": func() error { return firstError(c.WatchFlows(t.Context(), &sluicev1.WatchFlowsRequest{Pool: "no"})) },
		"slots": func() error { return firstError(c.WatchSlots(t.Context(), &sluicev1.WatchSlotsRequest{Pool: "no"})) },
	} {
		if err := watch(); status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), `"no"`) {
			t.Errorf("%s: %v, want NOT_FOUND", name, err)
		}
	}
}

func firstError[T any](stream grpc.ServerStreamingClient[T], err error) error {
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

// throng is a configuration whose listing is larger than what a connection buffers for a stream.
func throng(n int, weight uint32) lb.Config {
	p := lb.Pool{Name: "web"}
	for i := range n {
		p.Backends = append(p.Backends, lb.Backend{Name: fmt.Sprintf("a-backend-with-a-long-name-%d", i),
			Address: netip.AddrFrom4([4]byte{10, 9, byte(i / 250), byte(i%250 + 1)}), Weight: weight, Scale: lb.ScaleOne})
	}
	return lb.Config{Pools: []lb.Pool{p}}
}

func TestSlowWatcherIsDropped(t *testing.T) {
	n := mustNode(t, t.TempDir())
	n.apply(t, throng(1000, 1))
	conn, server := mustServeWith(t, n, func(s *control.Server) { s.SetWatchPatience(300 * time.Millisecond) })
	c := sluicev1.NewSluiceClient(conn)
	slow, err := c.WatchBackends(t.Context(), &sluicev1.WatchBackendsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	quick, err := c.WatchPools(t.Context(), &sluicev1.WatchPoolsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	receive(t, quick)
	for server.Watching() < 2 { // the slow one is on its way
		time.Sleep(time.Millisecond)
	}
	for weight := uint32(2); server.Watching() > 1; weight++ {
		if weight > 50 {
			t.Fatal("a watcher that reads nothing is still there")
		}
		n.apply(t, throng(1000, weight))
		receive(t, quick) // is told all the same
	}
	for {
		if _, err := receiveWithin(t, slow, 5*time.Second); err != nil {
			if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "did not read for 300ms") {
				t.Errorf("dropped with %v", err)
			}
			return
		}
	}
}

func TestManyWatchers(t *testing.T) {
	n, c := webNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const many = 200
	streams := make([]grpc.ServerStreamingClient[sluicev1.WatchVipsResponse], many)
	for i := range streams {
		var err error
		if streams[i], err = c.WatchVips(ctx, &sluicev1.WatchVipsRequest{}); err != nil {
			t.Fatal(err)
		}
		want(t, receive(t, streams[i]), "+web")
	}
	cfg := web(2)
	cfg.VIPs[0].Ports = []uint16{80, 443}
	n.apply(t, cfg)
	var all sync.WaitGroup
	for _, s := range streams {
		all.Go(func() {
			if a, err := s.Recv(); err != nil || len(a.GetVips()) != 1 || len(a.GetVips()[0].GetVip().GetPorts()) != 2 {
				t.Errorf("the watch told %v, %v", a, err)
			}
		})
	}
	all.Wait()
}

func TestCancelledWatchersAreGone(t *testing.T) {
	n := mustNode(t, t.TempDir())
	n.apply(t, web(2))
	conn, server := mustServe(t, n)
	c := sluicev1.NewSluiceClient(conn)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			vips, err := c.WatchVips(ctx, &sluicev1.WatchVipsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			slots, err := c.WatchSlots(ctx, &sluicev1.WatchSlotsRequest{Pool: "web"})
			if err != nil {
				t.Fatal(err)
			}
			receive(t, vips)
			receive(t, slots)
		}
		if got := server.Watching(); got != 20 {
			t.Errorf("%d watch, want 20", got)
		}
		cancel()
		for deadline := time.Now().Add(5 * time.Second); server.Watching() > 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d cancelled watchers are left", server.Watching())
			}
		}
	}
	// What is left of goroutines, the clean-up of mustServe tells.
}

func TestTooManyWatchers(t *testing.T) {
	_, c := webNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range control.MaxWatchers {
		s, err := c.WatchPools(ctx, &sluicev1.WatchPoolsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		receive(t, s)
	}
	if err := firstError(c.WatchPools(ctx, &sluicev1.WatchPoolsRequest{})); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one too many: %v, want RESOURCE_EXHAUSTED", err)
	}
	if _, err := c.ListPools(ctx, &sluicev1.ListPoolsRequest{}); err != nil {
		t.Errorf("other calls: %v", err)
	}
}

func TestStopEndsWatches(t *testing.T) {
	n := mustNode(t, t.TempDir())
	n.apply(t, web(2))
	l := bufconn.Listen(1 << 20)
	server := control.NewServer(n.engine, "v0-test", quiet, ownGuard())
	served := make(chan error, 1)
	go func() { served <- server.GRPC().Serve(l) }()
	conn, err := grpc.NewClient("passthrough:bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := sluicev1.NewSluiceClient(conn).WatchVips(t.Context(), &sluicev1.WatchVipsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	receive(t, s)
	start := time.Now()
	server.Stop(10 * time.Second)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("the watch ended with %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	mustEnd(t)
}
