package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestExitCodes(t *testing.T) {
	want := map[codes.Code]int{
		codes.OK: exitOK, codes.NotFound: exitNotFound,
		codes.Aborted: exitConflict, codes.AlreadyExists: exitConflict, codes.FailedPrecondition: exitConflict,
	}
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		expected, listed := want[code]
		if !listed {
			expected = exitFailed
		}
		if got := exitCode(status.Error(code, "x")); got != expected {
			t.Errorf("%s: exit code %d, want %d", code, got, expected)
		}
	}
	if got := exitCode(errors.New("x")); got != exitFailed {
		t.Errorf("another error: exit code %d, want %d", got, exitFailed)
	}
}

func TestRemedies(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{fs.ErrNotExist, "no such socket (start lbd, or name its socket with --server)"},
		{syscall.ECONNREFUSED, "the socket is there but nobody listens (start lbd)"},
		{syscall.EACCES, "permission denied (run as root, or as a member of the socket's group)"},
		{syscall.EPIPE, "dial: broken pipe"},
	} {
		if got := remedy(fmt.Errorf("dial: %w", tc.err)); got != tc.want {
			t.Errorf("%v: got %q, want %q", tc.err, got, tc.want)
		}
	}
}

func TestTooLarge(t *testing.T) {
	for message, want := range map[string]string{
		"grpc: received message larger than max (100000015 vs. 67108864)": "the request is too large: it has 100000015 bytes, lbd takes 67108864 at most (share pools between VIPs, or apply less)",
		"out of tokens": "out of tokens",
	} {
		if got := tooLarge(message); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
}

// A counter that went back was started anew: what it shows is what it grew by.
func TestGrowth(t *testing.T) {
	for _, tc := range []struct{ was, is, want uint64 }{{5, 5, 0}, {5, 8, 3}, {5, 2, 2}, {0, 1 << 63, 1 << 63}} {
		if got := growth(tc.was, tc.is); got != tc.want {
			t.Errorf("growth(%d, %d) = %d, want %d", tc.was, tc.is, got, tc.want)
		}
	}
}

func TestInterrupted(t *testing.T) {
	s := newSession(t.Cleanup)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, env{
		stdin: &stdout, stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }, now: time.Now, dial: s.dial,
	}, []string{"status"})
	if code != exitFailed || stderr.String() != "lbctl: interrupted\n" || stdout.Len() > 0 {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, &stdout, &stderr)
	}
}
