package main

import (
	"crypto/tls"
	"net"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/sluice-lb/sluice/internal/certtest"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// serveTLS serves on TCP with certificates from one CA, as lbd does, and writes a client's files:
//
//	ca.crt                 the CA of all, but for
//	other.crt, stranger.*  another one, and what it signed
//	alice.*                valid
//	old.*                  expired at the script's noon
//	late.*                 valid at noon, and expired by the server's clock
//
// The server's certificate is for 127.0.0.1; with "expired" it is so at noon.
func (s *session) serveTLS(ts *testscript.TestScript, args []string) {
	ca, err := certtest.NewCA("Sluice", time.Time{})
	ts.Check(err)
	other, err := certtest.NewCA("Other", time.Time{})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("ca.crt"), ca.PEM, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("other.crt"), other.PEM, 0o600))
	for name, spec := range map[string]certtest.Spec{
		"alice": {CN: "alice"}, "stranger": {CN: "stranger"},
		"old": {CN: "old", NotAfter: noon.Add(-time.Hour)}, "late": {CN: "late", NotAfter: noon.Add(time.Hour)},
	} {
		signer := ca
		if name == "stranger" {
			signer = other
		}
		pair, err := signer.Issue(spec)
		ts.Check(err)
		_, _, err = pair.Write(ts.MkAbs("."), name)
		ts.Check(err)
	}
	node := certtest.Spec{CN: "node", DNS: []string{"lb-1.example"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}
	if len(args) > 0 {
		node.NotAfter = noon.Add(-time.Hour)
	}
	pair, err := ca.Issue(node)
	ts.Check(err)
	own, err := pair.TLS()
	ts.Check(err)
	ts.Setenv("TCP", s.listenTCP(ts, grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}))))
	ts.Setenv("PLAIN", s.listenTCP(ts))
}

func (s *session) listenTCP(ts *testscript.TestScript, options ...grpc.ServerOption) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	g := grpc.NewServer(options...)
	sluicev1.RegisterSluiceServer(g, s.server)
	go func() { _ = g.Serve(l) }() // ends with Stop
	s.cleanup(g.Stop)
	return l.Addr().String()
}
