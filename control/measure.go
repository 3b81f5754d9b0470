package control

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Observe has f told of every call of the API that ended: its method's name, such as "Apply", how it ended and how long it
// took. It must be called before the server serves.
func (s *Server) Observe(f func(method string, code codes.Code, took time.Duration)) { s.observe = f }

// Watching is the number of watches that are open.
func (s *Server) Watching() int { return int(s.watches.watchers.Load()) }

func (s *Server) measure(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	resp, err := handler(ctx, req)
	s.observe(methodName(info.FullMethod), status.Code(err), time.Since(start))
	return resp, err
}

func (s *Server) measureStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	err := handler(srv, stream)
	s.observe(methodName(info.FullMethod), status.Code(err), time.Since(start))
	return err
}

// methodName takes the package and the service off: calls of unknown methods never get here, so there are few names.
func methodName(full string) string { return full[strings.LastIndexByte(full, '/')+1:] }

// interceptStream is intercept for calls that stream.
func (s *Server) interceptStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := s.startedFor(info.FullMethod); err != nil {
		return err
	}
	if err := handler(srv, stream); err != nil {
		return s.refusal(info.FullMethod, err)
	}
	return nil
}
