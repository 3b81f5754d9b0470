package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// serverCommand is the first argument that turns a program that calls ServeIfAsked into a lab server.
const serverCommand = "lab-server"

// maxDatagram is the largest UDP payload.
const maxDatagram = 65535

// ServeIfAsked turns the process into a server of the lab, and does not return, if its arguments say so:
//
//	PROGRAM lab-server NAME KIND=ADDRESS:PORT ...
//
// where KIND is http, tcp or udp. Every answer starts with NAME, so that a client sees who answered. A program that
// raises a topology calls it first thing in main; it then serves as the servers' executable as well.
func ServeIfAsked() {
	if len(os.Args) < 3 || os.Args[1] != serverCommand {
		return
	}
	if err := serve(os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve runs until the first server fails.
func serve(name string, services []string) error {
	failed := make(chan error)
	for _, service := range services {
		kind, address, _ := strings.Cut(service, "=")
		run, err := listen(kind, name, address)
		if err != nil {
			return fmt.Errorf("serving %q: %w", service, err)
		}
		go func() { failed <- run() }()
	}
	if err := sayReady(); err != nil {
		return err
	}
	return <-failed
}

// listen opens one service's socket and returns the function that serves it.
func listen(kind, name, address string) (func() error, error) {
	// A VIP may be bound before the agent has put it on lo.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlErr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		})
		if controlErr != nil {
			return controlErr
		}
		return err
	}}
	switch kind {
	case "http", "tcp":
		l, err := config.Listen(context.Background(), "tcp", address)
		if err != nil {
			return nil, err
		}
		if kind == "http" {
			return func() error { return serveHTTP(l, name) }, nil
		}
		return func() error { return serveLines(l, name) }, nil
	case "udp":
		c, err := config.ListenPacket(context.Background(), "udp", address)
		if err != nil {
			return nil, err
		}
		return func() error { return serveDatagrams(c, name) }, nil
	default:
		return nil, fmt.Errorf("unknown kind %q (http, tcp or udp)", kind)
	}
}

// serveHTTP answers every request with the name.
func serveHTTP(l net.Listener, name string) error {
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, name)
		}),
	}
	return server.Serve(l)
}

// serveLines answers every line with the name and the line, on connections that last as long as the client wants.
func serveLines(l net.Listener, name string) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			for r := bufio.NewReader(c); ; {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if _, err := io.WriteString(c, name+" "+line); err != nil {
					return
				}
			}
		}()
	}
}

// serveDatagrams answers every datagram with the name and what it held.
func serveDatagrams(c net.PacketConn, name string) error {
	buffer := make([]byte, maxDatagram)
	for {
		n, from, err := c.ReadFrom(buffer)
		if err != nil {
			return err
		}
		// An answer that cannot be sent is the client's loss to see.
		_, _ = c.WriteTo(append([]byte(name+" "), buffer[:n]...), from)
	}
}
