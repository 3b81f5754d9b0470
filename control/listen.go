package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Listen opens the API's socket, "unix:///path", readable and writable for its owner and group. group is a name or a
// number; empty keeps the process's. A socket that a dead daemon left is replaced; one that answers is not.
func Listen(address, group string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		return nil, fmt.Errorf("listen on %q: only unix sockets in this release (use unix:///run/sluice/lbd.sock)", address)
	}
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
	if gid, err := strconv.Atoi(group); err == nil && gid >= 0 {
		return gid, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("api_group %q does not exist (create it with: groupadd --system %s)", group, group)
	}
	return strconv.Atoi(g.Gid)
}
