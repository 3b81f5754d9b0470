package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	apiproto "github.com/sluice-lb/sluice/proto"
	gateway "github.com/sluice-lb/sluice/proto/gateway/sluice/v1"
	"github.com/sluice-lb/sluice/proto/jsonwire"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// newREST serves the reading calls of the API as JSON, and their description.
func newREST(api grpc.ClientConnInterface) (http.Handler, error) {
	none := func(string) (string, bool) { return "", false } // headers are HTTP's, metadata is gRPC's
	calls := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, marshaler{}),
		runtime.WithIncomingHeaderMatcher(none), runtime.WithOutgoingHeaderMatcher(none),
		runtime.WithDisableHTTPMethodOverride(),
	)
	if err := gateway.RegisterSluiceHandlerClient(context.Background(), calls, sluicev1.NewSluiceClient(api)); err != nil {
		return nil, fmt.Errorf("set up the read API: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(apiproto.OpenAPI) // the client may be gone
	})
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead { // the gateway knows none, and the server leaves the body out
			r = r.Clone(r.Context())
			r.Method = http.MethodGet
		}
		calls.ServeHTTP(w, r)
	})
	return mux, nil
}

// marshaler writes answers in the document's words.
type marshaler struct{}

// ContentType is that of answers.
func (marshaler) ContentType(any) string { return "application/json" }

// Marshal writes an answer and a newline, for people at a terminal.
func (marshaler) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return json.Marshal(v)
	}
	data, err := jsonwire.Marshal(m)
	return append(data, '\n'), err
}

// errReadOnly is what reading a request's body is answered with: no call has one.
var errReadOnly = errors.New("requests have no body")

// Unmarshal refuses.
func (marshaler) Unmarshal([]byte, any) error { return errReadOnly }

// NewDecoder refuses.
func (marshaler) NewDecoder(io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(any) error { return errReadOnly })
}

// NewEncoder writes to w.
func (m marshaler) NewEncoder(w io.Writer) runtime.Encoder {
	return runtime.EncoderFunc(func(v any) error {
		data, err := m.Marshal(v)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	})
}
