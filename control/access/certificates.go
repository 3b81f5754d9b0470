package access

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// ReloadInterval is how often the certificates' files are read again.
	ReloadInterval = 5 * time.Second
	// ExpiryNotice is how long before a certificate expires that status begins to warn.
	ExpiryNotice = 14 * 24 * time.Hour
)

// Files name what the API needs for TCP. All are PEM.
type Files struct {
	// Cert holds the node's certificate and what links it to its CA, Key its private key.
	Cert, Key string
	// ClientCA holds the CAs that sign for clients.
	ClientCA string
}

// Certificate is what people want to know of one of the certificates in use.
type Certificate struct {
	// Use is "tls.cert" or "tls.client_ca".
	Use      string
	Path     string
	Subject  string
	NotAfter time.Time
}

// Certificates are the node's, as the files hold them. A file that changes is taken over for new connections; those that
// are open stay. Files that cannot be used change nothing.
type Certificates struct {
	files Files
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	config  *tls.Config
	listed  []Certificate
	content [][]byte // of the files when they were last looked at, usable or not
	broken  error    // why what the files hold now is not in use; nil when it is
}

// LoadCertificates reads the files for the first time. A certificate that has expired is no error: the daemon can be
// reached over its unix socket, and the next one is taken over when it comes.
func LoadCertificates(files Files, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{files: files, log: log.With("component", "access"), now: time.Now}
	c.Reload()
	if c.config == nil {
		return nil, c.broken
	}
	for _, w := range c.Warnings() {
		c.log.Warn("certificate needs attention", "warning", w)
	}
	return c, nil
}

// Run reads the files again and again until ctx ends.
func (c *Certificates) Run(ctx context.Context) {
	tick := time.NewTicker(ReloadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.Reload()
		}
	}
}

// Reload reads the files. Contents are compared, not times: a file may come by a symbolic link that moves.
func (c *Certificates) Reload() {
	content, err := c.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && equalAll(content, c.content) {
		return
	}
	var config *tls.Config
	var listed []Certificate
	if err == nil {
		config, listed, err = c.parse(content)
	}
	if err != nil {
		c.failLocked(content, err)
		return
	}
	if c.config != nil {
		c.log.Info("certificates reloaded", "subject", listed[0].Subject, "not_after", listed[0].NotAfter)
	}
	c.config, c.listed, c.content, c.broken = config, listed, content, nil
}

// failLocked keeps what is in use. The same failure is told once.
func (c *Certificates) failLocked(content [][]byte, err error) {
	told := c.broken != nil && c.broken.Error() == err.Error()
	c.content, c.broken = content, err
	if c.config != nil && !told {
		c.log.Warn("new certificates cannot be used, the old ones stay", "err", err)
	}
}

func equalAll(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func (c *Certificates) read() ([][]byte, error) {
	var out [][]byte
	for _, f := range []struct{ field, path string }{
		{"tls.cert", c.files.Cert}, {"tls.key", c.files.Key}, {"tls.client_ca", c.files.ClientCA},
	} {
		data, err := os.ReadFile(f.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w (it must be readable for lbd's user without capabilities)", f.field, err)
		}
		out = append(out, data)
	}
	return out, nil
}

func (c *Certificates) parse(content [][]byte) (*tls.Config, []Certificate, error) {
	pair, err := tls.X509KeyPair(content[0], content[1])
	if err != nil {
		return nil, nil, fmt.Errorf("tls.cert %q with tls.key %q: %w", c.files.Cert, c.files.Key, err)
	}
	listed := []Certificate{{"tls.cert", c.files.Cert, pair.Leaf.Subject.String(), pair.Leaf.NotAfter}}
	cas, err := parseCertificates(content[2])
	if err != nil {
		return nil, nil, fmt.Errorf("tls.client_ca %q: %w", c.files.ClientCA, err)
	}
	pool := x509.NewCertPool()
	for _, ca := range cas {
		pool.AddCert(ca)
		listed = append(listed, Certificate{"tls.client_ca", c.files.ClientCA, ca.Subject.String(), ca.NotAfter})
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		NextProtos:   []string{"h2"},
		// A resumed session would not be checked against a CA that has changed.
		SessionTicketsDisabled: true,
	}, listed, nil
}

// parseCertificates reads all certificates of a PEM file. One that cannot be read is an error: a CA that is silently
// left out would lock its clients out.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for len(data) > 0 {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a %q, which does not belong there (certificates only)", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(out)+1, err)
		}
		out = append(out, cert)
	}
	if len(out) == 0 {
		return nil, errors.New("holds no certificate (it must be PEM)")
	}
	return out, nil
}

// current is for the next connection.
func (c *Certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.config
}

// List returns the certificates in use, the node's own first.
func (c *Certificates) List() []Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.listed
}

// Warnings says which certificates have expired or soon will, and which files cannot be used.
func (c *Certificates) Warnings() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, cert := range c.listed {
		if w := expiryWarning(cert, c.now()); w != "" {
			out = append(out, w)
		}
	}
	if c.broken != nil {
		out = append(out, fmt.Sprintf("new certificates cannot be used, the old ones stay: %v", c.broken))
	}
	return out
}

func expiryWarning(c Certificate, now time.Time) string {
	date := c.NotAfter.UTC().Format(time.RFC3339)
	left := c.NotAfter.Sub(now)
	switch {
	case left <= 0:
		return fmt.Sprintf("%s %q (%s) expired at %s: connections over TCP fail (replace the file, it is reloaded by itself)", c.Use, c.Path, c.Subject, date)
	case left < 48*time.Hour:
		return fmt.Sprintf("%s %q (%s) expires in %d hours, at %s (replace the file, it is reloaded by itself)", c.Use, c.Path, c.Subject, int(left.Hours()), date)
	case left < ExpiryNotice:
		return fmt.Sprintf("%s %q (%s) expires in %d days, at %s (replace the file, it is reloaded by itself)", c.Use, c.Path, c.Subject, int(left.Hours())/24, date)
	}
	return ""
}
