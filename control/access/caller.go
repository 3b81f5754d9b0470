package access

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Caller is who makes a call.
type Caller struct {
	// Name says who it is for people: "unix:alice" or "tls:alice".
	Name string
	Role Role
	// UID, PID and Groups are those of the process behind a unix socket when it connected. Groups holds the first one, too.
	UID    uint32
	PID    int32
	Groups []uint32
	// Certificate is nil behind a unix socket; Address is empty there.
	Certificate *x509.Certificate
	Address     string
}

type callerKey struct{}

// NewContext returns a context of a call by c.
func NewContext(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// FromContext returns who makes the call.
func FromContext(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}

// certificateCaller names a caller after its certificate.
func certificateCaller(cert *x509.Certificate, remote net.Addr) Caller {
	name := cert.Subject.CommonName
	if names := sans(cert); name == "" && len(names) > 0 {
		name = names[0]
	}
	if name == "" {
		name = cert.Subject.String()
	}
	return Caller{Name: "tls:" + name, Certificate: cert, Address: remote.String()}
}

// processCaller asks the kernel who is at the other end of a unix socket.
func processCaller(c *net.UnixConn) (Caller, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Caller{}, err
	}
	var (
		cred   *unix.Ucred
		groups []uint32
		failed error
	)
	err = raw.Control(func(fd uintptr) {
		if cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); failed == nil {
			groups, failed = peerGroups(fd)
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return Caller{}, fmt.Errorf("ask who connects: %w", err)
	}
	return Caller{Name: "unix:" + userName(cred.Uid), UID: cred.Uid, PID: cred.Pid, Groups: append(groups, cred.Gid)}, nil
}

// peerGroups reads the supplementary groups of a peer (SO_PEERGROUPS, Linux 4.13).
func peerGroups(fd uintptr) ([]uint32, error) {
	for room := 64; ; {
		groups := make([]uint32, room)
		size := uint32(room * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errno == unix.ERANGE && int(size/4) > room: // the kernel says how much it takes
			room = int(size / 4)
		default:
			return nil, errno
		}
	}
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
