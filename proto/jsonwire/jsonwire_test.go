package jsonwire

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func TestMarshal(t *testing.T) {
	refused, err := status.New(codes.InvalidArgument, `bad "x"`).WithDetails(&errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "vip.name", Description: "a -> b"}}})
	if err != nil {
		t.Fatal(err)
	}
	weight := uint32(0)
	for _, row := range []struct {
		name string
		m    proto.Message
		want string
	}{
		{"zeros-are-there", &sluicev1.Limit{}, `{"name":"","used":0,"configured":0}`},
		{"big-numbers", &sluicev1.Limit{Used: math.MaxUint64, Configured: 1 << 60}, `{"name":"","used":18446744073709551615,"configured":1152921504606846976}`},
		{"words-lists", &sluicev1.Vip{Name: "a", Protocol: sluicev1.Protocol_PROTOCOL_UDP, Ports: []string{"53", "443"}},
			`{"name":"a","address":"","protocol":"udp","ports":["53","443"],"pool":""}`},
		{"nested-enum-time", &sluicev1.NextHop{State: sluicev1.NextHop_STATE_NO_ROUTE, Since: timestamppb.New(time.Unix(1, 5e8))},
			`{"state":"no-route","interface":"","gateway":"","mac":"","source":"","mtu":0,"since":"1970-01-01T00:00:01.5Z"}`},
		{"duration", durationpb.New(90 * time.Minute), `"1h30m0s"`},
		{"unset-message", &sluicev1.ExportResponse{Revision: 3}, `{"revision":3}`},
		{"optional-unset", &sluicev1.Backend{Name: "a"}, `{"name":"a","address":"","admin":"unspecified"}`},
		{"optional-zero", &sluicev1.Backend{Weight: &weight}, `{"name":"","address":"","weight":0,"admin":"unspecified"}`},
		{"unknown-enum", &sluicev1.Change{Kind: 99, Detail: "scale: 1 -> 0.5 <&>"}, `{"kind":"99","object":"","detail":"scale: 1 -> 0.5 <&>","slots_moved":0}`},
		{"signed", &sluicev1.ListSlotsResponse{Owners: []int32{0, -1}, Backends: []string{"b"}}, `{"owners":[0,-1],"backends":["b"],"digest":"","revision":0}`},
		{"any", refused.Proto(), `{"code":3,"message":"bad \"x\"","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","field_violations":[{"field":"vip.name","description":"a -> b"}]}]}`},
		{"map-sorted", &structpb.Struct{Fields: map[string]*structpb.Value{"b": structpb.NewNumberValue(math.Inf(1)), "a": structpb.NewBoolValue(true)}},
			`{"fields":{"a":{"bool_value":true},"b":{"number_value":null}}}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			data, err := Marshal(row.m)
			if err != nil {
				t.Fatal(err)
			}
			// protojson spaces its output at random, on purpose.
			if got := compact(t, data); got != row.want {
				t.Errorf("wrote %s\nwant  %s", got, row.want)
			}
		})
	}
}

func compact(t *testing.T, data []byte) string {
	t.Helper()
	if !json.Valid(data) {
		t.Fatalf("not JSON: %s", data)
	}
	var out json.RawMessage
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	var b []byte
	inText := false
	for i, c := range out {
		if c == '"' && (i == 0 || out[i-1] != '\\') {
			inText = !inText
		}
		if c != ' ' || inText {
			b = append(b, c)
		}
	}
	return string(b)
}
