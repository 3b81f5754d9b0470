package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/lb"
)

// Target is who is asked what.
type Target struct {
	Address netip.Addr
	// Check has its defaults filled in.
	Check lb.Health
}

// Probe asks once and waits for the answer, at most Check.Timeout. It starts no goroutine.
func Probe(ctx context.Context, t Target) Result {
	r := Result{At: time.Now()}
	deadline := r.At.Add(t.Check.Timeout)
	detail, err := ask(ctx, t, deadline)
	r.Latency, r.Detail = time.Since(r.At), detail
	if err != nil {
		r.Grade, r.Detail = judge(err, r.Latency, t.Check.Timeout)
	}
	return r
}

// judge says what an error means that came after so long.
func judge(err error, latency, timeout time.Duration) (Grade, string) {
	g := grade(err)
	if (g == Soft || g == Silent) && latency > 2*timeout+stall {
		return Void, fmt.Sprintf("this node stalled: a check with a timeout of %s took %s", timeout, latency.Round(time.Millisecond))
	}
	return g, short(explain(err, timeout))
}

const (
	// stall is how much longer than twice its timeout a check must take to say more of this node (stopped, overloaded)
	// than of the backend.
	stall = 100 * time.Millisecond
	// maxDetail bounds what is kept of an error that a backend may have had a hand in, in bytes.
	maxDetail = 200
)

func short(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:maxDetail], "") + "..."
}

func ask(ctx context.Context, t Target, deadline time.Time) (detail string, err error) {
	switch t.Check.Type {
	case lb.CheckTCP:
		return askTCP(ctx, t, deadline)
	case lb.CheckHTTP, lb.CheckHTTPS:
		return askHTTP(ctx, t, deadline)
	case lb.CheckGRPC:
		return askGRPC(ctx, t, deadline)
	case lb.CheckDNS:
		return askDNS(ctx, t, deadline)
	case lb.CheckICMP:
		return askICMP(ctx, t, deadline)
	case lb.CheckNone:
	}
	return "", fmt.Errorf("check %s is not known", t.Check.Type)
}

// grade sorts errors by whose they are.
func grade(err error) Grade {
	for _, e := range []error{unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENETDOWN} {
		if errors.Is(err, e) {
			return Hard
		}
	}
	for _, e := range []error{
		unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL, unix.EPERM, unix.EACCES, context.Canceled,
	} {
		if errors.Is(err, e) {
			return Void
		}
	}
	var silence silenceError
	timeout := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, unix.ETIMEDOUT)
	if timeout && errors.As(err, &silence) {
		return Silent
	}
	return Soft
}

// explain says in few words what an operator wants to know; the backend is named where it is shown.
func explain(err error, timeout time.Duration) string {
	var step stepError
	what := ""
	if errors.As(err, &step) { // a silenceError has one inside
		what = step.step + ": "
	}
	var code syscall.Errno
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%sno answer within %s", what, timeout)
	case errors.As(err, &code):
		return what + code.Error()
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return what + "connection closed before the answer was complete"
	}
	return err.Error()
}

// stepError says in which step of a conversation an error arose.
type stepError struct {
	step  string
	cause error
}

// silenceError is a stepError of a step before which nothing was heard of the backend.
type silenceError struct{ stepError }

func (e stepError) Error() string { return e.step + ": " + e.cause.Error() }
func (e stepError) Unwrap() error { return e.cause }

func (e silenceError) Unwrap() error { return e.stepError }
