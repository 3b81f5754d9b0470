package control_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// mustServe serves a node's API and returns a connection to it.
func mustServe(t testing.TB, n *node) (*grpc.ClientConn, *control.Server) {
	t.Helper()
	return mustServeWith(t, n, func(*control.Server) {})
}

// mustServeWith is mustServe with a server that is set up before it serves.
func mustServeWith(t testing.TB, n *node, setUp func(*control.Server)) (*grpc.ClientConn, *control.Server) {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	server := control.NewServer(n.engine, "v0-test", quiet, ownGuard())
	setUp(server)
	served := make(chan error, 1)
	go func() { served <- server.GRPC().Serve(l) }()
	conn, err := grpc.NewClient("passthrough:bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(control.MaxMessage)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop(time.Second)
		if err := <-served; err != nil {
			t.Error(err)
		}
		mustEnd(t)
	})
	return conn, server
}

// mustEnd fails where goroutines of ours are left.
func mustEnd(t testing.TB) {
	t.Helper()
	var stacks string
	for range 100 {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		left := 0
		for _, g := range strings.Split(stacks, "\n\n") {
			if strings.Contains(g, "sluice/control.(") || strings.Contains(g, "grpc.(*Server)") {
				left++
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("goroutines are left:\n%s", stacks)
}

// webNode serves web(2) at revision 1.
func webNode(t testing.TB) (*node, sluicev1.SluiceClient) {
	t.Helper()
	n := mustNode(t, t.TempDir())
	n.apply(t, web(2))
	conn, _ := mustServe(t, n)
	return n, sluicev1.NewSluiceClient(conn)
}

func ptr[T any](v T) *T { return &v }

func TestRefusals(t *testing.T) {
	vip := func(name, address, pool string, ports ...string) *sluicev1.Vip {
		return &sluicev1.Vip{Name: name, Address: address, Protocol: sluicev1.Protocol_PROTOCOL_TCP, Ports: ports, Pool: pool}
	}
	stale := &sluicev1.WriteOptions{ExpectedRevision: 9}
	n, c := webNode(t)
	ctx := t.Context()
	for _, row := range []struct {
		name  string
		call  func() error
		code  codes.Code
		field string // of a violation, where the code is INVALID_ARGUMENT
		words string
	}{
		{"apply-nothing", func() error { _, err := c.Apply(ctx, &sluicev1.ApplyRequest{}); return err }, codes.InvalidArgument, "config", "missing"},
		{"apply-bad-address", func() error {
			_, err := c.Apply(ctx, &sluicev1.ApplyRequest{Config: &sluicev1.Config{Vips: []*sluicev1.Vip{vip("a", "www", "web", "80")}}})
			return err
		}, codes.InvalidArgument, "vips[0].address", "www"},
		{"apply-no-pool", func() error {
			_, err := c.Apply(ctx, &sluicev1.ApplyRequest{Config: &sluicev1.Config{Vips: []*sluicev1.Vip{vip("a", "198.51.100.1", "none", "80")}}})
			return err
		}, codes.InvalidArgument, "vips[0].pool", "none"},
		{"apply-stale", func() error {
			_, err := c.Apply(ctx, &sluicev1.ApplyRequest{Config: translate.ConfigToProto(web(3)), Options: stale})
			return err
		}, codes.Aborted, "", "expected revision 9, the committed one is 1"},
		{"create-vip-taken", func() error {
			_, err := c.CreateVip(ctx, &sluicev1.CreateVipRequest{Vip: vip("web", "198.51.100.1", "web", "80")})
			return err
		}, codes.AlreadyExists, "", `vip "web"`},
		{"create-vip-overlap", func() error {
			_, err := c.CreateVip(ctx, &sluicev1.CreateVipRequest{Vip: vip("two", "198.51.100.10", "web", "443", "80")})
			return err
		}, codes.InvalidArgument, "vip.ports[1]", "198.51.100.10:80"},
		{"create-vip-bad-port", func() error {
			_, err := c.CreateVip(ctx, &sluicev1.CreateVipRequest{Vip: vip("two", "198.51.100.11", "web", "0")})
			return err
		}, codes.InvalidArgument, "vip.ports[0]", "0"},
		{"set-vip-unknown", func() error {
			_, err := c.SetVip(ctx, &sluicev1.SetVipRequest{Name: "none"})
			return err
		}, codes.NotFound, "", `vip "none"`},
		{"set-vip-bad-pool", func() error {
			_, err := c.SetVip(ctx, &sluicev1.SetVipRequest{Name: "web", Pool: ptr("none")})
			return err
		}, codes.InvalidArgument, "pool", "none"},
		{"delete-vip-unknown", func() error {
			_, err := c.DeleteVip(ctx, &sluicev1.DeleteVipRequest{Name: "none"})
			return err
		}, codes.NotFound, "", `vip "none"`},
		{"list-vips-unknown", func() error { _, err := c.ListVips(ctx, &sluicev1.ListVipsRequest{Name: "none"}); return err }, codes.NotFound, "", `vip "none"`},
		{"create-pool-taken", func() error {
			_, err := c.CreatePool(ctx, &sluicev1.CreatePoolRequest{Pool: &sluicev1.Pool{Name: "web"}})
			return err
		}, codes.AlreadyExists, "", `pool "web"`},
		{"create-pool-bad-slots", func() error {
			_, err := c.CreatePool(ctx, &sluicev1.CreatePoolRequest{Pool: &sluicev1.Pool{Name: "two", Slots: 1000}})
			return err
		}, codes.InvalidArgument, "pool.slots", "1000"},
		{"set-pool-unknown", func() error { _, err := c.SetPool(ctx, &sluicev1.SetPoolRequest{Name: "none"}); return err }, codes.NotFound, "", `pool "none"`},
		{"set-pool-bad-slots", func() error {
			_, err := c.SetPool(ctx, &sluicev1.SetPoolRequest{Name: "web", Slots: ptr(uint32(7))})
			return err
		}, codes.InvalidArgument, "slots", "7"},
		{"delete-pool-in-use", func() error {
			_, err := c.DeletePool(ctx, &sluicev1.DeletePoolRequest{Name: "web"})
			return err
		}, codes.FailedPrecondition, "", "in use by vips web"},
		{"delete-pool-unknown", func() error { _, err := c.DeletePool(ctx, &sluicev1.DeletePoolRequest{Name: "none"}); return err }, codes.NotFound, "", `pool "none"`},
		{"list-pools-unknown", func() error { _, err := c.ListPools(ctx, &sluicev1.ListPoolsRequest{Name: "none"}); return err }, codes.NotFound, "", `pool "none"`},
		{"create-backend-no-pool", func() error {
			_, err := c.CreateBackend(ctx, &sluicev1.CreateBackendRequest{Pool: "none", Backend: &sluicev1.Backend{Name: "a", Address: "10.9.3.3"}})
			return err
		}, codes.NotFound, "", `pool "none"`},
		{"create-backend-taken", func() error {
			_, err := c.CreateBackend(ctx, &sluicev1.CreateBackendRequest{Pool: "web", Backend: &sluicev1.Backend{Name: "web-a", Address: "10.9.3.3"}})
			return err
		}, codes.AlreadyExists, "", `backend "web/web-a"`},
		{"create-backend-same-address", func() error {
			_, err := c.CreateBackend(ctx, &sluicev1.CreateBackendRequest{Pool: "web", Backend: &sluicev1.Backend{Name: "z", Address: "10.9.3.10"}})
			return err
		}, codes.InvalidArgument, "backend.address", "10.9.3.10"},
		{"set-backend-unknown", func() error {
			_, err := c.SetBackend(ctx, &sluicev1.SetBackendRequest{Pool: "web", Name: "none"})
			return err
		}, codes.NotFound, "", `backend "web/none"`},
		{"set-backend-bad-weight", func() error {
			_, err := c.SetBackend(ctx, &sluicev1.SetBackendRequest{Pool: "web", Name: "web-a", Weight: ptr(uint32(65536))})
			return err
		}, codes.InvalidArgument, "weight", "65536"},
		{"delete-backend-unknown", func() error {
			_, err := c.DeleteBackend(ctx, &sluicev1.DeleteBackendRequest{Pool: "web", Name: "none"})
			return err
		}, codes.NotFound, "", `backend "web/none"`},
		{"list-backends-no-pool", func() error { _, err := c.ListBackends(ctx, &sluicev1.ListBackendsRequest{Pool: "none"}); return err }, codes.NotFound, "", `pool "none"`},
		{"list-backends-unknown", func() error { _, err := c.ListBackends(ctx, &sluicev1.ListBackendsRequest{Name: "none"}); return err }, codes.NotFound, "", `backend "none"`},
		{"weight-too-large", func() error {
			_, err := c.SetWeight(ctx, &sluicev1.SetWeightRequest{Pool: "web", Name: "web-a", Weight: 65536})
			return err
		}, codes.InvalidArgument, "weight", "65536"},
		{"weight-over-scale", func() error {
			_, err := c.SetWeight(ctx, &sluicev1.SetWeightRequest{Pool: "web", Name: "web-a", Weight: 10001})
			return err
		}, codes.InvalidArgument, "weight", "100 times"},
		{"slots-no-pool", func() error { _, err := c.ListSlots(ctx, &sluicev1.ListSlotsRequest{Pool: "none"}); return err }, codes.NotFound, "", `pool "none"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.call()
			st := status.Convert(err)
			if st.Code() != row.code || !strings.Contains(st.Message(), row.words) {
				t.Fatalf("got %v, want %s with %q", err, row.code, row.words)
			}
			if got := fieldsOf(st); row.code == codes.InvalidArgument && (len(got) != 1 || got[0] != row.field) {
				t.Errorf("violations of %q, want %q", got, row.field)
			}
		})
	}
	if st := n.engine.State(); st.Revision != 1 {
		t.Errorf("revision %d after refusals, want 1", st.Revision)
	}
	n.check(t)
}

func fieldsOf(st *status.Status) []string {
	var fields []string
	for _, d := range st.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}

func TestEveryWrite(t *testing.T) {
	n, c := webNode(t)
	ctx := t.Context()
	revision := uint64(1)
	for _, row := range []struct {
		name string
		call func(*sluicev1.WriteOptions) (*sluicev1.Outcome, error)
		want string // the changes
	}{
		{"create-pool", func(o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
			r, err := c.CreatePool(ctx, &sluicev1.CreatePoolRequest{Pool: &sluicev1.Pool{Name: "dns", Backends: []*sluicev1.Backend{{Name: "d", Address: "10.9.4.1"}}}, Options: o})
			return r.GetOutcome(), err
		}, "CREATED backend/dns/d, CREATED pool/dns"},
		{"create-vip", func(o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
			r, err := c.CreateVip(ctx, &sluicev1.CreateVipRequest{Vip: &sluicev1.Vip{Name: "dns", Address: "198.51.100.53", Protocol: sluicev1.Protocol_PROTOCOL_UDP, Ports: []string{"53"}, Pool: "dns"}, Options: o})
			return r.GetOutcome(), err
		}, "CREATED vip/dns"},
		{"set-vip", func(o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
			r, err := c.SetVip(ctx, &sluicev1.SetVipRequest{Name: "dns", Ports: []string{"853", "53"}, Options: o})
			return r.GetOutcome(), err
		}, "CONFIGURED vip/dns (ports: [53] -> [53 853])"},
		{"set-pool", func(o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
			r, err := c.SetPool(ctx, &sluicev1.SetPoolRequest{Name: "dns", Slots: ptr(uint32(4096)), Options: o})
			return r.GetOutcome(), err
		}, "CONFIGURED pool/dns (slots: 1024 (default) -> 4096)"},
		{"create-backend", func(o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
			r, err := c.CreateBackend(ctx, &sluicev1.CreateBackendRequest{Pool: "dns", Backend: &sluicev1.Backend{Name: "e", Address: "10.9.4.2", Weight: ptr(uint32(0))}, Options: o})
			return r.GetOutcome(), err
		}, "CREATED backend/dns/e"},
		{"set-backend", func(o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
			r, err := c.SetBackend(ctx, &sluicev1.SetBackendRequest{Pool: "dns", Name: "e", Address: ptr("10.9.4.3"), Scale: ptr(0.5), Options: o})
			return r.GetOutcome(), err
		}, "CONFIGURED backend/dns/e (address: 10.9.4.2 -> 10.9.4.3, scale: 1 -> 0.5)"},
		{"weight", func(o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
			r, err := c.SetWeight(ctx, &sluicev1.SetWeightRequest{Pool: "web", Name: "web-a", Weight: 0, Options: o})
			return r.GetOutcome(), err
		}, "CONFIGURED backend/web/web-a (scale: 1 -> 0), CONFIGURED pool/web () 512 slots"},
		{"delete-backend", func(o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
			r, err := c.DeleteBackend(ctx, &sluicev1.DeleteBackendRequest{Pool: "dns", Name: "e", Options: o})
			return r.GetOutcome(), err
		}, "DELETED backend/dns/e"},
		{"delete-vip", func(o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
			r, err := c.DeleteVip(ctx, &sluicev1.DeleteVipRequest{Name: "dns", Options: o})
			return r.GetOutcome(), err
		}, "DELETED vip/dns"},
		{"delete-pool", func(o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
			r, err := c.DeletePool(ctx, &sluicev1.DeletePoolRequest{Name: "dns", Options: o})
			return r.GetOutcome(), err
		}, "DELETED backend/dns/d, DELETED pool/dns"},
		{"apply", func(o *sluicev1.WriteOptions) (*sluicev1.Outcome, error) {
			r, err := c.Apply(ctx, &sluicev1.ApplyRequest{Config: translate.ConfigToProto(web(2)), Options: o})
			return r.GetOutcome(), err
		}, "CONFIGURED backend/web/web-a (scale: 0 -> 1), CONFIGURED pool/web () 512 slots"},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := canonical(n.dp.contents())
			out, err := row.call(&sluicev1.WriteOptions{DryRun: true, ExpectedRevision: revision})
			if err != nil || out.GetRevision() != revision || changesOf(out) != row.want {
				t.Fatalf("dry run: revision %d, %s, err %v; want %d, %s", out.GetRevision(), changesOf(out), err, revision, row.want)
			}
			if canonical(n.dp.contents()) != before || n.engine.State().Revision != revision {
				t.Error("the dry run changed something")
			}
			out, err = row.call(&sluicev1.WriteOptions{ExpectedRevision: revision})
			revision++
			if err != nil || out.GetRevision() != revision || changesOf(out) != row.want {
				t.Fatalf("revision %d, %s, err %v; want %d, %s", out.GetRevision(), changesOf(out), err, revision, row.want)
			}
			n.check(t)
		})
	}
	out, err := c.Apply(ctx, &sluicev1.ApplyRequest{Config: translate.ConfigToProto(web(2))})
	if err != nil || out.GetOutcome().GetRevision() != revision || len(out.GetOutcome().GetChanges()) != 0 {
		t.Errorf("applying what is there: %v, err %v; want revision %d and no changes", out, err, revision)
	}
}

func changesOf(o *sluicev1.Outcome) string {
	var words []string
	for _, c := range o.GetChanges() {
		s := strings.TrimPrefix(c.GetKind().String(), "KIND_") + " " + c.GetObject()
		if c.GetKind() == sluicev1.Change_KIND_CONFIGURED {
			s += " (" + c.GetDetail() + ")"
		}
		if n := c.GetSlotsMoved(); n == 512 { // all of a backend's; other figures are lb's to test
			s += " 512 slots"
		}
		words = append(words, s)
	}
	return strings.Join(words, ", ")
}

func TestSetWeight(t *testing.T) {
	n, c := webNode(t)
	for _, row := range []struct {
		nominal, want, effective uint32
		code                     codes.Code
		warned                   bool
	}{
		{100, 50, 50, codes.OK, false},
		{100, 0, 0, codes.OK, false},
		{100, 10000, 10000, codes.OK, false},
		{3, 1, 1, codes.OK, false},        // 0.333
		{65535, 1, 66, codes.OK, true},    // little is not nothing
		{65535, 100, 131, codes.OK, true}, // 0.002
		{0, 0, 0, codes.OK, false},
		{0, 5, 0, codes.InvalidArgument, false},
	} {
		cfg := web(2)
		cfg.Pools[0].Backends[0].Weight = row.nominal
		n.apply(t, cfg)
		r, err := c.SetWeight(t.Context(), &sluicev1.SetWeightRequest{Pool: "web", Name: "web-a", Weight: row.want})
		if status.Code(err) != row.code {
			t.Errorf("%d of %d: %v, want %s", row.want, row.nominal, err, row.code)
			continue
		}
		warned := strings.Contains(strings.Join(r.GetOutcome().GetWarnings(), "\n"), "effective weight")
		if b := n.engine.State().Config.Pools[0].Backends[0]; b.EffectiveWeight() != row.effective || warned != row.warned {
			t.Errorf("%d of %d: effective %d, warned %v; want %d, %v", row.want, row.nominal, b.EffectiveWeight(), warned, row.effective, row.warned)
		}
	}
}

func TestReads(t *testing.T) {
	n, c := webNode(t)
	ctx := t.Context()
	st := n.engine.State()
	n.dp.counters = lb.Counters{
		Interfaces: []lb.InterfaceCounters{{Interface: "eth0"}},
		VIPs:       []lb.Counter{{}, {Packets: 10, Bytes: 1000, NewFlows: 3, Refused: 2}},
		Backends:   make([]lb.Counter, 9),
	}
	n.dp.counters.Interfaces[0].Verdicts[lb.VerdictForwarded] = 10
	n.dp.counters.Backends[st.Layout.Backends["web/web-b"].Index].Packets = 7

	vips, err := c.ListVips(ctx, &sluicev1.ListVipsRequest{})
	if err != nil || len(vips.GetVips()) != 1 || vips.GetVips()[0].GetCounter().GetNewFlows() != 3 || vips.GetVips()[0].GetBackendsWithSlots() != 2 {
		t.Errorf("vips %v, err %v", vips, err)
	}
	backends, err := c.ListBackends(ctx, &sluicev1.ListBackendsRequest{Pool: "web"})
	if err != nil || len(backends.GetBackends()) != 2 {
		t.Fatalf("backends %v, err %v", backends, err)
	}
	b := backends.GetBackends()[1]
	if b.GetCounter().GetPackets() != 7 || b.GetPoolSlots() != 1024 || b.GetNextHop().GetState() != sluicev1.NextHop_STATE_REACHABLE || b.GetNextHop().GetMac() != "02:00:00:00:01:0b" {
		t.Errorf("backend %v", b)
	}
	slots, err := c.ListSlots(ctx, &sluicev1.ListSlotsRequest{Pool: "web"})
	if err != nil || len(slots.GetOwners()) != 1024 || strings.Join(slots.GetBackends(), " ") != "web-a web-b" {
		t.Errorf("slots of %v, err %v", slots.GetBackends(), err)
	}
	pools, err := c.ListPools(ctx, &sluicev1.ListPoolsRequest{Name: "web"})
	if err != nil || pools.GetPools()[0].GetDigest() != slots.GetDigest() || pools.GetPools()[0].GetVips()[0] != "web" {
		t.Errorf("pools %v, err %v", pools, err)
	}
	stats, err := c.GetStats(ctx, &sluicev1.GetStatsRequest{})
	if err != nil || len(stats.GetVerdicts()) != int(lb.VerdictCount)-1 || stats.GetBackends()[1].GetCounter().GetPackets() != 7 {
		t.Errorf("stats %v, err %v", stats, err)
	}
	n.hops.set(backend(0).Address, lb.NextHop{})
	got, err := c.GetStatus(ctx, &sluicev1.GetStatusRequest{})
	if err != nil || got.GetVersion() != "v0-test" || got.GetRevision() != 1 || got.GetTables()[0].GetDigest() != slots.GetDigest() ||
		got.GetSeedFingerprint() != n.store.Seed().Fingerprint() || len(got.GetLimits()) != 5 || len(got.GetInterfaces()) != 1 {
		t.Errorf("status %v, err %v", got, err)
	}
	if w := got.GetWarnings(); len(w) != 1 || !strings.Contains(w[0], `backend "web/web-a" (10.9.3.10): no route`) {
		t.Errorf("warnings %q", w)
	}
}

func TestHealthAndReflection(t *testing.T) {
	n := mustNode(t, t.TempDir())
	conn, server := mustServe(t, n)
	client := healthv1.NewHealthClient(conn)
	for _, service := range []string{"", "sluice.v1.Sluice"} {
		r, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil || r.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
			t.Errorf("before Ready: %q is %v, err %v", service, r.GetStatus(), err)
		}
	}
	server.Ready()
	for _, service := range []string{"", "sluice.v1.Sluice"} {
		r, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil || r.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("after Ready: %q is %v, err %v", service, r.GetStatus(), err)
		}
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil || !strings.Contains(r.String(), "sluice.v1.Sluice") {
		t.Errorf("services %v, err %v", r, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

func TestBigPool(t *testing.T) {
	n, c := webNode(t)
	pool := &sluicev1.Pool{Name: "big"}
	for i := range 1000 {
		pool.Backends = append(pool.Backends, &sluicev1.Backend{Name: "b" + string(rune('a'+i%26)) + strings.Repeat("x", i/26), Address: net.IPv4(10, 10, byte(i/250), byte(1+i%250)).String()})
	}
	if _, err := c.CreatePool(t.Context(), &sluicev1.CreatePoolRequest{Pool: pool}); err != nil {
		t.Fatal(err)
	}
	r, err := c.ListSlots(t.Context(), &sluicev1.ListSlotsRequest{Pool: "big"})
	if err != nil || len(r.GetOwners()) != lb.MaxSlots {
		t.Errorf("%d slots, err %v", len(r.GetOwners()), err)
	}
	n.check(t)
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run", "lbd.sock")
	l, err := control.Listen("unix://"+path, "0")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, err %v; want 0660", info.Mode(), err)
	}
	if _, err := control.Listen("unix://"+path, ""); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("second listener: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as after kill -9
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = control.Listen("unix://"+path, ""); err != nil {
		t.Errorf("a stale socket is in the way: %v", err)
	} else if err := l.Close(); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for address, words := range map[string]string{
		"127.0.0.1":        "must be HOST:PORT, or unix://",
		"127.0.0.1:":       "must be HOST:PORT, or unix://",
		"198.51.100.1:1":   "listen on",
		"unix://rel.sock":  "must be absolute",
		"unix://" + file:   "is no socket",
		"unix:///proc/nix": "listen on",
	} {
		if _, err := control.Listen(address, ""); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", address, err, words)
		}
	}
	if _, err := control.Listen("unix://"+path, "no-such-group"); err == nil || !strings.Contains(err.Error(), "groupadd") {
		t.Errorf("unknown group: %v", err)
	}
}
