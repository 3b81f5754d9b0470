package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-lb/sluice/control/access"
)

// IsUnix tells an address of the API that is a socket, "unix:///path", from one that is "host:port".
func IsUnix(address string) bool { return strings.HasPrefix(address, "unix://") }

// Listen opens an address of the API. On a socket, "unix:///path", it is for its owner and group to read and write; group
// is a name or a number, and empty keeps the process's. A socket that a dead daemon left is replaced; one that answers is
// not. On "host:port" everybody may connect: who serves it must demand certificates.
func Listen(address, group string) (net.Listener, error) {
	if IsUnix(address) {
		return listenUnix(address, group)
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return nil, fmt.Errorf("listen on %q: must be HOST:PORT, or unix:// and an absolute path (such as unix:///run/sluice/lbd.sock)", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	return l, nil
}

func listenUnix(address, group string) (net.Listener, error) {
	path := strings.TrimPrefix(address, "unix://")
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("listen on %q: the path must be absolute (use unix:///run/sluice/lbd.sock)", address)
	}
	gid, err := lookupGroup(group)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	l, err := listenPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	if err := errors.Join(os.Chown(path, -1, gid), os.Chmod(path, 0o660)); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %q: %w", address, err), l.Close())
	}
	return l, nil
}

// listenPrivate creates the socket closed to everybody else, so that nobody connects before its group is set.
func listenPrivate(path string) (net.Listener, error) {
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	return net.Listen("unix", path)
}

// removeStale removes a socket that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return errors.New("it exists and is no socket (remove it, or use another --api)")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(errors.New("another process listens there (stop it, or use another --api)"), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// lookupGroup returns -1 for no group.
func lookupGroup(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	gid, err := access.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("api_group: %w", err)
	}
	return int(gid), nil
}
