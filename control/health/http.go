package health

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

const (
	// maxHead bounds what is read of an answer, in bytes: its head, and no body.
	maxHead = 64 << 10
	// maxInterim bounds the 1xx answers before the one that counts.
	maxInterim = 8
	userAgent  = "sluice-health/1"
)

// askHTTP asks by HTTP/1.1 and reads the head of the answer. It is written out here because net/http's client keeps
// connections, follows redirects and starts goroutines, none of which a check wants.
func askHTTP(ctx context.Context, t Target, deadline time.Time) (string, error) {
	stream, err := dial(ctx, t, deadline)
	if err != nil {
		return "", err
	}
	defer func() { _ = stream.Close() }() // a reset, and no TLS alert before it
	defer breakOff(ctx, stream)()
	conn := io.ReadWriter(stream)
	if t.Check.Type == lb.CheckHTTPS {
		if conn, err = handshake(stream, t.Check.Host); err != nil {
			return "", err
		}
	}
	if _, err := io.WriteString(conn, request(t)); err != nil {
		return "", stepError{"request", err}
	}
	status, err := readStatus(conn)
	if err != nil {
		return "", stepError{"answer", err}
	}
	if !t.Check.Expect.Contains(status) {
		return "", fmt.Errorf("status %d, want %s", status, t.Check.Expect)
	}
	return fmt.Sprintf("status %d", status), nil
}

// handshake does not verify the certificate: a check asks whether a server is well, not who it is, and it sends nothing
// that is secret.
func handshake(conn net.Conn, name string) (io.ReadWriter, error) {
	secure := tls.Client(conn, &tls.Config{ServerName: serverName(name), InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err := secure.Handshake(); err != nil {
		return nil, stepError{"tls", err}
	}
	return secure, nil
}

// serverName is the host without a port; an address is no server name (RFC 6066).
func serverName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ""
	}
	return host
}

func request(t Target) string {
	return "GET " + t.Check.Path + " HTTP/1.1\r\nHost: " + host(t) + "\r\nUser-Agent: " + userAgent +
		"\r\nAccept: */*\r\nConnection: close\r\n\r\n"
}

// host is the name that is asked for: the backend's address unless the check says otherwise.
func host(t Target) string {
	if t.Check.Host != "" {
		return t.Check.Host
	}
	if t.Address.Is6() {
		return "[" + t.Address.String() + "]"
	}
	return t.Address.String()
}

// causeReader remembers why reading ended: a parser may take the part of a line before a timeout for a whole one.
type causeReader struct {
	io.Reader
	err error // not io.EOF, which the parser judges
}

func (c *causeReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// readStatus reads the head of the answer.
func readStatus(conn io.Reader) (int, error) {
	cause := &causeReader{Reader: conn}
	in := bufio.NewReaderSize(io.LimitReader(cause, maxHead), 1024)
	for range maxInterim {
		answer, err := http.ReadResponse(in, nil) // the body is neither read nor closed: the connection is
		if err != nil {
			return 0, cmp.Or(cause.err, err)
		}
		if answer.StatusCode >= 200 {
			return answer.StatusCode, nil
		}
	}
	return 0, fmt.Errorf("more than %d interim answers", maxInterim)
}
