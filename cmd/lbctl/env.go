package main

import (
	"context"
	"io"
	"net"
	"time"
)

// env is all that a command touches of the world outside.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	readFile       func(string) ([]byte, error)
	openFile       func(string) (io.ReadCloser, error)
	now            func() time.Time
	sleep          func(context.Context, time.Duration) error
	// dial connects to a unix socket, by its path, or to a TCP address.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}
