package control_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/control/access"
	"github.com/sluice-lb/sluice/internal/certtest"
	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// tcpNode serves web(2) over mutual TLS, with one caller for each role, and one without.
type tcpNode struct {
	*node
	ca      *certtest.CA
	address string
	server  *control.Server
	audit   string
}

func mustServeTCP(t *testing.T) *tcpNode {
	t.Helper()
	n := &tcpNode{node: mustNode(t, t.TempDir()), ca: certtest.MustCA(t, "Sluice")}
	n.apply(t, web(2))
	dir := t.TempDir()
	files := access.Files{ClientCA: filepath.Join(dir, "ca.crt")}
	var err error
	pair := n.ca.MustIssue(t, certtest.Spec{CN: "node", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if files.Cert, files.Key, err = pair.Write(dir, "node"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.ClientCA, n.ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	certificates, err := access.LoadCertificates(files, quiet)
	if err != nil {
		t.Fatal(err)
	}
	n.audit = filepath.Join(dir, "audit.log")
	audit, err := access.OpenAudit(n.audit, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = audit.Close() })
	var rules []access.Rule
	for _, r := range access.Roles {
		rules = append(rules, access.Rule{Role: r, Kind: access.CN, Value: r.String()})
	}
	guard, err := access.New(access.Options{Rules: rules, Certificates: certificates, Audit: audit, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	n.server = control.NewServer(n.engine, "v0-test", quiet, guard)
	l, err := control.Listen("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	n.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- n.server.GRPC().Serve(l) }()
	t.Cleanup(func() {
		n.server.Stop(time.Second)
		if err := <-served; err != nil {
			t.Error(err)
		}
		mustEnd(t)
	})
	return n
}

// dial connects with a certificate for a common name.
func (n *tcpNode) dial(t *testing.T, cn string) *grpc.ClientConn {
	t.Helper()
	own, err := n.ca.MustIssue(t, certtest.Spec{CN: cn}).TLS()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(n.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: n.ca.Pool(), Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13,
	})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// invoke calls a method, whatever it is, with an empty request, and returns the code of its answer.
func invoke(t *testing.T, conn *grpc.ClientConn, service string, m grpc.MethodInfo) codes.Code {
	t.Helper()
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + m.Name))
	if err != nil {
		t.Fatal(err)
	}
	d := found.(protoreflect.MethodDescriptor)
	request, answer := dynamicpb.NewMessage(d.Input()), dynamicpb.NewMessage(d.Output())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	path := "/" + service + "/" + m.Name
	if !m.IsClientStream && !m.IsServerStream {
		return status.Code(conn.Invoke(ctx, path, request, answer))
	}
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: m.IsClientStream, ServerStreams: m.IsServerStream}, path)
	if err != nil {
		return status.Code(err)
	}
	if err := s.SendMsg(request); err != nil {
		return status.Code(s.RecvMsg(answer))
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	return status.Code(s.RecvMsg(answer))
}

// Every method of every service that is registered has a role, weaker callers are denied, and no other one is.
func TestEveryMethodHasARole(t *testing.T) {
	n := mustServeTCP(t)
	known := access.Methods()
	for service, info := range n.server.GRPC().GetServiceInfo() {
		for _, m := range info.Methods {
			path := "/" + service + "/" + m.Name
			need, ok := known[path]
			if !ok {
				t.Errorf("%s has no role (add it to the table of access/methods.go)", path)
				continue
			}
			delete(known, path)
			for _, role := range append([]access.Role{access.None}, access.Roles...) {
				t.Run(strings.Trim(strings.ReplaceAll(path, "/", "-"), "-")+"-"+role.String(), func(t *testing.T) {
					// An empty SetBackend asks for nothing that an operator may not.
					if m.Name == "SetBackend" {
						need = access.Operator
					}
					got := invoke(t, n.dial(t, role.String()), service, m)
					if denied := got == codes.PermissionDenied; denied != (role < need) || got == codes.Unavailable {
						t.Errorf("%s, where %s is needed", got, need)
					}
				})
			}
		}
	}
	for path := range known {
		t.Errorf("%s has a role and is no method of the API", path)
	}
}

func TestDeniedNamesBothRoles(t *testing.T) {
	n := mustServeTCP(t)
	for _, row := range []struct {
		caller, want string
		call         func(sluicev1.SluiceClient) error
	}{
		{"viewer", "tls:viewer has role viewer, DeleteVip needs editor (roles are given under roles: in the node's file)",
			func(c sluicev1.SluiceClient) error {
				_, err := c.DeleteVip(t.Context(), &sluicev1.DeleteVipRequest{Name: "web"})
				return err
			}},
		{"mallory", "tls:mallory has no role, GetStatus needs viewer (roles are given under roles: in the node's file)",
			func(c sluicev1.SluiceClient) error {
				_, err := c.GetStatus(t.Context(), &sluicev1.GetStatusRequest{})
				return err
			}},
		{"operator", "tls:operator has role operator, SetBackend needs editor (roles are given under roles: in the node's file)",
			func(c sluicev1.SluiceClient) error {
				_, err := c.SetBackend(t.Context(), &sluicev1.SetBackendRequest{Pool: "web", Name: "web-a", Admin: sluicev1.Admin_ADMIN_DRAINED, Weight: ptr(uint32(7))})
				return err
			}},
	} {
		err := row.call(sluicev1.NewSluiceClient(n.dial(t, row.caller)))
		if status.Code(err) != codes.PermissionDenied || status.Convert(err).Message() != row.want {
			t.Errorf("%s: %v, want %q", row.caller, err, row.want)
		}
	}
	if st := n.engine.State(); st.Revision != 1 {
		t.Errorf("revision %d after refusals, want 1", st.Revision)
	}
}

// What callers do, and try to do, is told line by line.
func TestAudit(t *testing.T) {
	n := mustServeTCP(t)
	as := func(cn string) sluicev1.SluiceClient { return sluicev1.NewSluiceClient(n.dial(t, cn)) }
	ctx, vip := t.Context(), &sluicev1.Vip{Name: "dns", Address: "198.51.100.11", Protocol: sluicev1.Protocol_PROTOCOL_UDP, Ports: []string{"53"}, Pool: "web"}
	_, _ = as("viewer").CreateVip(ctx, &sluicev1.CreateVipRequest{Vip: vip})
	_, _ = as("viewer").ListVips(ctx, &sluicev1.ListVipsRequest{})
	_, _ = as("editor").CreateVip(ctx, &sluicev1.CreateVipRequest{Vip: vip})
	_, _ = as("operator").SetBackend(ctx, &sluicev1.SetBackendRequest{Pool: "web", Name: "web-a", Admin: sluicev1.Admin_ADMIN_DRAINED})
	_, _ = as("operator").SetWeight(ctx, &sluicev1.SetWeightRequest{Pool: "web", Name: "web-b", Weight: 100})
	_, _ = as("editor").DeleteVip(ctx, &sluicev1.DeleteVipRequest{Name: "dns", Options: &sluicev1.WriteOptions{DryRun: true}})
	_, _ = as("editor").DeletePool(ctx, &sluicev1.DeletePoolRequest{Name: "none"})
	_, _ = as("editor").Apply(ctx, &sluicev1.ApplyRequest{})
	want := []string{
		`tls:viewer viewer CreateVip vip/dns denied PermissionDenied 0 false`,
		`tls:editor editor CreateVip vip/dns ok OK 2 false`,
		`tls:operator operator SetBackend backend/web/web-a ok OK 3 false`,
		`tls:operator operator SetWeight backend/web/web-b unchanged OK 3 false`,
		`tls:editor editor DeleteVip vip/dns ok OK 3 true`,
		`tls:editor editor DeletePool pool/none failed NotFound 0 false`,
		`tls:editor editor Apply config failed InvalidArgument 0 false`,
	}
	var got []string
	for _, e := range readAudit(t, n.audit) {
		got = append(got, fmt.Sprint(e.Caller, " ", e.Role, " ", e.Method, " ", e.Object, " ", e.Outcome, " ", e.Code, " ", e.Revision, " ", e.DryRun))
		if e.Time.IsZero() || e.Serial == "" || !strings.HasPrefix(e.Address, "127.0.0.1:") || e.Request == nil || (e.Error != "") != (e.Code != "OK") {
			t.Errorf("incomplete: %+v", e)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if request := string(readAudit(t, n.audit)[2].Request); request != `{"pool":"web","name":"web-a","admin":"ADMIN_DRAINED"}` {
		t.Errorf("request %s", request)
	}
}

func readAudit(t *testing.T, path string) []access.Entry {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, err %v; want 0600", info.Mode(), err)
	}
	var out []access.Entry
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e access.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		out = append(out, e)
	}
	return out
}

func TestStatusTellsTheCaller(t *testing.T) {
	n := mustServeTCP(t)
	s, err := sluicev1.NewSluiceClient(n.dial(t, "operator")).GetStatus(t.Context(), &sluicev1.GetStatusRequest{})
	if err != nil || s.GetCaller() != "tls:operator" || s.GetRole() != "operator" {
		t.Errorf("caller %q, role %q, err %v", s.GetCaller(), s.GetRole(), err)
	}
	if c := s.GetCertificates(); len(c) != 2 || c[0].GetSubject() != "CN=node" || c[1].GetUse() != "tls.client_ca" {
		t.Errorf("certificates %v", c)
	}
}

// A request of 100 MB is refused by its length, before it is read, and the connection goes on.
func TestTooLargeRequest(t *testing.T) {
	n := mustServeTCP(t)
	c := sluicev1.NewSluiceClient(n.dial(t, "editor"))
	large := &sluicev1.ApplyRequest{Config: &sluicev1.Config{Pools: []*sluicev1.Pool{{Name: strings.Repeat("x", 100_000_000)}}}}
	_, err := c.Apply(t.Context(), large, grpc.MaxCallSendMsgSize(1<<30))
	want := fmt.Sprintf("larger than max (100000015 vs. %d)", control.MaxMessage) // as lbctl reads it
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if _, err := c.GetStatus(t.Context(), &sluicev1.GetStatusRequest{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Two writers that read, change and write: no change is lost, and who was slower is told so.
func TestTwoWriters(t *testing.T) {
	n := mustServeTCP(t)
	var made, lost atomic.Int64
	var writers sync.WaitGroup
	for w := range 2 {
		c := sluicev1.NewSluiceClient(n.dial(t, "editor"))
		writers.Go(func() {
			for i := 0; i < 25; {
				v, err := c.Export(t.Context(), &sluicev1.ExportRequest{})
				if err != nil {
					t.Error(err)
					return
				}
				_, err = c.CreatePool(t.Context(), &sluicev1.CreatePoolRequest{Pool: &sluicev1.Pool{Name: fmt.Sprintf("p%d-%d", w, i)},
					Options: &sluicev1.WriteOptions{ExpectedRevision: v.GetRevision()}})
				switch status.Code(err) {
				case codes.OK:
					made.Add(1)
					i++
				case codes.Aborted:
					lost.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	st := n.engine.State()
	if made.Load() != 50 || st.Revision != 51 || len(st.Config.Pools) != 51 {
		t.Errorf("%d made, revision %d, %d pools; want 50, 51, 51", made.Load(), st.Revision, len(st.Config.Pools))
	}
	t.Logf("%d writes came too late and were told so", lost.Load())
}

func TestAliveAndStuck(t *testing.T) {
	n := mustNode(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	if err := alive(n.engine); err == nil || !strings.Contains(err.Error(), "loop does not answer") {
		t.Errorf("before Run: %v", err)
	}
	done := make(chan struct{})
	go func() { n.engine.Run(ctx); close(done) }()
	if err := alive(n.engine); err != nil {
		t.Errorf("running: %v", err)
	}
	// A change that does not come back, as on a disk that hangs.
	stuck, release := make(chan struct{}), make(chan struct{})
	go n.engine.Write(ctx, control.WriteOptions{}, func(*lb.Config) error { close(stuck); <-release; return nil }) //nolint:errcheck // stuck
	<-stuck
	if err := alive(n.engine); err == nil || !strings.Contains(err.Error(), "stuck in a change") {
		t.Errorf("stuck: %v", err)
	}
	close(release)
	if err := alive(n.engine); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	cancel()
	<-done
}

func alive(e *control.Engine) error {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	return e.Alive(ctx)
}
