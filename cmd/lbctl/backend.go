package main

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// findBackend turns BACKEND, a POOL/NAME or a bare NAME, into pool and name. A bare name that several pools have is a
// mistake in usage.
func (c *cli) findBackend(ctx context.Context, backend string) (pool, name string, err error) {
	if strings.Contains(backend, "/") {
		return splitBackend(backend)
	}
	found, err := c.backends(ctx, "", backend)
	if err != nil {
		return "", "", err
	}
	found = staying(found)
	switch len(found) {
	case 0:
		return "", "", status.Errorf(codes.NotFound, "backend %q not found", backend)
	case 1:
		return found[0].Pool, found[0].Name, nil
	}
	candidates := strings.Join(namesOf(found, backendItem.name), ", ")
	return "", "", usagef("backend %q is in several pools: use one of %s", backend, candidates)
}

// splitBackend reads POOL/NAME.
func splitBackend(backend string) (pool, name string, err error) {
	pool, name, ok := strings.Cut(backend, "/")
	if !ok || pool == "" || name == "" || strings.Contains(name, "/") {
		return "", "", usagef("backend %q: must be POOL/NAME", backend)
	}
	return pool, name, nil
}
