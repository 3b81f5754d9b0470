package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustAudit(t *testing.T, path string, log *bytes.Buffer) *Audit {
	t.Helper()
	a, err := OpenAudit(path, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// linesOf returns the methods of a log's lines.
func linesOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, e.Method)
		if e.LostBefore > 0 {
			out = append(out, fmt.Sprintf("(%d lost)", e.LostBefore))
		}
	}
	return strings.Join(out, " ")
}

func TestAuditRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a := mustAudit(t, path, &bytes.Buffer{})
	a.size = 300 // two lines
	for i := range 12 {
		a.Write(Entry{Method: fmt.Sprint(i)})
	}
	for suffix, want := range map[string]string{"": "10 11", ".1": "8 9", ".2": "6 7", ".3": "4 5", ".4": "2 3"} {
		if got := linesOf(t, path+suffix); got != want {
			t.Errorf("audit.log%s: %q, want %q", suffix, got, want)
		}
	}
	if _, err := os.Stat(path + ".5"); err == nil {
		t.Error("audit.log.5 was not removed")
	}
}

func TestAuditGoesOnInTheSameFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	for i := range 2 {
		a := mustAudit(t, path, &bytes.Buffer{})
		a.Write(Entry{Method: fmt.Sprint(i)})
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := linesOf(t, path); got != "0 1" {
		t.Errorf("got %q", got)
	}
}

// Whoever moves the file away finds later lines in a new one, with a signal or without.
func TestAuditFollowsTheName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a := mustAudit(t, path, &bytes.Buffer{})
	a.Write(Entry{Method: "1"})
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	a.Reopen()
	a.Write(Entry{Method: "2"})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	a.Write(Entry{Method: "3"})
	if old, got := linesOf(t, path+".old"), linesOf(t, path); old != "1" || got != "3" {
		t.Errorf("got %q and %q", old, got)
	}
}

// Lines that cannot be written are told once, shown as long as it lasts, and counted afterwards.
func TestAuditThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	path := filepath.Join(dir, "audit.log")
	a := mustAudit(t, path, &log)
	a.Write(Entry{Method: "1"})
	if w := a.Warnings(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	a.Write(Entry{Method: "2"})
	a.Write(Entry{Method: "3"})
	if w := a.Warnings(); len(w) != 1 || !strings.Contains(w[0], "2 lines are lost: open ") {
		t.Errorf("warnings %q", w)
	}
	if n := strings.Count(log.String(), "cannot be written"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a.Write(Entry{Method: "4"})
	a.Write(Entry{Method: "5"})
	if got := linesOf(t, path); got != "4 (2 lost) 5" || len(a.Warnings()) != 0 {
		t.Errorf("got %q, warnings %q", got, a.Warnings())
	}
}

func TestAuditRefusesOtherFiles(t *testing.T) {
	for path, want := range map[string]string{"/dev/null": "no regular file", "/nowhere/audit.log": "no such file"} {
		if _, err := OpenAudit(path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
