package control

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-lb/sluice/lb"
)

// Error is a refusal that a client can act on. Refused values are lb.Violations instead.
type Error struct {
	// Code is what the client sees.
	Code codes.Code
	// Message names the object and the remedy.
	Message string
	// Cause is what led to it; nil where the request alone did.
	Cause error
}

// Error is the message with its cause.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

func notFound(kind, name string) error {
	return &Error{Code: codes.NotFound, Message: fmt.Sprintf("%s %q does not exist", kind, name)}
}

func exists(kind, name string) error {
	return &Error{Code: codes.AlreadyExists, Message: fmt.Sprintf("%s %q exists already (use set to change it)", kind, name)}
}

// unavailable is a change that could not be made; the old state stays.
func unavailable(doing string, cause error) error {
	return &Error{Code: codes.Unavailable, Message: doing + " (nothing changed)", Cause: cause}
}

// statusOf translates an error of the Engine for a client.
func statusOf(err error) error {
	var (
		refused    *Error
		violations lb.Violations
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &violations):
		return invalid(violations)
	case errors.As(err, &refused):
		return status.Error(refused.Code, refused.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Internal, err.Error())
}

func invalid(violations lb.Violations) error {
	details := &errdetails.BadRequest{}
	for _, v := range violations {
		details.FieldViolations = append(details.FieldViolations,
			&errdetails.BadRequest_FieldViolation{Field: v.Path, Description: v.Message})
	}
	st, err := status.New(codes.InvalidArgument, violations.Error()).WithDetails(details)
	if err != nil {
		return status.Error(codes.InvalidArgument, violations.Error())
	}
	return st.Err()
}
