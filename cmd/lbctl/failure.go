package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/spf13/cobra"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-lb/sluice/document"
	"github.com/sluice-lb/sluice/lb"
)

// Exit codes.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitConflict = 4
	exitPartial  = 5
)

// usageError is a mistake in the command line.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// reportedError is a failure that the user has read about already.
type reportedError struct{ code int }

func (e reportedError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// report prints err and returns the exit code.
func (c *cli) report(cmd *cobra.Command, err error) int {
	var reported reportedError
	if errors.As(err, &reported) {
		return reported.code
	}
	if usage := (usageError{}); !c.started || errors.As(err, &usage) {
		fmt.Fprintf(c.stderr, "lbctl: %s (see %s --help)\n", usageText(err), cmd.CommandPath())
		return exitUsage
	}
	return c.explain(err, nil)
}

// explain prints a failure that is not one of usage, and returns the exit code. Violations are placed in doc where there
// is one.
func (c *cli) explain(err error, doc *document.Document) int {
	var faults document.Errors
	if errors.As(err, &faults) { // these lines start with the file, so that editors can jump there
		fmt.Fprintln(c.stderr, faults)
		return exitFailed
	}
	violations := violationsOf(err)
	switch {
	case len(violations) > 0 && doc != nil:
		fmt.Fprintln(c.stderr, doc.Place(violations))
	case len(violations) > 0:
		for _, v := range violations {
			fmt.Fprintf(c.stderr, "lbctl: %s: %s\n", v.Path, v.Message)
		}
	default:
		fmt.Fprintf(c.stderr, "lbctl: %s\n", c.message(err))
	}
	return exitCode(err)
}

// violationsOf returns the field violations that an answer of lbd carries.
func violationsOf(err error) lb.Violations {
	var out lb.Violations
	s, _ := status.FromError(err)
	for _, detail := range s.Details() {
		if request, ok := detail.(*errdetails.BadRequest); ok {
			for _, v := range request.GetFieldViolations() {
				out = append(out, lb.Violation{Path: v.GetField(), Message: v.GetDescription()})
			}
		}
	}
	return out
}

func exitCode(err error) int {
	switch status.Code(err) {
	case codes.OK:
		return exitOK
	case codes.NotFound:
		return exitNotFound
	case codes.Aborted, codes.AlreadyExists, codes.FailedPrecondition:
		return exitConflict
	default:
		return exitFailed
	}
}

// message is what a user reads of err.
func (c *cli) message(err error) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := status.FromError(err)
	switch {
	case c.unreachable != nil:
		return fmt.Sprintf("lbd does not answer at %s: %s", c.server, remedy(c.unreachable))
	case c.untrusted != nil && ok && s.Code() == codes.Unavailable:
		return fmt.Sprintf("no connection to lbd at %s: %s", c.server, c.trustRemedy(c.untrusted))
	case errors.Is(err, context.Canceled) || ok && s.Code() == codes.Canceled:
		return "interrupted"
	case ok && s.Code() == codes.DeadlineExceeded:
		return fmt.Sprintf("no answer from lbd at %s within %s (raise --timeout)", c.server, c.timeout)
	case ok && s.Code() == codes.Unimplemented:
		return fmt.Sprintf("lbd at %s does not know this call: %s (use the lbctl of its release)", c.server, s.Message())
	case ok && s.Code() == codes.ResourceExhausted:
		return tooLarge(s.Message())
	case ok:
		return s.Message()
	}
	return err.Error()
}

// tooLarge says in words what lbd's library says of a request that is refused by its length.
func tooLarge(message string) string {
	var size, limit int
	if _, err := fmt.Sscanf(message, "grpc: received message larger than max (%d vs. %d)", &size, &limit); err != nil {
		return message
	}
	return fmt.Sprintf("the request is too large: it has %d bytes, lbd takes %d at most (share pools between VIPs, or apply less)", size, limit)
}

func isTCP(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Net == "tcp"
}

// remedy says why the socket cannot be reached, and what to do.
func remedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such socket (start lbd, or name its socket with --server)"
	case isTCP(err) && errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there (start lbd with this address in api, or name another one with --server)"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the socket is there but nobody listens (start lbd)"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied (run as root, or as a member of the socket's group)"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time (raise --timeout)"
	}
	return err.Error()
}
