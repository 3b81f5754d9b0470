package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

// maxSummary is how many bytes of a request an audit line quotes at most.
const maxSummary = 1 << 10

// present names the fields that a message has.
func present(m proto.Message) []string {
	var out []string
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		out = append(out, string(f.Name()))
		return true
	})
	return out
}

// objectOf names what a write is about, as answers name it: "vip/web", "backend/web/web-1", or "config" for all of it.
func objectOf(method string, request any) string {
	m, ok := request.(proto.Message)
	if !ok {
		return ""
	}
	noun := method[strings.LastIndexByte(method, '/')+1:]
	for _, verb := range []string{"Create", "Set", "Delete"} {
		noun = strings.TrimPrefix(noun, verb)
	}
	noun = strings.ToLower(noun)
	r := m.ProtoReflect()
	name, one := textField(r, "name")
	for _, inner := range []protoreflect.Name{"vip", "pool", "backend"} { // the new object of a create
		if v := messageField(r, inner); v != nil {
			name, one = textField(v, "name")
		}
	}
	switch pool, _ := textField(r, "pool"); {
	case !one:
		return "config"
	case noun == "vip":
		return "vip/" + name
	case pool != "":
		return "backend/" + pool + "/" + name
	}
	return noun + "/" + name
}

// textField returns a field's value, and whether there is such a field.
func textField(m protoreflect.Message, name protoreflect.Name) (string, bool) {
	f := m.Descriptor().Fields().ByName(name)
	if f == nil || f.Kind() != protoreflect.StringKind || f.IsList() {
		return "", false
	}
	return m.Get(f).String(), true
}

func messageField(m protoreflect.Message, name protoreflect.Name) protoreflect.Message {
	f := m.Descriptor().Fields().ByName(name)
	if f == nil || f.Kind() != protoreflect.MessageKind || f.IsList() || !m.Has(f) {
		return nil
	}
	return m.Get(f).Message()
}

// summaryOf quotes a short request and counts what is in a long one.
func summaryOf(request any) json.RawMessage {
	m, ok := request.(proto.Message)
	if !ok {
		return nil
	}
	if size := proto.Size(m); size > maxSummary {
		return countsOf(m, size)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return json.RawMessage(fmt.Sprintf(`{"size_bytes":%d}`, proto.Size(m)))
	}
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil || out.Len() > maxSummary { // the library adds spaces at random
		return countsOf(m, proto.Size(m))
	}
	return out.Bytes()
}

func countsOf(m proto.Message, size int) json.RawMessage {
	counts := struct {
		Size     int  `json:"size_bytes"`
		VIPs     *int `json:"vips,omitempty"`
		Pools    *int `json:"pools,omitempty"`
		Backends *int `json:"backends,omitempty"`
	}{Size: size}
	if r, ok := m.(interface{ GetConfig() *sluicev1.Config }); ok {
		vips, pools, backends := len(r.GetConfig().GetVips()), len(r.GetConfig().GetPools()), 0
		for _, p := range r.GetConfig().GetPools() {
			backends += len(p.GetBackends())
		}
		counts.VIPs, counts.Pools, counts.Backends = &vips, &pools, &backends
	}
	out, err := json.Marshal(counts)
	if err != nil {
		return nil
	}
	return out
}
