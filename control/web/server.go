package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
)

const (
	// maxConnections bounds what clients cost together.
	maxConnections = 64
	// maxHeader is the largest request header in bytes; the server allows some slack.
	maxHeader = 16 << 10
	// A client that is slower than these is cut off.
	headerTimeout = 5 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = time.Minute
)

// Metrics is what the server needs of the metrics. *metrics.Metrics implements it.
type Metrics interface {
	// Handler serves them.
	Handler() http.Handler
	// Request counts an answered request, Refused one that nobody answered.
	Request(handler string, status int)
	Refused(reason string)
}

// Options are what a Server is made of. All but Hosts are required.
type Options struct {
	// API is the node's; only calls that read are made.
	API     grpc.ClientConnInterface
	Metrics Metrics
	// Hosts are names that requests may be for, besides localhost and addresses.
	Hosts   []string
	Version string
	Log     *slog.Logger
}

// Server serves HTTP.
type Server struct{ http *http.Server }

// New returns a server; Serve is next.
func New(o Options) (*Server, error) {
	rest, err := newREST(o.API)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for pattern, part := range map[string]struct {
		name    string
		handler http.Handler
	}{
		"/{$}":     {"page", newPage(o.API, o.Version)},
		"/metrics": {"metrics", o.Metrics.Handler()},
		"/v1/":     {"rest", rest},
		"/":        {"none", http.NotFoundHandler()},
	} {
		mux.Handle(pattern, counted{part.handler, func(status int) { o.Metrics.Request(part.name, status) }})
	}
	hosts := make([]string, len(o.Hosts))
	for i, h := range o.Hosts {
		hosts[i] = strings.ToLower(strings.TrimSuffix(h, "."))
	}
	log := o.Log.With("component", "http")
	return &Server{&http.Server{
		Handler:           guard{next: mux, hosts: hosts, refused: o.Metrics.Refused},
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       2 * headerTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients' faults
	}}, nil
}

// Listen opens HOST:PORT for Serve.
func Listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for http: %w (use another --http, or --http \"\" for none)", err)
	}
	return l, nil
}

// Open tells whether other machines may reach a listener.
func Open(l net.Listener) bool {
	address, err := netip.ParseAddrPort(l.Addr().String())
	return err != nil || !address.Addr().IsLoopback()
}

// Serve answers until Stop.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(netutil.LimitListener(l, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", err)
	}
	return nil
}

// Stop lets requests that run finish for at most grace, and closes everything.
func (s *Server) Stop(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // nobody is left to tell
	}
}

// counted counts the answers of a handler by status.
type counted struct {
	next  http.Handler
	count func(status int)
}

func (c counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() { c.count(s.status) }()
	c.next.ServeHTTP(s, r)
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }
