package control_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/lb"
)

// mustSmallDisk mounts a file system of a few MiB for a node's state.
func mustSmallDisk(t *testing.T) (dir, state string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("root is needed to mount a small file system")
		}
		t.Skip("root is needed to mount a small file system")
	}
	dir = t.TempDir()
	state = filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("sluice-test", state, "tmpfs", 0, "size=3m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(state, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, state
}

// fillDisk leaves no byte.
func fillDisk(state string) error {
	f, err := os.Create(filepath.Join(state, "filler"))
	if err != nil {
		return err
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// crowd is a configuration large enough that the store has to grow for it.
func crowd(backends int) lb.Config {
	c := web(1)
	for i := range backends {
		c.Pools[0].Backends = append(c.Pools[0].Backends, lb.Backend{Name: fmt.Sprintf("crowd-%04d", i),
			Address: netip.AddrFrom4([4]byte{10, 8, byte(i >> 8), byte(i)}), Weight: 100, Scale: lb.ScaleOne})
	}
	return c
}

func TestDiskIsFull(t *testing.T) {
	dir, state := mustSmallDisk(t)
	n := mustNode(t, dir)
	n.apply(t, web(2))
	before := whole(t, n)
	if err := fillDisk(state); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := n.engine.Write(t.Context(), control.WriteOptions{}, replace(crowd(900)))
		if code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no space left on device") {
			t.Fatalf("got %v, want UNAVAILABLE with the cause", err)
		}
		if after := whole(t, n); after != before {
			t.Fatalf("before %s\nafter %s", before, after)
		}
		n.check(t)
	}
	n = n.restart(t) // on the full disk
	n.check(t)
	if err := os.Remove(filepath.Join(state, "filler")); err != nil {
		t.Fatal(err)
	}
	if out := n.apply(t, crowd(900)); out.Revision != 2 {
		t.Errorf("revision %d, want 2", out.Revision)
	}
	n.check(t)
	n.restart(t).check(t)
}

// The disk becomes full after packets have seen the change: it is made, and status says that it is not committed yet.
func TestDiskIsFullBeforeTheCommit(t *testing.T) {
	dir, state := mustSmallDisk(t)
	armed := false
	n, err := openNode(dir, func(step string) {
		if armed && step == "published" {
			if err := fillDisk(state); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.store.Close() })
	n.apply(t, web(2))
	armed = true
	out := n.apply(t, crowd(900))
	armed = false
	if w := strings.Join(out.Warnings, "\n"); out.Revision != 2 || !strings.Contains(w, "not committed in the store yet") || !strings.Contains(w, "no space left") {
		t.Errorf("revision %d, warnings %q", out.Revision, w)
	}
	if err := os.Remove(filepath.Join(state, "filler")); err != nil {
		t.Fatal(err)
	}
	n = n.restart(t)
	if st := n.engine.State(); st.Revision != 2 || !sameConfig(st.Config, crowd(900)) {
		t.Errorf("after a restart: revision %d", st.Revision)
	}
	n.check(t)
}
