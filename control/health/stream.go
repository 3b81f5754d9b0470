package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stream is a TCP connection. It is not package net's, whose dialer takes a goroutine more and twice the time, and hides
// what ICMP said while the connection was being made.
type stream struct{ *os.File }

// dial connects; the connection ends at the deadline, or when ctx does. Every stream is closed by a reset: checks would
// leave some ten thousands of ports in TIME_WAIT otherwise.
func dial(ctx context.Context, t Target, deadline time.Time) (*stream, error) {
	fd, err := openStream(netip.AddrPortFrom(t.Address, t.Check.Port))
	if err != nil {
		return nil, stepError{"connect", err}
	}
	s := &stream{os.NewFile(uintptr(fd), "health check")}
	err = s.SetDeadline(deadline)
	if err == nil {
		stop := breakOff(ctx, s)
		err = s.awaitConnection()
		stop()
	}
	if err != nil {
		return nil, silenceError{stepError{"connect", errors.Join(err, s.Close())}}
	}
	return s, nil
}

// openStream makes a socket that is connecting.
func openStream(to netip.AddrPort) (fd int, err error) {
	family, address := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(to.Port())})
	if to.Addr().Is4() {
		address.(*unix.SockaddrInet4).Addr = to.Addr().As4()
	} else {
		family, address = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		err = unix.Connect(fd, address)
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// awaitConnection waits until the connection is there, or will never be.
func (s *stream) awaitConnection() error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		failed = connectError(int(fd))
		if failed != nil {
			return true
		}
		_, err := unix.Getpeername(int(fd))
		return err == nil // else it is still under way
	})
	if failed != nil || err == nil {
		return failed
	}
	// It took too long. What ICMP said while connect(2) held the socket is known to the kernel all the same.
	said := err
	if err := raw.Control(func(fd uintptr) { failed = connectError(int(fd)) }); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	return said
}

// connectError takes the socket's pending error.
func connectError(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return syscall.Errno(code)
	}
	return nil
}

// LocalAddr and RemoteAddr make it a net.Conn, which package tls wants; nobody asks.
func (s *stream) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (s *stream) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// breakOff makes what waits for conn return when ctx ends; stop it when nothing does.
func breakOff(ctx context.Context, conn interface{ SetDeadline(time.Time) error }) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// askTCP is content with a handshake.
func askTCP(ctx context.Context, t Target, deadline time.Time) (string, error) {
	s, err := dial(ctx, t, deadline)
	if err != nil {
		return "", err
	}
	return "connected", s.Close()
}
