package control

import (
	"context"

	"github.com/sluice-lb/sluice/control/access"
)

// unknownAuthor is a caller that no guard let in.
const unknownAuthor = "unknown"

// author names who makes a call, for the history, as the audit log does.
func author(ctx context.Context) string {
	if c, ok := access.FromContext(ctx); ok {
		return c.Name
	}
	return unknownAuthor
}
