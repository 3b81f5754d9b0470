package control

import (
	"context"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"syscall"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
)

// unknownAuthor is a client of which the transport says nothing.
const unknownAuthor = "unknown"

// peerCredentials lets calls know which user is at the other end of a unix socket: the kernel says so (SO_PEERCRED), the
// client need not.
type peerCredentials struct {
	credentials.TransportCredentials
}

func newPeerCredentials() peerCredentials { return peerCredentials{insecure.NewCredentials()} }

// socketPeer is a credentials.AuthInfo.
type socketPeer struct {
	credentials.CommonAuthInfo
	uid uint32
}

// AuthType names it.
func (socketPeer) AuthType() string { return "unix-socket-peer" }

// ServerHandshake asks the kernel; where it does not know, as on any other socket, the connection has no peer.
func (p peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := p.TransportCredentials.ServerHandshake(conn)
	if err != nil {
		return nil, nil, err
	}
	if uid, ok := peerOf(conn); ok {
		return c, socketPeer{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, uid}, nil
	}
	return c, info, nil
}

// Clone keeps the type.
func (p peerCredentials) Clone() credentials.TransportCredentials {
	return peerCredentials{p.TransportCredentials.Clone()}
}

func peerOf(conn net.Conn) (uid uint32, ok bool) {
	socket, isUnix := conn.(*net.UnixConn)
	if !isUnix {
		return 0, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *syscall.Ucred
	var asked error
	err = raw.Control(func(fd uintptr) {
		cred, asked = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || asked != nil {
		return 0, false
	}
	return cred.Uid, true
}

// author names who makes a call, for the history.
func author(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return unknownAuthor
	}
	s, ok := p.AuthInfo.(socketPeer)
	if !ok {
		return unknownAuthor
	}
	if u, err := user.LookupId(strconv.Itoa(int(s.uid))); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", s.uid)
}
