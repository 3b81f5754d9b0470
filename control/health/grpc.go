package health

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

const (
	grpcMethod = "/grpc.health.v1.Health/Check"
	// grpcStream is the one stream of the connection.
	grpcStream = 1
	// maxGRPC bounds the frames of one conversation, in bytes and in number.
	maxGRPC, maxFrames = 64 << 10, 64
)

// askGRPC calls the standard health service. It speaks HTTP/2 frame by frame: one call needs neither a client connection
// nor the goroutines that come with it.
func askGRPC(ctx context.Context, t Target, deadline time.Time) (string, error) {
	conn, err := dial(ctx, t, deadline)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	defer breakOff(ctx, conn)()
	call, err := newGRPCCall(conn, t, deadline)
	if err != nil {
		return "", stepError{"request", err}
	}
	for range maxFrames {
		done, err := call.step()
		if err != nil {
			return "", stepError{"answer", err}
		}
		if done {
			return call.verdict()
		}
	}
	return "", fmt.Errorf("no answer in %d frames", maxFrames)
}

// grpcCall is one unary call.
type grpcCall struct {
	framer *http2.Framer
	// What the answer's headers and trailers say: :status, grpc-status, grpc-message.
	httpStatus, status, message string
	body                        []byte
}

func newGRPCCall(conn io.ReadWriter, t Target, deadline time.Time) (*grpcCall, error) {
	opening, err := grpcOpening(t, deadline)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(opening); err != nil {
		return nil, err
	}
	c := &grpcCall{framer: http2.NewFramer(conn, io.LimitReader(conn, maxGRPC))}
	c.framer.ReadMetaHeaders, c.framer.MaxHeaderListSize = hpack.NewDecoder(4096, nil), maxGRPC
	return c, nil
}

// grpcOpening is all that is sent but for acknowledgements: the whole request.
func grpcOpening(t Target, deadline time.Time) ([]byte, error) {
	body, err := grpcBody(t.Check.Service)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&out, nil)
	err = errors.Join(
		f.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}),
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: grpcStream, EndHeaders: true, BlockFragment: grpcHeaders(t, deadline)}),
		f.WriteData(grpcStream, true, body),
	)
	return out.Bytes(), err
}

func grpcHeaders(t Target, deadline time.Time) []byte {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", grpcMethod}, {":authority", host(t)}, {"te", "trailers"},
		{"content-type", "application/grpc"}, {"user-agent", userAgent},
		{"grpc-timeout", fmt.Sprintf("%dm", max(time.Until(deadline).Milliseconds(), 1))},
	} {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // a bytes.Buffer takes everything
	}
	return block.Bytes()
}

// grpcBody is the request as a length-prefixed message, not compressed.
func grpcBody(service string) ([]byte, error) {
	m, err := proto.Marshal(&healthpb.HealthCheckRequest{Service: service})
	body := make([]byte, 5, 5+len(m))
	binary.BigEndian.PutUint32(body[1:], uint32(len(m)))
	return append(body, m...), err
}

// step reads one frame; done means that the answer is complete.
func (c *grpcCall) step() (done bool, err error) {
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return false, err
	}
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return false, c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return false, c.framer.WritePing(true, f.Data)
		}
	case *http2.MetaHeadersFrame:
		for _, field := range f.Fields {
			switch field.Name {
			case ":status":
				c.httpStatus = field.Value
			case "grpc-status":
				c.status = field.Value
			case "grpc-message":
				c.message = field.Value
			}
		}
		return f.StreamEnded(), nil
	case *http2.DataFrame:
		c.body = append(c.body, f.Data()...)
		return f.StreamEnded(), nil
	case *http2.RSTStreamFrame:
		return false, fmt.Errorf("stream reset by the server: %s", f.ErrCode)
	case *http2.GoAwayFrame:
		if f.LastStreamID < grpcStream {
			return false, fmt.Errorf("connection ended by the server: %s", f.ErrCode)
		}
	}
	return false, nil
}

// verdict reads the complete answer.
func (c *grpcCall) verdict() (string, error) {
	switch {
	case c.httpStatus != "200":
		return "", fmt.Errorf("HTTP status %q, want 200", c.httpStatus)
	case c.status == "":
		return "", errors.New("no grpc-status in the answer")
	case c.status != "0":
		return "", fmt.Errorf("grpc-status %s %q, want 0", c.status, c.message)
	case len(c.body) < 5 || c.body[0] != 0 || int(binary.BigEndian.Uint32(c.body[1:])) != len(c.body)-5:
		return "", errors.New("answer is not one message without compression")
	}
	var answer healthpb.HealthCheckResponse
	if err := proto.Unmarshal(c.body[5:], &answer); err != nil {
		return "", fmt.Errorf("answer: %w", err)
	}
	if answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return "", fmt.Errorf("%s, want SERVING", answer.GetStatus())
	}
	return "SERVING", nil
}
