package access

import (
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// MaxConnections is how many connections one address of the API holds at a time; further ones are closed at once.
	MaxConnections = 256
	// maxStreams is how many calls run at a time over one connection; further ones wait.
	maxStreams = 1024
	// maxHeader bounds what a call may send before its request, in bytes.
	maxHeader = 64 << 10
	// handshakeTime is how long a connection may take to prove who it is.
	handshakeTime = 10 * time.Second
	// quietTime is how long a connection may be silent before it is asked for a sign of life, answerTime how long it has
	// for that. mayAsk is how often clients may ask in turn.
	quietTime, answerTime, mayAsk = 30 * time.Second, 10 * time.Second, 10 * time.Second
)

// ServerOptions bound what callers can take of the daemon, in bytes of a message and otherwise.
func (g *Guard) ServerOptions(maxMessage int) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(g.Credentials()),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: quietTime, Timeout: answerTime}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: mayAsk, PermitWithoutStream: true}),
	}
}

// Limit closes connections beyond the most that a listener may hold at a time. They are not kept waiting: whoever opens
// many would keep everybody else out without a word.
func Limit(l net.Listener, most int, log *slog.Logger) net.Listener {
	return &limitedListener{Listener: l, most: most, log: log.With("component", "access")}
}

type limitedListener struct {
	net.Listener
	most int
	log  *slog.Logger

	mu   sync.Mutex
	open int
	full bool // and it was told
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.take() {
			return &countedConn{Conn: c, release: sync.OnceFunc(l.give)}, nil
		}
		if err := c.Close(); err != nil {
			l.log.Debug("closing a connection failed", "err", err)
		}
	}
}

func (l *limitedListener) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open < l.most {
		l.open++
		return true
	}
	if !l.full {
		l.full = true
		l.log.Warn("too many connections, further ones are closed", "address", l.Addr().String(), "most", l.most)
	}
	return false
}

func (l *limitedListener) give() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	// Told again only after it was well below.
	l.full = l.full && l.open > l.most/2
}

type countedConn struct {
	net.Conn
	release func()
}

func (c *countedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
