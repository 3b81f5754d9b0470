package control_test

import (
	"context"
	"io"
	"net/http/httptest"
	"testing"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/control/metrics"
	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func largeNode(b *testing.B) *control.Server {
	b.Helper()
	n := mustNode(b, b.TempDir())
	n.engine = control.NewEngine(control.Options{Dataplane: n.dp, Store: n.store, NextHops: n.hops,
		Limits: lb.Limits{VIPs: 20000, Backends: 20000, Slots: 8 << 20}, Log: quiet})
	if err := n.engine.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	n.apply(b, large(50))
	server := control.NewServer(n.engine, "v0-test", quiet, ownGuard())
	server.Ready()
	return server
}

// BenchmarkScrape is what a scrape of a large node costs.
func BenchmarkScrape(b *testing.B) {
	server := largeNode(b)
	m := metrics.New("v0-test", quiet)
	m.Collect(metrics.Source{API: server.Local(), Ready: server.IsReady, Watching: server.Watching})
	handler := m.Handler()
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), "GET", "/metrics", nil))
		n, err := io.Copy(io.Discard, w.Body)
		if err != nil || w.Code != 200 {
			b.Fatalf("status %d, %v", w.Code, err)
		}
		b.ReportMetric(float64(n), "bytes/scrape")
	}
}

// BenchmarkListVips is what a board reads each second for all who watch VIPs.
func BenchmarkListVips(b *testing.B) {
	client := sluicev1.NewSluiceClient(largeNode(b).Local())
	for b.Loop() {
		r, err := client.ListVips(context.Background(), &sluicev1.ListVipsRequest{})
		if err != nil || len(r.GetVips()) != 10000 {
			b.Fatalf("%d VIPs, %v", len(r.GetVips()), err)
		}
	}
}
