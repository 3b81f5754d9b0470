package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// meanwhile has the next watch run a command line of lbctl, or let time pass, once it has told what there is. After the
// last one the watch ends.
func (s *session) meanwhile(ts *testscript.TestScript, args []string) {
	step := func() {
		code := run(context.Background(), env{
			stdout: io.Discard, stderr: io.Discard, getenv: ts.Getenv, dial: s.dial, now: func() time.Time { return noon },
			readFile: func(name string) ([]byte, error) { return os.ReadFile(ts.MkAbs(name)) },
		}, args)
		if code != exitOK {
			ts.Logf("meanwhile %v: exit code %d", args, code)
		}
	}
	if args[0] == "pass" {
		d, err := time.ParseDuration(args[1])
		ts.Check(err)
		step = func() { s.server.pass(d) }
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.steps = append(s.server.steps, step)
}

// nextStep takes the next step; none is left at the end.
func (s *server) nextStep() (step func(), mode string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.steps) == 0 {
		return nil, s.mode
	}
	step, s.steps = s.steps[0], s.steps[1:]
	return step, s.mode
}

// follow tells what there is, and what is different after each step.
func follow[T proto.Message](s *server, list func() ([]T, error), key func(T) string, send func(changed []T, deleted []string) error) error {
	var told []T
	for {
		items, err := list()
		if err != nil {
			return err
		}
		old, present := map[string]T{}, map[string]bool{}
		for _, t := range told {
			old[key(t)] = t
		}
		var changed []T
		for _, i := range items {
			present[key(i)] = true
			if was, ok := old[key(i)]; !ok || !proto.Equal(was, i) {
				changed = append(changed, i)
			}
		}
		var deleted []string
		for _, t := range told {
			if !present[key(t)] {
				deleted = append(deleted, key(t))
			}
		}
		if err := send(changed, deleted); err != nil {
			return err
		}
		told = items
		step, mode := s.nextStep()
		if mode == "drop" {
			return status.Error(codes.ResourceExhausted, "the client did not read for 10s (watch again, and read faster)")
		}
		if step == nil {
			return nil
		}
		step()
	}
}

func (s *server) WatchVips(r *sluicev1.WatchVipsRequest, stream grpc.ServerStreamingServer[sluicev1.WatchVipsResponse]) error {
	return follow(s, func() ([]*sluicev1.VipStatus, error) {
		a, err := s.ListVips(stream.Context(), &sluicev1.ListVipsRequest{Name: r.GetName()})
		return a.GetVips(), err
	}, func(v *sluicev1.VipStatus) string { return v.GetVip().GetName() },
		func(changed []*sluicev1.VipStatus, deleted []string) error {
			return stream.Send(&sluicev1.WatchVipsResponse{Vips: changed, Deleted: deleted})
		})
}

func (s *server) WatchPools(r *sluicev1.WatchPoolsRequest, stream grpc.ServerStreamingServer[sluicev1.WatchPoolsResponse]) error {
	return follow(s, func() ([]*sluicev1.PoolStatus, error) {
		a, err := s.ListPools(stream.Context(), &sluicev1.ListPoolsRequest{Name: r.GetName()})
		return a.GetPools(), err
	}, func(p *sluicev1.PoolStatus) string { return p.GetPool().GetName() },
		func(changed []*sluicev1.PoolStatus, deleted []string) error {
			return stream.Send(&sluicev1.WatchPoolsResponse{Pools: changed, Deleted: deleted})
		})
}

func (s *server) WatchBackends(r *sluicev1.WatchBackendsRequest, stream grpc.ServerStreamingServer[sluicev1.WatchBackendsResponse]) error {
	return follow(s, func() ([]*sluicev1.BackendStatus, error) {
		a, err := s.ListBackends(stream.Context(), &sluicev1.ListBackendsRequest{Pool: r.GetPool(), Name: r.GetName()})
		return a.GetBackends(), err
	}, func(b *sluicev1.BackendStatus) string { return lb.BackendKey(b.GetPool(), b.GetBackend().GetName()) },
		func(changed []*sluicev1.BackendStatus, deleted []string) error {
			return stream.Send(&sluicev1.WatchBackendsResponse{Backends: changed, Deleted: deleted})
		})
}

func (s *server) WatchFlows(r *sluicev1.WatchFlowsRequest, stream grpc.ServerStreamingServer[sluicev1.WatchFlowsResponse]) error {
	known := map[string]*sluicev1.Flow{}
	return follow(s, func() ([]*sluicev1.Flow, error) {
		a, err := s.ListFlows(stream.Context(), &sluicev1.ListFlowsRequest{Pool: r.GetPool()})
		return a.GetFlows(), err
	}, func(f *sluicev1.Flow) string {
		known[f.GetSource()] = &sluicev1.Flow{Protocol: f.GetProtocol(), Source: f.GetSource(), Destination: f.GetDestination()}
		return f.GetSource()
	}, func(changed []*sluicev1.Flow, deleted []string) error {
		answer := &sluicev1.WatchFlowsResponse{Flows: changed}
		for _, source := range deleted {
			answer.Deleted = append(answer.Deleted, known[source])
		}
		return stream.Send(answer)
	})
}

func (s *server) WatchSlots(r *sluicev1.WatchSlotsRequest, stream grpc.ServerStreamingServer[sluicev1.WatchSlotsResponse]) error {
	return follow(s, func() ([]*sluicev1.ListSlotsResponse, error) {
		a, err := s.ListSlots(stream.Context(), &sluicev1.ListSlotsRequest{Pool: r.GetPool()})
		return []*sluicev1.ListSlotsResponse{a}, err
	}, func(*sluicev1.ListSlotsResponse) string { return "" },
		func(changed []*sluicev1.ListSlotsResponse, _ []string) error {
			for _, a := range changed {
				if err := stream.Send(&sluicev1.WatchSlotsResponse{Slots: a}); err != nil {
					return err
				}
			}
			return nil
		})
}

// signalled is a buffer that tells when something was written.
type signalled struct {
	bytes.Buffer
	once sync.Once
	some chan struct{}
}

func (s *signalled) Write(p []byte) (int, error) {
	defer s.once.Do(func() { close(s.some) })
	return s.Buffer.Write(p)
}

// TestInterruptEndsAWatch presses Ctrl-C once the watch has printed: that is no failure.
func TestInterruptEndsAWatch(t *testing.T) {
	s := newSession(t.Cleanup)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stuck := make(chan struct{})
	s.server.steps = []func(){func() { <-stuck }} // nothing more happens
	defer close(stuck)
	out := &signalled{some: make(chan struct{})}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, env{stdout: out, stderr: out, getenv: func(string) string { return "" }, dial: s.dial}, []string{"get", "vips", "-w", "--timeout", "5s"})
	}()
	<-out.some
	cancel()
	if got := <-code; got != exitOK || !strings.HasPrefix(out.String(), "NAME ") {
		t.Errorf("exit code %d\n%s", got, out.String())
	}
}
