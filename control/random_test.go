package control_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

// TestRandomCalls makes random calls, restarts now and then, and compares what is exported, stored and published with a
// model after each. SLUICE_TEST_SEED replays a run.
func TestRandomCalls(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("SLUICE_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SLUICE_TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	n := mustNode(t, t.TempDir())
	for range 12 {
		t.Run("life", func(t *testing.T) {
			conn, _ := mustServe(t, n)
			c := sluicev1.NewSluiceClient(conn)
			for range 25 {
				before := n.engine.State().Revision
				call, err := randomCall(t.Context(), r, c)
				switch status.Code(err) {
				case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition:
				default:
					t.Fatalf("%s: %v", call, err)
				}
				if after := n.engine.State().Revision; err != nil && after != before || after > before+1 {
					t.Fatalf("%s: revision %d after %d, err %v", call, after, before, err)
				}
				n.check(t)
				mustExport(t, n, c)
				if t.Failed() {
					t.Fatalf("after %s", call)
				}
			}
		})
		n = n.restart(t)
		n.check(t)
	}
}

func mustExport(t *testing.T, n *node, c sluicev1.SluiceClient) {
	t.Helper()
	out, err := c.Export(t.Context(), &sluicev1.ExportRequest{})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := translate.ConfigFromProto(out.GetConfig())
	if err != nil {
		t.Fatal(err)
	}
	if st := n.dp.contents().State; !sameConfig(cfg, st.Config) || out.GetRevision() != st.Revision {
		t.Error("the export is not what packets see")
	}
}

// randomCall draws from few names and addresses, so that many calls meet something that is there.
func randomCall(ctx context.Context, r *rand.Rand, c sluicev1.SluiceClient) (string, error) {
	pool, name := fmt.Sprintf("p%d", r.IntN(3)), fmt.Sprintf("n%d", r.IntN(4))
	address := fmt.Sprintf("10.9.3.%d", 1+r.IntN(6))
	o := &sluicev1.WriteOptions{DryRun: r.IntN(8) == 0, Comment: strconv.FormatUint(r.Uint64(), 16)}
	if r.IntN(8) == 0 {
		o.Confirm = durationpb.New(time.Hour)
	}
	switch r.IntN(12) {
	case 0:
		_, err := c.CreatePool(ctx, &sluicev1.CreatePoolRequest{Pool: &sluicev1.Pool{Name: pool}, Options: o})
		return "create pool " + pool, err
	case 1:
		_, err := c.SetPool(ctx, &sluicev1.SetPoolRequest{Name: pool, Slots: ptr(uint32(1024 << r.IntN(3))), Options: o})
		return "set pool " + pool, err
	case 2:
		_, err := c.DeletePool(ctx, &sluicev1.DeletePoolRequest{Name: pool, Options: o})
		return "delete pool " + pool, err
	case 3, 4:
		_, err := c.CreateBackend(ctx, &sluicev1.CreateBackendRequest{Pool: pool, Backend: &sluicev1.Backend{Name: name, Address: address}, Options: o})
		return "create backend " + pool + "/" + name, err
	case 5:
		_, err := c.SetBackend(ctx, &sluicev1.SetBackendRequest{Pool: pool, Name: name, Address: &address, Weight: ptr(uint32(r.IntN(200))), Options: o})
		return "set backend " + pool + "/" + name, err
	case 6:
		_, err := c.DeleteBackend(ctx, &sluicev1.DeleteBackendRequest{Pool: pool, Name: name, Options: o})
		return "delete backend " + pool + "/" + name, err
	case 7:
		_, err := c.CreateVip(ctx, &sluicev1.CreateVipRequest{Vip: &sluicev1.Vip{Name: name, Address: fmt.Sprintf("198.51.100.%d", r.IntN(3)),
			Protocol: sluicev1.Protocol_PROTOCOL_TCP, Ports: []string{strconv.Itoa(80 + r.IntN(3))}, Pool: pool}, Options: o})
		return "create vip " + name, err
	case 8:
		revision := uint64(r.IntN(12))
		if newest, err := c.ListRevisions(ctx, &sluicev1.ListRevisionsRequest{Limit: 1}); err == nil && len(newest.GetRevisions()) > 0 && r.IntN(4) > 0 {
			revision = newest.GetRevisions()[0].GetRevision() - 1 // what is also allowed while a revision waits
		}
		_, err := c.Rollback(ctx, &sluicev1.RollbackRequest{Revision: &revision, Options: o})
		return fmt.Sprintf("rollback to revision %d", revision), err
	case 9, 10:
		_, err := c.Confirm(ctx, &sluicev1.ConfirmRequest{})
		return "confirm", err
	default:
		_, err := c.DeleteVip(ctx, &sluicev1.DeleteVipRequest{Name: name, Options: o})
		return "delete vip " + name, err
	}
}
