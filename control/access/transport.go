package access

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// peerInfo is what a connection proved when it was made.
type peerInfo struct {
	credentials.CommonAuthInfo
	caller Caller
}

// AuthType is part of grpc's credentials.AuthInfo.
func (p peerInfo) AuthType() string {
	if p.caller.Certificate != nil {
		return "tls"
	}
	return "unix"
}

// inMemory is the network of grpc's bufconn: at its other end is this process.
const inMemory = "bufconn"

// transport lets each connection prove who it is, in the way of its kind.
type transport struct {
	guard *Guard

	mu sync.Mutex
	// told is when a refused connection was last logged, silent how many were not since.
	told   time.Time
	silent int
}

// ServerHandshake is part of grpc's credentials.TransportCredentials.
func (t *transport) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	inner := raw
	if c, ok := raw.(*countedConn); ok {
		inner = c.Conn
	}
	var (
		conn = raw
		info peerInfo
		err  error
	)
	c, isUnix := inner.(*net.UnixConn)
	switch {
	case isUnix:
		info.caller, err = processCaller(c)
		info.caller.Role = t.guard.policy.processRole(info.caller)
	case inner.LocalAddr().Network() == inMemory:
		info.caller = Caller{Name: "lbd", UID: t.guard.policy.self, Role: Editor}
	default:
		conn, info.caller, err = t.tls(raw)
	}
	if err != nil {
		t.tell(raw.RemoteAddr(), err)
		linger(raw)
		return nil, nil, errors.Join(err, raw.Close())
	}
	info.SecurityLevel = credentials.PrivacyAndIntegrity
	return conn, info, nil
}

func (t *transport) tls(raw net.Conn) (net.Conn, Caller, error) {
	if t.guard.certificates == nil {
		return nil, Caller{}, errors.New("a connection over TCP without certificates")
	}
	conn := tls.Server(raw, t.guard.certificates.current())
	if err := conn.Handshake(); err != nil { // grpc has set a deadline
		return nil, Caller{}, err
	}
	state := conn.ConnectionState()
	if len(state.PeerCertificates) == 0 || state.NegotiatedProtocol != "h2" {
		return nil, Caller{}, errors.New("a connection without client certificate or HTTP/2")
	}
	caller := certificateCaller(state.PeerCertificates[0], raw.RemoteAddr())
	caller.Role = t.guard.policy.certificateRole(caller.Certificate)
	return conn, caller, nil
}

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 64 << 10
)

// linger takes what a refused client sends for a moment. To close at once would reset the connection, and the reset might
// overtake the alert that tells the client why.
func linger(c net.Conn) {
	if err := c.SetReadDeadline(time.Now().Add(lingerTime)); err == nil {
		_, _ = io.CopyN(io.Discard, c, lingerBytes) // whatever it is, and however it ends
	}
}

// tell logs a refused connection, at most one each second: anybody can open connections.
func (t *transport) tell(from net.Addr, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.told) < time.Second {
		t.silent++
		return
	}
	t.guard.log.Warn("connection refused", "from", from.String(), "err", err, "others_before", t.silent)
	t.told, t.silent = time.Now(), 0
}

// ClientHandshake is part of grpc's credentials.TransportCredentials: the daemon calls nobody.
func (t *transport) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("credentials of a server")
}

// Info is part of grpc's credentials.TransportCredentials.
func (t *transport) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls or unix"}
}

// Clone is part of grpc's credentials.TransportCredentials. Nothing in it belongs to one server.
func (t *transport) Clone() credentials.TransportCredentials { return t }

// OverrideServerName is part of grpc's credentials.TransportCredentials.
func (t *transport) OverrideServerName(string) error { return nil }
