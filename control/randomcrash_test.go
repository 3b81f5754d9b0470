package control_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sluice-lb/sluice/control"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// TestRandomCrashes has a child make random calls until it kills itself at a random step of one of them, again and again
// over the same store and maps. After each death what packets see, the store, the export and the newest entry of the
// history are the same, and nothing that was acknowledged is lost. SLUICE_TEST_SEED replays a run.
func TestRandomCrashes(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("SLUICE_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SLUICE_TEST_SEED=%d", seed)
	dir := t.TempDir()
	last := uint64(0)
	for life := range uint64(25) {
		acknowledged := dieAtRandom(t, dir, fmt.Sprintf("%d:%d", seed, life))
		n := mustNode(t, dir)
		st := n.engine.State()
		// One more may have been made whose answer nobody read.
		if st.Revision < max(acknowledged, last) || st.Revision > max(acknowledged, last)+1 {
			t.Errorf("life %d: revision %d, acknowledged was %d, before it %d", life, st.Revision, acknowledged, last)
		}
		n.check(t)
		t.Run("export", func(t *testing.T) {
			conn, _ := mustServe(t, n)
			mustExport(t, n, sluicev1.NewSluiceClient(conn))
		})
		if t.Failed() {
			t.Fatalf("after life %d", life)
		}
		last = st.Revision
		if err := n.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d revisions", last)
}

// dieAtRandom runs the child and returns the last revision that it was told of.
func dieAtRandom(t *testing.T, dir, seed string) (acknowledged uint64) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envCrashDir+"="+dir, envCrashSeed+"="+seed)
	out, err := cmd.Output()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err == nil || !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v, want SIGKILL:\n%s", err, out)
	}
	lines := strings.Fields(string(out))
	if len(lines) == 0 {
		return 0
	}
	if acknowledged, err = strconv.ParseUint(lines[len(lines)-1], 10, 64); err != nil {
		t.Fatal(err)
	}
	return acknowledged
}

// crashAtRandom is the child: it prints every revision that a call was answered with.
func crashAtRandom(dir, seed string) {
	var run, life uint64
	if _, err := fmt.Sscanf(seed, "%d:%d", &run, &life); err != nil {
		panic(err)
	}
	r := rand.New(rand.NewPCG(run, life))
	left := 1 + r.IntN(60) // steps, also those of the start
	n, err := openNode(dir, func(string) {
		if left--; left == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	if err != nil {
		panic(err)
	}
	l := bufconn.Listen(1 << 20)
	go func() { panic(control.NewServer(n.engine, "v0-test", quiet, ownGuard()).GRPC().Serve(l)) }()
	conn, err := grpc.NewClient("passthrough:bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		panic(err)
	}
	c := sluicev1.NewSluiceClient(conn)
	for {
		_, _ = randomCall(context.Background(), r, c)
		// The revision after an answer was acknowledged by it.
		fmt.Println(n.engine.State().Revision)
	}
}
