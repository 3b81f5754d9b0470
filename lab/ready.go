package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// readyEnv names the socket to which a process says that it is ready.
	readyEnv = "NOTIFY_SOCKET"
	// readyLine is what it says.
	readyLine = "READY=1"
)

// readiness hears that a process is ready, in the way that services tell systemd: a datagram with the line READY=1 to
// the socket that NOTIFY_SOCKET names; see sd_notify(3).
type readiness struct {
	socket *net.UnixConn
	path   string
}

// listenReady opens the socket for one process.
func (t *Topology) listenReady(process string) (*readiness, error) {
	path := filepath.Join(t.Dir(), process+".notify")
	_ = os.Remove(path) // that of an earlier process of this name
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listening for the readiness of %s: %w", process, err)
	}
	return &readiness{socket, path}, nil
}

// environment is what the process has to be given.
func (r *readiness) environment() string { return readyEnv + "=" + r.path }

// check is nil once the process has said that it is ready. It waits for a moment.
func (r *readiness) check() error {
	if err := r.socket.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		return err
	}
	buffer := make([]byte, 4096)
	n, err := r.socket.Read(buffer)
	if err != nil {
		return errors.New("no word of readiness yet")
	}
	for line := range strings.Lines(string(buffer[:n])) {
		if strings.TrimSpace(line) == readyLine {
			return nil
		}
	}
	return fmt.Errorf("it said %q, not that it is ready", buffer[:n])
}

// sayReady is the other side: a process of the lab says that it is ready, if somebody wants to know.
func sayReady() error {
	path := os.Getenv(readyEnv)
	if path == "" {
		return nil
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return fmt.Errorf("saying that it is ready: %w", err)
	}
	_, err = c.Write([]byte(readyLine))
	return errors.Join(err, c.Close())
}
