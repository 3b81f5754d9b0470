package control

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// Local is a connection to the API for callers in the same process that only read: errors and the answer before Ready are
// those of the API, calls are not counted as the API's. It has no streams.
func (s *Server) Local() grpc.ClientConnInterface { return local{s} }

type local struct{ server *Server }

// Invoke runs a call in the caller's goroutine.
func (l local) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	name := strings.TrimPrefix(method, "/"+sluicev1.Sluice_ServiceDesc.ServiceName+"/")
	for _, m := range sluicev1.Sluice_ServiceDesc.Methods {
		if m.MethodName != name {
			continue
		}
		answer, err := m.Handler(l.server, ctx, func(request any) error {
			proto.Merge(request.(proto.Message), args.(proto.Message))
			return nil
		}, l.server.intercept)
		if err != nil {
			return err
		}
		proto.Merge(reply.(proto.Message), answer.(proto.Message))
		return nil
	}
	return status.Errorf(codes.Unimplemented, "method %q does not exist", method)
}

// NewStream refuses: watches are for the API's own clients.
func (l local) NewStream(_ context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Errorf(codes.Unimplemented, "method %q: no streams here", method)
}
