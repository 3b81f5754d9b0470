package store_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/lb"
)

var quiet = slog.New(slog.DiscardHandler)

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func mustOpen(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// state has every field set to something of its own.
func state(publication uint64) *lb.State {
	v4, v6 := netip.MustParseAddr("10.9.3.2"), netip.MustParseAddr("fd00:9::2")
	hop4 := lb.NextHop{Interface: "eth0", InterfaceMAC: lb.MAC{2, 0, 0, 0, 0, 1}, Source: netip.MustParseAddr("10.9.0.1"), MTU: 1500, MAC: lb.MAC{2, 0, 0, 0, 0, 2}}
	hop6 := lb.NextHop{Interface: "eth1", InterfaceMAC: lb.MAC{2, 0, 0, 0, 0, 3}, Source: netip.MustParseAddr("fd00:9::1"), MTU: 9000}
	placed := hop4
	placed.MAC = lb.MAC{}
	return &lb.State{
		Publication: publication,
		Revision:    7,
		Conditions:  lb.Conditions{"web/a": lb.ConditionSoft, "web/b@10.9.4.2": lb.ConditionHard},
		Changing: map[string]lb.SlotStates{"web": {
			7:    {Kind: lb.SlotTransition, Previous: "web/b@10.9.4.2", Since: time.Unix(1_000_000, 5).UTC()},
			1023: {Kind: lb.SlotTransition, Previous: "web/b@10.9.4.2", Since: time.Unix(1_000_000, 5).UTC()},
			8:    {Kind: lb.SlotPinned},
		}},
		Drained: map[string]lb.DrainEnd{"web/a": lb.DrainQuiet},
		Moved:   map[string]lb.MovedVIP{"web": {Previous: "six", Since: time.Unix(1_000_000, 5).UTC()}},
		Config: lb.Config{
			Pools: []lb.Pool{
				{Name: "six", Slots: 2048, PanicThreshold: lb.PanicNever, Health: lb.Health{
					Type: lb.CheckHTTP, Port: 1, Path: "/p", Host: "h", Expect: lb.StatusRange{Low: 2, High: 3}, Query: "q", Service: "s",
					Interval: 4, Timeout: 5, Rise: 6, Fall: 7,
				}, DrainMax: time.Hour, DrainIdle: time.Minute, Backends: []lb.Backend{{Name: "b", Address: v6, Weight: 65535, Scale: lb.MaxScale}}},
				{Name: "web", Backends: []lb.Backend{{Name: "a", Address: v4, Weight: 0, Scale: 0}}},
			},
			VIPs: []lb.VIP{{Name: "web", Address: netip.MustParseAddr("198.51.100.10"), Protocol: lb.UDP, Ports: []uint16{53, 65535}, Pool: "web"}},
		},
		Hops: lb.Hops{v4: hop4, v6: hop6},
		Layout: lb.Layout{
			Copy:  1,
			VIPs:  map[string]uint32{"web": 3},
			Pools: map[string]lb.PoolPlace{"web": {Index: 1, Base: 4096, Slots: 1024}},
			Backends: map[string]lb.BackendPlace{"web/a": {Index: 9, Address: v4, Encap: lb.EncapIPIP, Hop: placed}, "six/b": {Index: 10, Address: v6},
				"web/b@10.9.4.2": {Index: 11, Address: netip.MustParseAddr("10.9.4.2"), Hop: placed}},
		},
	}
}

func TestStatesSurvive(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	seed := s.Seed()
	for _, err := range []error{s.Commit(state(4)), s.SetPending(state(5), nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	s = mustOpen(t, dir)
	defer mustClose(t, s)
	got, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(store.Contents{Committed: state(4), Pending: state(5)}, got, compareAddr); diff != "" {
		t.Error(diff)
	}
	if s.Seed() != seed {
		t.Error("the seed did not survive")
	}
}

func TestCommitForgetsPending(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer mustClose(t, s)
	for _, err := range []error{s.SetPending(state(1), nil), s.Commit(state(1))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Load()
	if err != nil || got.Pending != nil || got.Committed == nil {
		t.Errorf("pending %v, committed %v, err %v", got.Pending, got.Committed, err)
	}
}

func TestSecondIsRefusedAndNamesTheFirst(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	defer mustClose(t, s)
	pid, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(dir, "")
	if err == nil || !strings.Contains(err.Error(), "process id "+strings.TrimSpace(string(pid))) {
		t.Errorf("got %v, want an error with process id %s", err, pid)
	}
}

func TestSeed(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	mustClose(t, s)
	own := filepath.Join(dir, "seed")
	info, err := os.Stat(own)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("seed file: mode %v, err %v", info.Mode(), err)
	}
	other := filepath.Join(t.TempDir(), "other")
	for _, row := range []struct{ name, file, content, want string }{
		{"other-seed", other, strings.Repeat("ab", 16), "has fingerprint"},
		{"not-hex", other, "secret", "must be 32 hex digits"},
		{"missing-file", filepath.Join(dir, "none"), "", "no such file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.content != "" {
				if err := os.WriteFile(row.file, []byte(row.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := store.Open(dir, row.file)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v, want %q in it", err, row.want)
			}
			if strings.Contains(err.Error(), strings.Repeat("ab", 16)) {
				t.Errorf("the error gives the seed away: %v", err)
			}
		})
	}
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir, ""); err == nil {
		t.Error("a lost seed was replaced by a new one")
	}
}

// mustDamage makes a store with both records and lets damage rewrite its file.
func mustDamage(t *testing.T, dir string, damage func([]byte) []byte) {
	t.Helper()
	s := mustOpen(t, dir)
	for _, err := range []error{s.Commit(state(1)), s.SetPending(state(2), nil), s.Backup()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	path := filepath.Join(dir, "sluice.db")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, damage(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCorruptStoreIsRefused(t *testing.T) {
	overwrite := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) || len(old) != len(new) {
				panic("nothing to damage")
			}
			return bytes.ReplaceAll(b, []byte(old), []byte(new))
		}
	}
	for _, row := range []struct {
		name   string
		damage func([]byte) []byte
		want   string
	}{
		{"empty", func([]byte) []byte { return nil }, "empty"},
		{"zeroes", func(b []byte) []byte { return make([]byte, len(b)) }, "invalid"},
		{"text", func([]byte) []byte { return []byte("not a database") }, "invalid"},
		{"cut-off", func(b []byte) []byte { return b[:3*4096] }, ""},
		{"cut-to-meta", func(b []byte) []byte { return b[:2*4096] }, ""},
		{"flipped-record", overwrite(`"revision":7`, `"revision":8`), "checksum"},
		{"newer-schema", overwrite(`"schema":1`, `"schema":9`), "newer lbd"},
		{"pages", func(b []byte) []byte { // everything behind the two meta pages
			for i := 2 * 4096; i < len(b); i++ {
				b[i] = 0xff
			}
			return b
		}, "damaged"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			mustDamage(t, dir, row.damage)
			before, err := os.ReadFile(filepath.Join(dir, "sluice.db"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = store.Open(dir, "")
			var corrupt *store.CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("got %v, want a CorruptError", err)
			}
			for _, want := range []string{row.want, corrupt.Path, "cp " + corrupt.Backup, "keeps forwarding"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			after, err := os.ReadFile(corrupt.Path)
			if err != nil || !bytes.Equal(before, after) {
				t.Error("the store was touched")
			}
			mustRestore(t, dir)
		})
	}
}

// mustRestore follows the advice of the error.
func mustRestore(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "sluice.db.bak"))
	if err != nil {
		t.Fatal(err)
	}
	// A mapping of the damaged file may still be open: give the good one an inode of its own.
	if err := os.Remove(filepath.Join(dir, "sluice.db")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sluice.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir)
	defer mustClose(t, s)
	if got, err := s.Load(); err != nil || got.Committed == nil || got.Committed.Publication != 1 {
		t.Errorf("restored %+v, err %v", got, err)
	}
}

// No damage at all may end the process or go unnoticed as another state. The process part is why the store is opened
// in a child: a fault that is no panic would end this one.
func TestRandomDamage(t *testing.T) {
	if dir := os.Getenv("SLUICE_TEST_STORE"); dir != "" {
		openDamaged(dir)
	}
	dir := t.TempDir()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range 12 {
		sub := filepath.Join(dir, string(rune('a'+i)))
		mustDamage(t, sub, func(b []byte) []byte {
			for range 1 + r.IntN(200) {
				b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
			}
			if r.IntN(3) == 0 {
				b = b[:r.IntN(len(b))]
			}
			return b
		})
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestRandomDamage$")
	cmd.Env = append(os.Environ(), "SLUICE_TEST_STORE="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("seed %d: %v\n%s", seed, err, out)
	}
}

func openDamaged(dir string) {
	subs, err := filepath.Glob(filepath.Join(dir, "?"))
	if err != nil || len(subs) == 0 {
		panic("no stores")
	}
	for _, sub := range subs {
		s, err := store.Open(sub, "")
		if err != nil {
			continue
		}
		if got, err := s.Load(); err == nil && (got.Committed == nil || !cmp.Equal(got.Committed, state(1), compareAddr)) {
			panic("another state in " + sub)
		}
	}
	os.Exit(0)
}

func TestLostStoreIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	mustDamage(t, dir, func(b []byte) []byte { return b })
	if err := os.Remove(filepath.Join(dir, "sluice.db")); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(dir, "")
	if err == nil || !strings.Contains(err.Error(), "missing although it has a backup") {
		t.Errorf("got %v", err)
	}
}

func TestBackups(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, dir)
		defer mustClose(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { s.RunBackups(ctx, time.Minute, quiet); close(ended) }()
		synctest.Wait()
		check := func(when string, want uint64) {
			t.Helper()
			synctest.Wait()
			if got := backedUp(t, dir); got != want {
				t.Errorf("%s the backup has publication %d, want %d", when, got, want)
			}
		}
		check("at the start", 0)
		mustCommit(t, s, 1)
		mustCommit(t, s, 2)
		check("right after commits", 0)
		time.Sleep(time.Minute)
		check("a minute later", 2)
		time.Sleep(10 * time.Minute)
		mustCommit(t, s, 3)
		check("after a quiet time", 3)
		mustCommit(t, s, 4)
		cancel()
		<-ended
		check("at the end", 4)
	})
}

func mustCommit(t *testing.T, s *store.Store, publication uint64) {
	t.Helper()
	if err := s.Commit(state(publication)); err != nil {
		t.Fatal(err)
	}
}

// backedUp is the publication that the backup has committed; 0 for none.
func backedUp(t *testing.T, dir string) uint64 {
	t.Helper()
	copied := t.TempDir()
	for from, to := range map[string]string{"sluice.db.bak": "sluice.db", "seed": "seed"} {
		data, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, to), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := mustOpen(t, copied)
	defer mustClose(t, s)
	got, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if got.Committed == nil {
		return 0
	}
	return got.Committed.Publication
}
