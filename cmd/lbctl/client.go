package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// maxAnswer bounds an answer in bytes: a table of 2^18 slots has about one MiB, the largest configuration a few.
const maxAnswer = 64 << 20

// maxRequest is what lbctl sends at most: more than lbd takes, so that lbd says how much that is.
const maxRequest = 1 << 30

// method is one call of the API, as in sluicev1.SluiceClient.ListVips.
type method[Request, Response any] func(sluicev1.SluiceClient, context.Context, Request, ...grpc.CallOption) (Response, error)

// call asks lbd once, for at most the timeout.
func call[Request, Response any](ctx context.Context, c *cli, m method[Request, Response], request Request) (Response, error) {
	var none Response
	if err := c.connect(); err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return m(sluicev1.NewSluiceClient(c.conn), ctx, request)
}

// connect prepares the connection; the first call opens it.
func (c *cli) connect() error {
	if c.conn != nil {
		return nil
	}
	network, address, err := c.endpoint()
	if err != nil {
		return err
	}
	proof := insecure.NewCredentials() // of a socket lbd sees by itself who connects
	if network == "tcp" {
		if proof, err = c.credentials(address); err != nil {
			return err
		}
	}
	conn, err := grpc.NewClient("passthrough:///lbd",
		grpc.WithTransportCredentials(proof),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer), grpc.MaxCallSendMsgSize(maxRequest)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return c.dialOnce(ctx, network, address) }))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", c.server, err)
	}
	c.conn = conn
	return nil
}

// endpoint reads --server.
func (c *cli) endpoint() (network, address string, err error) {
	if path := strings.TrimPrefix(c.server, "unix://"); filepath.IsAbs(path) {
		return "unix", path, nil
	}
	if _, port, err := net.SplitHostPort(c.server); err != nil || port == "" || strings.Contains(c.server, "/") {
		return "", "", usagef("--server %q: must be unix:///PATH, with an absolute path, or HOST:PORT", c.server)
	}
	return "tcp", c.server, nil
}

func (c *cli) dialOnce(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, address)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unreachable = err
	return conn, err
}
