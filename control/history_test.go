package control_test

import (
	"errors"
	"net"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/lb"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

func mustApply(t *testing.T, c sluicev1.SluiceClient, cfg lb.Config, o *sluicev1.WriteOptions) *sluicev1.Outcome {
	t.Helper()
	out, err := c.Apply(t.Context(), &sluicev1.ApplyRequest{Config: translate.ConfigToProto(cfg), Options: o})
	if err != nil {
		t.Fatal(err)
	}
	return out.GetOutcome()
}

func mustRevisions(t *testing.T, c sluicev1.SluiceClient, limit uint32) []*sluicev1.Revision {
	t.Helper()
	out, err := c.ListRevisions(t.Context(), &sluicev1.ListRevisionsRequest{Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	return out.GetRevisions()
}

func TestEveryWriteIsARevision(t *testing.T) {
	n := mustNode(t, t.TempDir())
	conn, _ := mustServe(t, n)
	c := sluicev1.NewSluiceClient(conn)
	if got := mustRevisions(t, c, 0); len(got) != 0 {
		t.Errorf("a new node has the history %v", got)
	}
	mustApply(t, c, web(2), &sluicev1.WriteOptions{Comment: "first light"})
	mustApply(t, c, web(2), &sluicev1.WriteOptions{Comment: "the same again"})
	mustApply(t, c, web(3), &sluicev1.WriteOptions{Comment: "only tried", DryRun: true})
	if _, err := c.SetWeight(t.Context(), &sluicev1.SetWeightRequest{Pool: "web", Name: "web-a", Weight: 50}); err != nil {
		t.Fatal(err)
	}
	got := mustRevisions(t, c, 0)
	if len(got) != 2 || got[0].GetRevision() != 2 || got[1].GetRevision() != 1 {
		t.Fatalf("got %v, want revisions 2 and 1", got)
	}
	first := got[1]
	if age := time.Since(first.GetTime().AsTime()); first.GetComment() != "first light" || first.GetChanges() != 4 ||
		len(first.GetObjects()) != 3 || first.GetObjects()[0] != "backend/web/web-a created" || age < 0 || age > time.Minute {
		t.Errorf("got %v", first)
	}
	if limited := mustRevisions(t, c, 1); len(limited) != 1 || limited[0].GetRevision() != 2 {
		t.Errorf("limit 1: got %v", limited)
	}
	n.check(t)
	n = n.restart(t)
	if again, err := n.engine.History(0); err != nil || len(again) != 2 || again[1].Comment != "first light" {
		t.Errorf("after a restart: %v, %v", again, err)
	}
}

// The author is who the kernel says is at the other end of the socket.
func TestAuthorIsThePeer(t *testing.T) {
	n := mustNode(t, t.TempDir())
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := control.NewServer(n.engine, "v0-test", quiet, ownGuard())
	go func() { _ = server.GRPC().Serve(l) }() // ends with Stop
	defer server.Stop(time.Second)
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	c := sluicev1.NewSluiceClient(conn)
	mustApply(t, c, web(1), nil)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if got := mustRevisions(t, c, 1)[0].GetAuthor(); got != "unix:"+me.Username {
		t.Errorf("author %q, want %q", got, "unix:"+me.Username)
	}
}

func TestDiffAndRollback(t *testing.T) {
	n := mustNode(t, t.TempDir())
	conn, _ := mustServe(t, n)
	c := sluicev1.NewSluiceClient(conn)
	ctx := t.Context()
	for i := range 3 {
		mustApply(t, c, web(i+1), nil)
	}
	for _, row := range []struct {
		name     string
		from, to *uint64
		want     string
	}{
		{"last", nil, nil, "2..3: backend/web/web-c created, pool/web configured"},
		{"back", ptr(uint64(3)), ptr(uint64(1)), "3..1: backend/web/web-b deleted, backend/web/web-c deleted, pool/web configured"},
		{"from-nothing", ptr(uint64(0)), ptr(uint64(1)), "0..1: backend/web/web-a created, pool/web created, vip/web created"},
		{"equal", ptr(uint64(2)), ptr(uint64(2)), "2..2: "},
	} {
		out, err := c.Diff(ctx, &sluicev1.DiffRequest{From: row.from, To: row.to})
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, ch := range out.GetChanges() {
			words = append(words, ch.GetObject()+" "+strings.ToLower(strings.TrimPrefix(ch.GetKind().String(), "KIND_")))
		}
		if got := ptrText(out.GetFrom(), out.GetTo()) + strings.Join(words, ", "); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	out, err := c.Rollback(ctx, &sluicev1.RollbackRequest{Revision: ptr(uint64(1)), Options: &sluicev1.WriteOptions{ExpectedRevision: 3}})
	if err != nil || out.GetOutcome().GetRevision() != 4 || !sameConfig(n.engine.State().Config, web(1)) {
		t.Fatalf("rollback: %v, %v", out, err)
	}
	if got := mustRevisions(t, c, 1)[0]; got.GetComment() != "rollback to revision 1" {
		t.Errorf("comment %q", got.GetComment())
	}
	n.check(t)
	if out, err := c.Rollback(ctx, &sluicev1.RollbackRequest{Revision: ptr(uint64(1))}); err != nil || out.GetOutcome().GetRevision() != 4 {
		t.Errorf("a second time: %v, %v; want nothing new", out, err)
	}
	exported, err := c.Export(ctx, &sluicev1.ExportRequest{Revision: ptr(uint64(3))})
	if err != nil {
		t.Fatal(err)
	}
	if cfg, err := translate.ConfigFromProto(exported.GetConfig()); err != nil || !sameConfig(cfg, web(3)) || exported.GetRevision() != 3 {
		t.Errorf("export of revision 3: %v, %v", exported, err)
	}
	n.store.KeepRevisions(2)
	mustApply(t, c, web(5), nil)
	for name, err := range map[string]error{
		"pruned":  second(c.Rollback(ctx, &sluicev1.RollbackRequest{Revision: ptr(uint64(1))})),
		"future":  second(c.Diff(ctx, &sluicev1.DiffRequest{To: ptr(uint64(9))})),
		"export":  second(c.Export(ctx, &sluicev1.ExportRequest{Revision: ptr(uint64(2))})),
		"history": second(c.ListRevisions(ctx, &sluicev1.ListRevisionsRequest{Revision: 9})),
	} {
		if status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v, want NOT_FOUND", name, err)
		}
	}
	if _, err := c.Rollback(ctx, &sluicev1.RollbackRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no revision: %v, want INVALID_ARGUMENT", err)
	}
}

func ptrText(from, to uint64) string {
	return string(rune('0'+from)) + ".." + string(rune('0'+to)) + ": "
}

func second[T any](_ T, err error) error { return err }

func TestBadWriteOptions(t *testing.T) {
	n, c := webNode(t)
	for name, o := range map[string]*sluicev1.WriteOptions{
		"long-comment":      {Comment: strings.Repeat("x", 1025)},
		"two-lines":         {Comment: "one\ntwo"},
		"escape":            {Comment: "\x1b[2J"},
		"confirm-too-short": {Confirm: durationpb.New(time.Millisecond)},
		"confirm-too-long":  {Confirm: durationpb.New(25 * time.Hour)},
		"confirm-negative":  {Confirm: durationpb.New(-time.Minute)},
	} {
		_, err := c.Apply(t.Context(), &sluicev1.ApplyRequest{Config: translate.ConfigToProto(web(3)), Options: o})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "options.") {
			t.Errorf("%s: %v, want INVALID_ARGUMENT", name, err)
		}
	}
	if r := n.engine.State().Revision; r != 1 {
		t.Errorf("revision %d, want 1", r)
	}
}

// Moves come with the share of flows and with how many began lately, once that was measured.
func TestPreviewOfFlows(t *testing.T) {
	n, c := webNode(t)
	half := web(2)
	half.Pools[0].Backends[1].Scale = 0
	for range 2 { // the first dry run changes nothing for the second
		out := mustApply(t, c, half, &sluicev1.WriteOptions{DryRun: true})
		if len(out.GetMoves()) != 1 {
			t.Fatalf("moves %v, want those of one VIP", out.GetMoves())
		}
		m := out.GetMoves()[0]
		if m.GetVip() != "web" || m.GetSlots() != 1024 || m.GetMoved() != 512 || m.GetLost() != 0 || m.GetNewFlowsWithin() != nil {
			t.Errorf("got %v, want half of 1024 slots and nothing measured", m)
		}
	}
	gone := mustApply(t, c, lb.Config{}, nil)
	if m := gone.GetMoves(); len(m) != 1 || m[0].GetLost() != 1024 {
		t.Errorf("got %v, want all lost", m)
	}
	n.check(t)
}

// What a failed step and a failed cleaning up after it say, the client reads.
func TestBothCausesAreReported(t *testing.T) {
	n, c := webNode(t)
	n.dp.breakPublish(errors.New("map is full"))
	n.store.breakCall("drop", errors.New("disk is full"))
	_, err := c.Apply(t.Context(), &sluicev1.ApplyRequest{Config: translate.ConfigToProto(web(3))})
	if err == nil || !strings.Contains(err.Error(), "map is full") || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("got %v, want both causes", err)
	}
	n.store.repair()
	n.apply(t, web(4))
	n.check(t)
}

// Each part that differs from the live state is found.
func TestCheckFindsFaults(t *testing.T) {
	n, c := webNode(t)
	other := *n.engine.State()
	other.Config = web(3).Normalize()
	for _, row := range []struct {
		name, want string
		arm        func() error
	}{
		{"store", "the committed configuration", func() error { return n.store.Store.Commit(&other) }},
		{"pending", "is pending", func() error { return n.store.Store.SetPending(&other, nil) }},
	} {
		if err := row.arm(); err != nil {
			t.Fatal(err)
		}
		out, err := c.Check(t.Context(), &sluicev1.CheckRequest{})
		if err != nil || !strings.Contains(strings.Join(out.GetFaults(), "\n"), row.want) {
			t.Errorf("%s: %v, %v; want %q", row.name, out.GetFaults(), err, row.want)
		}
	}
}
