package control

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

const (
	// maxWatchers bounds what watchers cost together.
	maxWatchers = 1000
	// maxWatchedFlows bounds what a watch of flows costs: those that were silent longest.
	maxWatchedFlows = 10000
	// watchPatience is how long an answer may wait for a client that does not read.
	watchPatience = 10 * time.Second
)

// watches is what the watching calls share.
type watches struct {
	patience time.Duration
	stopping chan struct{} // closed when the server stops
	watchers atomic.Int64

	vips     board[*sluicev1.VipStatus]
	pools    board[*sluicev1.PoolStatus]
	backends board[*sluicev1.BackendStatus]
	flows    board[*sluicev1.Flow]
}

func newWatches(s *Server) *watches {
	ctx := context.Background() // the listings do not wait for anything
	return &watches{
		patience: watchPatience,
		stopping: make(chan struct{}),
		vips: board[*sluicev1.VipStatus]{state: s.engine.State, counter: "counter", key: func(v *sluicev1.VipStatus) string { return v.GetVip().GetName() },
			list: func() ([]*sluicev1.VipStatus, uint64, error) {
				r, err := s.ListVips(ctx, &sluicev1.ListVipsRequest{})
				return r.GetVips(), r.GetRevision(), err
			}},
		pools: board[*sluicev1.PoolStatus]{state: s.engine.State, key: func(p *sluicev1.PoolStatus) string { return p.GetPool().GetName() },
			list: func() ([]*sluicev1.PoolStatus, uint64, error) {
				r, err := s.ListPools(ctx, &sluicev1.ListPoolsRequest{})
				return r.GetPools(), r.GetRevision(), err
			}},
		backends: board[*sluicev1.BackendStatus]{state: s.engine.State, counter: "counter", key: backendKeyOf,
			list: func() ([]*sluicev1.BackendStatus, uint64, error) {
				r, err := s.ListBackends(ctx, &sluicev1.ListBackendsRequest{})
				return r.GetBackends(), r.GetRevision(), err
			}},
		flows: board[*sluicev1.Flow]{state: s.engine.State, key: flowKeyOf, counter: "idle_seconds",
			list: func() ([]*sluicev1.Flow, uint64, error) {
				r, err := s.ListFlows(ctx, &sluicev1.ListFlowsRequest{Limit: maxWatchedFlows})
				return r.GetFlows(), s.engine.State().Revision, err
			}},
	}
}

// backendKeyOf tells a leaving backend from one of the same name.
func backendKeyOf(b *sluicev1.BackendStatus) string {
	key := lb.BackendKey(b.GetPool(), b.GetBackend().GetName())
	if b.GetLeaving() {
		return key + "@" + b.GetBackend().GetAddress() // as lb.LeavingKey
	}
	return key
}

func flowKeyOf(f *sluicev1.Flow) string {
	return f.GetProtocol().String() + " " + f.GetSource() + " " + f.GetDestination()
}

// enter counts a watcher in; leave must be called where err is nil.
func (w *watches) enter() (leave func(), err error) {
	if w.watchers.Add(1) > maxWatchers {
		w.watchers.Add(-1)
		return nil, &Error{Code: codes.ResourceExhausted, Message: fmt.Sprintf("%d watch already (end one of them)", maxWatchers)}
	}
	return func() { w.watchers.Add(-1) }, nil
}

// send sends one answer. A client that does not take it in time is dropped: the call's end makes the send that is stuck
// return.
func (w *watches) send(do func() error) error {
	sent := make(chan error, 1)
	go func() { sent <- do() }()
	timer := time.NewTimer(w.patience)
	defer timer.Stop()
	select {
	case err := <-sent:
		return err
	case <-timer.C:
		return &Error{Code: codes.ResourceExhausted, Message: fmt.Sprintf("the client did not read for %s (watch again, and read faster)", w.patience)}
	}
}

// until waits for more to tell, or returns why there will be nothing more.
func until[E any](ctx context.Context, w *watches, more <-chan E) error {
	select {
	case <-more:
		return nil
	case <-w.stopping:
		return status.Error(codes.Unavailable, "lbd is stopping (watch again when it is back)")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// filter says what of a board one watcher wants.
type filter[T proto.Message] struct {
	match    func(T) bool
	counters bool
}

// watch tells a client what a board shows, and then what changes. It returns when the client is gone, or why it is
// dropped.
func watch[T proto.Message](ctx context.Context, w *watches, b *board[T], f filter[T], send func(changed []T, deleted []string, revision uint64) error) error {
	leave, err := w.enter()
	if err != nil {
		return err
	}
	defer leave()
	p, turned, part := b.join()
	defer part()
	told := reader[T]{filter: f, known: map[string]bool{}}
	for first := true; ; first = false {
		if p.err != nil {
			return p.err
		}
		if changed, deleted := told.news(p); first || len(changed)+len(deleted) > 0 {
			if err := w.send(func() error { return send(changed, deleted, p.revision) }); err != nil {
				return err
			}
		}
		// What turned while the client was slow is told as one.
		if err := until(ctx, w, turned); err != nil {
			return err
		}
		p, turned = b.look()
	}
}

// reader is what one watcher knows.
type reader[T proto.Message] struct {
	filter[T]
	generation uint64
	known      map[string]bool // keys
}

// news is what p has and the watcher does not know yet, and the keys of what it knows and p has not.
func (r *reader[T]) news(p page[T]) (changed []T, deleted []string) {
	present := 0
	for _, i := range p.items {
		if !r.match(i.message) {
			continue
		}
		present++
		last := i.changed
		if r.counters {
			last = i.counted
		}
		if last > r.generation || !r.known[i.key] {
			changed = append(changed, i.message)
		}
		r.known[i.key] = true
	}
	r.generation = p.generation
	if present < len(r.known) {
		deleted = r.forget(p)
	}
	return changed, deleted
}

// forget removes from what is known what p does not have, and returns its keys, sorted.
func (r *reader[T]) forget(p page[T]) []string {
	present := make(map[string]bool, len(p.items))
	for _, i := range p.items {
		present[i.key] = r.match(i.message)
	}
	var gone []string
	for key := range r.known {
		if !present[key] {
			gone = append(gone, key)
			delete(r.known, key)
		}
	}
	slices.Sort(gone)
	return gone
}
