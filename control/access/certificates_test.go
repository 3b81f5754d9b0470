package access

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/internal/certtest"
)

// pki is a directory with what the node's tls: names.
type pki struct {
	ca    *certtest.CA
	dir   string
	files Files
}

func mustPKI(t *testing.T) *pki {
	t.Helper()
	dir := t.TempDir()
	p := &pki{ca: certtest.MustCA(t, "Sluice"), dir: dir, files: Files{
		Cert: filepath.Join(dir, "node.crt"), Key: filepath.Join(dir, "node.key"), ClientCA: filepath.Join(dir, "ca.crt"),
	}}
	p.put(t, time.Time{})
	p.putCA(t, p.ca.PEM)
	return p
}

// put writes a new certificate for the node.
func (p *pki) put(t *testing.T, notAfter time.Time) {
	t.Helper()
	pair := p.ca.MustIssue(t, certtest.Spec{CN: "node", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: notAfter})
	if _, _, err := pair.Write(p.dir, "node"); err != nil {
		t.Fatal(err)
	}
}

func (p *pki) putCA(t *testing.T, data []byte) {
	t.Helper()
	if err := os.WriteFile(p.files.ClientCA, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustLoad(t *testing.T, files Files, log *bytes.Buffer) *Certificates {
	t.Helper()
	c, err := LoadCertificates(files, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBadFilesAtTheStart(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, p *pki)
		want  string
	}{
		{"no-certificate", func(t *testing.T, p *pki) { mustRemove(t, p.files.Cert) }, "tls.cert: open "},
		{"no-key", func(t *testing.T, p *pki) { mustRemove(t, p.files.Key) }, "it must be readable for lbd's user without capabilities"},
		{"another-key", func(t *testing.T, p *pki) {
			key, err := os.ReadFile(p.files.Key)
			if err != nil {
				t.Fatal(err)
			}
			p.put(t, time.Time{})
			if err := os.WriteFile(p.files.Key, key, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "private key does not match"},
		{"empty-ca", func(t *testing.T, p *pki) { p.putCA(t, nil) }, "holds no certificate (it must be PEM)"},
		{"key-as-ca", func(t *testing.T, p *pki) {
			key, err := os.ReadFile(p.files.Key)
			if err != nil {
				t.Fatal(err)
			}
			p.putCA(t, key)
		}, `holds a "EC PRIVATE KEY"`},
		{"damaged-ca", func(t *testing.T, p *pki) {
			p.putCA(t, append(p.ca.PEM, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")...))
		}, "certificate 2: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := mustPKI(t)
			row.spoil(t, p)
			if _, err := LoadCertificates(p.files, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

func mustRemove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// A file that cannot be used is told once and shown by status; the next usable one is taken over.
func TestBrokenFilesKeepTheOldOnes(t *testing.T) {
	p := mustPKI(t)
	var log bytes.Buffer
	c := mustLoad(t, p.files, &log)
	serial := func() string { return c.current().Certificates[0].Leaf.SerialNumber.String() }
	first := serial()
	good, err := os.ReadFile(p.files.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.files.Cert, good[:len(good)/2], 0o600); err != nil { // half written
		t.Fatal(err)
	}
	for range 3 {
		c.Reload()
	}
	if n := strings.Count(log.String(), "new certificates cannot be used"); n != 1 || serial() != first {
		t.Errorf("told %d times, serial %s, want once and %s:\n%s", n, serial(), first, log.String())
	}
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "the old ones stay: tls.cert") {
		t.Errorf("warnings %q", w)
	}
	p.put(t, time.Time{})
	c.Reload()
	if serial() == first || len(c.Warnings()) != 0 || !strings.Contains(log.String(), "certificates reloaded") {
		t.Errorf("serial %s as before, warnings %q:\n%s", serial(), c.Warnings(), log.String())
	}
	// Back to what was in use before is no change that is told.
	mustRemove(t, p.files.Key)
	c.Reload()
	if w := c.Warnings(); len(w) != 1 {
		t.Errorf("warnings without key %q", w)
	}
}

func TestExpiryWarnings(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]string{
		-time.Second:               "expired at",
		time.Hour:                  "expires in 1 hours",
		47*time.Hour + time.Minute: "expires in 47 hours",
		3 * 24 * time.Hour:         "expires in 3 days",
		ExpiryNotice - time.Second: "expires in 13 days",
		ExpiryNotice:               "",
		365 * 24 * time.Hour:       "",
	} {
		c := Certificate{Use: "tls.cert", Path: "/etc/sluice/node.crt", Subject: "CN=node", NotAfter: now.Add(left)}
		got := expiryWarning(c, now)
		if want == "" && got != "" || !strings.Contains(got, want) || want != "" && !strings.Contains(got, `tls.cert "/etc/sluice/node.crt" (CN=node)`) {
			t.Errorf("%s: %q, want %q", left, got, want)
		}
	}
}

// The node starts with a certificate that has expired: its socket works, and status says what is wrong.
func TestStartWithAnExpiredCertificate(t *testing.T) {
	p := mustPKI(t)
	p.put(t, time.Now().Add(-time.Hour))
	var log bytes.Buffer
	c := mustLoad(t, p.files, &log)
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "connections over TCP fail") || !strings.Contains(log.String(), "expired at") {
		t.Errorf("warnings %q:\n%s", w, log.String())
	}
}
