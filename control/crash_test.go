package control_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

// The child of TestKillAtEveryStep is this binary again, with these variables set.
const (
	envCrashDir  = "SLUICE_TEST_CRASH_DIR"
	envCrashStep = "SLUICE_TEST_CRASH_STEP"
	envCrashSeed = "SLUICE_TEST_CRASH_SEED"
)

func TestMain(m *testing.M) {
	store.VerifyIfAsked()
	if dir := os.Getenv(envCrashDir); dir != "" {
		if seed := os.Getenv(envCrashSeed); seed != "" {
			crashAtRandom(dir, seed)
		}
		crash(dir, os.Getenv(envCrashStep))
	}
	os.Exit(m.Run())
}

func background() context.Context { return context.Background() }

// crash applies web(3) to a node that has web(2), and dies at a step as kill -9 would have it.
func crash(dir, at string) {
	armed := false
	n, err := openNode(dir, func(step string) {
		if armed && step == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	if err != nil {
		panic(err)
	}
	armed = true
	if _, err := n.engine.Write(background(), control.WriteOptions{}, replace(web(3))); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// steps of a publication in their order, those of the fake data plane between the engine's. From "flipped" on packets
// see the new state.
var steps = []string{"begin", "pending", "building", "built", "flipped", "published", "committed"}

func TestKillAtEveryStep(t *testing.T) {
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			n := mustNode(t, dir)
			n.apply(t, web(2))
			if err := n.store.Close(); err != nil {
				t.Fatal(err)
			}
			killed(t, dir, step)
			n = mustNode(t, dir)
			want, revision := web(2), uint64(1)
			if slices.Index(steps, step) >= slices.Index(steps, "flipped") {
				want, revision = web(3), 2
			}
			if st := n.engine.State(); !sameConfig(st.Config, want) || st.Revision != revision {
				t.Errorf("revision %d with %d backends, want revision %d with %d", st.Revision, len(st.Config.Pools[0].Backends), revision, len(want.Pools[0].Backends))
			}
			n.check(t)
			n.apply(t, web(4)) // and it goes on from there
			n.check(t)
		})
	}
}

// killed runs the child and makes sure that it died where it should.
func killed(t *testing.T, dir, step string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envCrashDir+"="+dir, envCrashStep+"="+step)
	out, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err == nil || !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v, want SIGKILL at step %q:\n%s", err, step, out)
	}
}

// A node that dies in its very first publication has maps that are new, or that hold the empty configuration.
func TestStartWithForeignMaps(t *testing.T) {
	dir := t.TempDir()
	n := mustNode(t, dir)
	n.apply(t, web(1))
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir + "/state"); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(dir + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	n, err = openNode(dir, nil)
	if err == nil {
		t.Fatal("a data plane of another store was taken over")
	}
	_ = n.store.Close()
	t.Log(err)
	if after, err := os.ReadFile(dir + "/maps"); err != nil || string(after) != string(before) {
		t.Error("the data plane was touched")
	}
}

// Maps that are new (a reboot) get the committed configuration under a new number.
func TestStartWithFreshMaps(t *testing.T) {
	dir := t.TempDir()
	n := mustNode(t, dir)
	n.apply(t, web(3))
	last := n.engine.State().Publication
	if err := os.Remove(dir + "/maps"); err != nil {
		t.Fatal(err)
	}
	n = n.restart(t)
	st := n.engine.State()
	if !sameConfig(st.Config, web(3)) || st.Revision != 1 || st.Publication <= last {
		t.Errorf("revision %d, publication %d after %d, %d pools", st.Revision, st.Publication, last, len(st.Config.Pools))
	}
	n.check(t)
}

func TestNewNodeIsEmpty(t *testing.T) {
	n := mustNode(t, t.TempDir())
	if st := n.engine.State(); st.Revision != 0 || st.Publication != 1 || !sameConfig(st.Config, lb.Config{}) {
		t.Errorf("got revision %d, publication %d", st.Revision, st.Publication)
	}
	n.check(t)
}
