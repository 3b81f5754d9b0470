package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// Options are what a Guard is made of. Log is required.
type Options struct {
	// Rules give roles. Without any, root, the daemon's own user and SocketGroup are editors, and nobody else is anything.
	Rules []Rule
	// SocketGroup is the group, by name or number, that may open the unix socket; empty is the daemon's own.
	SocketGroup string
	// Certificates are nil where the API does not listen on TCP.
	Certificates *Certificates
	// Audit is nil where nothing is recorded.
	Audit *Audit
	Log   *slog.Logger
}

// Guard stands before the API: every call passes Unary or Stream.
type Guard struct {
	policy       policy
	certificates *Certificates
	audit        *Audit
	log          *slog.Logger
	now          func() time.Time
	methods      map[string]need
}

// New looks up the users and groups that rules name.
func New(o Options) (*Guard, error) {
	p, err := newPolicy(o.Rules, o.SocketGroup)
	if err != nil {
		return nil, err
	}
	g := &Guard{policy: p, certificates: o.Certificates, audit: o.Audit, log: o.Log.With("component", "access"), now: time.Now, methods: methods}
	if o.Certificates != nil && len(p.certificates) == 0 {
		g.log.Warn(noRules)
	}
	return g, nil
}

const noRules = "no rule gives a role to client certificates: every call over TCP is denied (add one under roles: with cn:, san: or ou:)"

// Credentials makes connections prove who they are.
func (g *Guard) Credentials() credentials.TransportCredentials { return &transport{guard: g} }

// Warnings lists what an operator should look at; empty when all is well.
func (g *Guard) Warnings() []string {
	var out []string
	if g.certificates != nil {
		out = append(out, g.certificates.Warnings()...)
		if len(g.policy.certificates) == 0 {
			out = append(out, noRules)
		}
	}
	if g.audit != nil {
		out = append(out, g.audit.Warnings()...)
	}
	return out
}

// Certificates lists those in use; empty where the API does not listen on TCP.
func (g *Guard) Certificates() []Certificate {
	if g.certificates == nil {
		return nil
	}
	return g.certificates.List()
}

// Unary is the interceptor of calls with one request and one answer.
func (g *Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	c := call{guard: g, method: info.FullMethod, start: g.now()}
	defer func() { c.end(req, resp, err) }()
	if ctx, err = c.admit(ctx, req); err != nil {
		return nil, err
	}
	return c.survive(func() (any, error) { return handler(ctx, req) })
}

// Stream is the interceptor of calls with streams. They are admitted before their request is known.
func (g *Guard) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	c := call{guard: g, method: info.FullMethod, start: g.now()}
	s := &stream{ServerStream: ss}
	defer func() { c.end(s.request, nil, err) }()
	if s.ctx, err = c.admit(ss.Context(), nil); err != nil {
		return err
	}
	_, err = c.survive(func() (any, error) { return nil, handler(srv, s) })
	return err
}

// stream remembers the first request, and who makes the call.
type stream struct {
	grpc.ServerStream
	ctx     context.Context
	request any
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil && s.request == nil {
		s.request = m
	}
	return err
}

// call is one call on its way.
type call struct {
	guard  *Guard
	method string
	start  time.Time
	caller Caller
	need   need
	denied bool
}

// admit finds out who calls and whether that one may.
func (c *call) admit(ctx context.Context, req any) (context.Context, error) {
	need, known := c.guard.methods[c.method]
	c.need = need
	if need.mild != nil && need.mild(req) {
		c.need.role = Operator
	}
	err := c.identify(ctx)
	switch {
	case err != nil:
	case !known:
		err = status.Errorf(codes.PermissionDenied, "%s is not a method that anybody may call", c.name())
	case c.caller.Role < c.need.role:
		err = status.Error(codes.PermissionDenied, c.refusal())
	}
	c.denied = err != nil
	return NewContext(ctx, c.caller), err
}

func (c *call) name() string { return path.Base(c.method) }

func (c *call) refusal() string {
	has := "has role " + c.caller.Role.String()
	if c.caller.Role == None {
		has = "has no role"
	}
	return fmt.Sprintf("%s %s, %s needs %s (roles are given under roles: in the node's file)", c.caller.Name, has, c.name(), c.need.role)
}

// identify fails for callers whose proof is none any more: connections may outlive certificates.
func (c *call) identify(ctx context.Context) error {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return status.Error(codes.Unauthenticated, "the connection does not say who calls")
	}
	info, ok := p.AuthInfo.(peerInfo)
	if !ok {
		return status.Error(codes.Unauthenticated, "the connection does not say who calls")
	}
	c.caller = info.caller
	if cert := c.caller.Certificate; cert != nil && c.guard.now().After(cert.NotAfter) {
		return status.Errorf(codes.Unauthenticated, "the certificate of %s expired at %s (get a new one)", c.caller.Name, cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// survive turns a panic into an answer: one call must not end the daemon.
func (c *call) survive(work func() (any, error)) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.guard.log.Error("call panicked", "method", c.method, "caller", c.caller.Name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			resp, err = nil, status.Errorf(codes.Internal, "%s failed by a fault in lbd (its log has the details; please report it)", c.name())
		}
	}()
	return work()
}

// end records a call that changes the node, or would have.
func (c *call) end(req, resp any, err error) {
	if c.denied {
		c.guard.log.Warn("call denied", "method", c.method, "caller", c.caller.Name, "reason", message(err))
	}
	if c.guard.audit == nil || c.need.role <= Viewer {
		return
	}
	now := c.guard.now()
	e := Entry{
		Time: now.UTC(), Caller: c.caller.Name, Role: c.caller.Role.String(), PID: c.caller.PID, Address: c.caller.Address,
		Method: c.name(), Object: objectOf(c.method, req), Code: status.Code(err).String(), Request: summaryOf(req),
		DurationMS: float64(now.Sub(c.start).Microseconds()) / 1000,
	}
	if cert := c.caller.Certificate; cert != nil {
		e.Serial = cert.SerialNumber.Text(16)
	} else {
		e.UID = &c.caller.UID
	}
	if r, ok := req.(interface {
		GetOptions() *sluicev1.WriteOptions
	}); ok {
		e.DryRun = r.GetOptions().GetDryRun()
	}
	e.Outcome, e.Revision = c.outcome(resp, err)
	if err != nil {
		e.Error = message(err)
	}
	c.guard.audit.Write(e)
}

func (c *call) outcome(resp any, err error) (word string, revision uint64) {
	switch {
	case c.denied:
		return "denied", 0
	case err != nil:
		return "failed", 0
	}
	r, ok := resp.(interface{ GetOutcome() *sluicev1.Outcome })
	if !ok || r.GetOutcome() == nil {
		if r, ok := resp.(interface{ GetRevision() uint64 }); ok {
			return "ok", r.GetRevision()
		}
		return "ok", 0
	}
	if len(r.GetOutcome().GetChanges()) == 0 {
		return "unchanged", r.GetOutcome().GetRevision()
	}
	return "ok", r.GetOutcome().GetRevision()
}

// message is an error's text without grpc's code.
func message(err error) string {
	if s, ok := status.FromError(err); ok {
		return s.Message()
	}
	if errors.Is(err, context.Canceled) {
		return "the caller gave up"
	}
	return err.Error()
}
