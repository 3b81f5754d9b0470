package control

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/sluice-lb/sluice/control/access"
	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// MaxMessage is the largest request and response in bytes: a document of some 500,000 backends.
const MaxMessage = 64 << 20

// Server answers the control API. The messages of the API end here: the Engine speaks lb.
type Server struct {
	sluicev1.UnimplementedSluiceServer
	engine  *Engine
	version string
	started time.Time
	grpc    *grpc.Server
	health  *health.Server
	guard   *access.Guard
	log     *slog.Logger
	ready   atomic.Bool
	watches *watches
	// observe is told of every call that ended.
	observe func(method string, code codes.Code, took time.Duration)
}

// NewServer returns a server for an Engine behind a Guard, to be called on unix sockets and, where the Guard has
// certificates, on TCP. Health says NOT_SERVING until Ready.
func NewServer(engine *Engine, version string, log *slog.Logger, guard *access.Guard) *Server {
	s := &Server{engine: engine, version: version, started: time.Now(), health: health.NewServer(), guard: guard, log: log.With("component", "api")}
	s.watches = newWatches(s)
	s.observe = func(string, codes.Code, time.Duration) {}
	s.grpc = grpc.NewServer(append(guard.ServerOptions(MaxMessage),
		grpc.ChainUnaryInterceptor(s.measure, guard.Unary, s.intercept),
		grpc.ChainStreamInterceptor(s.measureStream, guard.Stream, s.interceptStream),
	)...)
	sluicev1.RegisterSluiceServer(s.grpc, s)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.setHealth(healthv1.HealthCheckResponse_NOT_SERVING)
	return s
}

// GRPC is the server to call Serve on.
func (s *Server) GRPC() *grpc.Server { return s.grpc }

// Ready opens the API: every interface is attached and the stored revision is live.
func (s *Server) Ready() {
	s.ready.Store(true)
	s.setHealth(healthv1.HealthCheckResponse_SERVING)
}

// IsReady tells whether Ready was called.
func (s *Server) IsReady() bool { return s.ready.Load() }

// Stop tells watchers of health, lets calls that run finish for at most grace, and closes everything.
func (s *Server) Stop(grace time.Duration) {
	s.health.Shutdown()
	close(s.watches.stopping)
	stopped := make(chan struct{})
	go func() { s.grpc.GracefulStop(); close(stopped) }()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-stopped:
	case <-timer.C:
		s.grpc.Stop() // makes GracefulStop return
		<-stopped
	}
}

func (s *Server) setHealth(h healthv1.HealthCheckResponse_ServingStatus) {
	s.health.SetServingStatus("", h)
	s.health.SetServingStatus(sluicev1.Sluice_ServiceDesc.ServiceName, h)
}

// intercept translates errors in one place and refuses calls before the Engine has a state.
func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := s.startedFor(info.FullMethod); err != nil {
		return nil, err
	}
	resp, err := handler(ctx, req)
	if err != nil {
		return nil, s.refusal(info.FullMethod, err)
	}
	return resp, nil
}

// startedFor refuses calls before the Engine has a state.
func (s *Server) startedFor(method string) error {
	if strings.HasPrefix(method, "/"+sluicev1.Sluice_ServiceDesc.ServiceName+"/") && s.engine.State() == nil {
		return status.Error(codes.Unavailable, "lbd is starting (try again, or watch the health service)")
	}
	return nil
}

// refusal is an error as the client sees it.
func (s *Server) refusal(method string, err error) error {
	if _, ok := status.FromError(err); !ok {
		err = statusOf(err)
	}
	s.log.Debug("call refused", "method", method, "err", err)
	return err
}

// write runs one write and translates its outcome.
func (s *Server) write(ctx context.Context, o *sluicev1.WriteOptions, edit func(*lb.Config) error) (*sluicev1.Outcome, error) {
	options, err := writeOptions(ctx, o)
	if err != nil {
		return nil, err
	}
	out, err := s.engine.Write(ctx, options, edit)
	if err != nil {
		return nil, err
	}
	return outcome(out), nil
}

func changeToProto(c lb.Change) *sluicev1.Change {
	kinds := map[lb.ChangeKind]sluicev1.Change_Kind{
		lb.Created:    sluicev1.Change_KIND_CREATED,
		lb.Configured: sluicev1.Change_KIND_CONFIGURED,
		lb.Deleted:    sluicev1.Change_KIND_DELETED,
	}
	return &sluicev1.Change{Kind: kinds[c.Kind], Object: c.Object, Detail: c.Detail, SlotsMoved: uint32(c.SlotsMoved)}
}

// relabel makes violations name fields of the request instead of places in the whole configuration: what lies at
// from, such as "vips[3]", is the request's field to; an empty to is the request itself.
func relabel(err error, from, to string) error {
	var violations lb.Violations
	if from == "" || !errors.As(err, &violations) {
		return err
	}
	out := make(lb.Violations, len(violations))
	for i, v := range violations {
		out[i] = v
		if rest, ok := strings.CutPrefix(v.Path, from); ok && (rest == "" || rest[0] == '.') {
			out[i].Path = strings.TrimPrefix(to+rest, ".")
		}
	}
	return out
}
