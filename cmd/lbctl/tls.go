package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
)

// tlsFiles are what a connection over TCP takes: lbctl and lbd prove to each other who they are.
type tlsFiles struct{ cert, key, ca string }

// credentials reads the files and makes out of them what the connection uses.
func (c *cli) credentials(address string) (credentials.TransportCredentials, error) {
	var missing []string
	for _, f := range []struct{ value, name string }{
		{c.files.cert, "--cert (" + certVariable + ")"}, {c.files.key, "--key (" + keyVariable + ")"}, {c.files.ca, "--ca (" + caVariable + ")"},
	} {
		if f.value == "" {
			missing = append(missing, f.name)
		}
	}
	if len(missing) > 0 {
		return nil, usagef("--server %s: a connection over TCP needs %s as well", address, strings.Join(missing, ", "))
	}
	pair, err := c.keyPair()
	if err != nil {
		return nil, err
	}
	ca, err := c.readFile(c.files.ca)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("--ca %q: holds no certificate (it must be PEM)", c.files.ca)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	inner := credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: host, Time: c.now,
		// Also to a node that does not ask for this CA's: "unknown authority" says more than "no certificate".
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	})
	return &watchedCredentials{TransportCredentials: inner, cli: c}, nil
}

// keyPair reads lbctl's own certificate. An expired one is refused here: lbd would only hang up.
func (c *cli) keyPair() (tls.Certificate, error) {
	cert, err := c.readFile(c.files.cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("--cert: %w", err)
	}
	key, err := c.readFile(c.files.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("--key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("--cert %q with --key %q: %w", c.files.cert, c.files.key, err)
	}
	if c.now().After(pair.Leaf.NotAfter) {
		return tls.Certificate{}, fmt.Errorf("--cert %q: your certificate expired at %s (get a new one)", c.files.cert, utc(pair.Leaf.NotAfter))
	}
	return pair, nil
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// watchedCredentials remember why a connection failed: what the library makes of it is hard to read.
type watchedCredentials struct {
	credentials.TransportCredentials
	cli *cli
}

// ClientHandshake is part of grpc's credentials.TransportCredentials.
func (w *watchedCredentials) ClientHandshake(ctx context.Context, name string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := w.TransportCredentials.ClientHandshake(ctx, name, raw)
	w.cli.trust(err)
	if err != nil {
		return nil, nil, err
	}
	// With TLS 1.3 the server's refusal comes after the handshake, by what is read first.
	return &watchedConn{Conn: conn, cli: w.cli}, info, nil
}

// Clone is part of grpc's credentials.TransportCredentials.
func (w *watchedCredentials) Clone() credentials.TransportCredentials {
	return &watchedCredentials{TransportCredentials: w.TransportCredentials.Clone(), cli: w.cli}
}

type watchedConn struct {
	net.Conn
	cli *cli
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if op := (&net.OpError{}); errors.As(err, &op) && op.Op == remoteError {
		c.cli.trust(err)
	}
	return n, err
}

// remoteError is what package tls calls an alert of the other side.
const remoteError = "remote error"

func (c *cli) trust(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.untrusted = err
}

// trustRemedy says why one side does not trust the other, and what to do.
func (c *cli) trustRemedy(err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		header    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && c.now().After(invalid.Cert.NotAfter):
		return fmt.Sprintf("lbd's certificate expired at %s (replace the file of tls.cert on the node)", utc(invalid.Cert.NotAfter))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("lbd's certificate is valid only from %s (check the clocks)", utc(invalid.Cert.NotBefore))
	case errors.As(err, &authority):
		return fmt.Sprintf("lbd's certificate is not signed by the CA in %q (name that of the node with --ca)", c.files.ca)
	case errors.As(err, &name):
		return fmt.Sprintf("lbd's certificate is for %s, not for %s (name the node as its certificate does)", certificateNames(name.Certificate), name.Host)
	case errors.As(err, &header):
		return "what listens there does not speak TLS (is it the API's address?)"
	}
	return alertRemedy(err)
}

func certificateNames(cert *x509.Certificate) string {
	names := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no host"
	}
	return strings.Join(names, ", ")
}

// alertRemedy explains the alerts of RFC 8446 with which lbd refuses a client. Package tls gives only their text.
func alertRemedy(err error) string {
	for text, why := range map[string]string{
		"tls: expired certificate":            "it says that your certificate has expired (get a new one; check the clocks)",
		"tls: unknown certificate authority":  "it does not know the CA of your certificate (the node's tls.client_ca must hold it)",
		"tls: bad certificate":                "it does not accept your certificate (it must be one for clients, signed by a CA of the node's tls.client_ca)",
		"tls: certificate required":           "it got no certificate (use --cert and --key)",
		"tls: protocol version not supported": "it speaks TLS 1.3 only",
	} {
		if strings.Contains(err.Error(), text) {
			return why
		}
	}
	return err.Error()
}
