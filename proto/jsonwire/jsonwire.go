// Package jsonwire writes messages of the API as JSON in the words of the document: fields in snake_case, enums in lower
// case, every integer a number. protojson differs in the last two: it quotes 64-bit integers and shouts enums.
//
// Numbers above 2^53 lose precision in clients that read every number as a double; a packet counter needs 28 years at ten
// million packets a second to get there.
package jsonwire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Marshal writes m. Fields of messages that are not set and of optional ones are left out; all others are there, also when
// they are zero, so that a reader need not know defaults.
func Marshal(m proto.Message) ([]byte, error) {
	var w writer
	w.message(m.ProtoReflect())
	return w.Bytes(), w.err
}

// Word is an enum's value in the document's spelling: NO_ROUTE of State, STATE_NO_ROUTE in full, becomes no-route.
func Word(enum protoreflect.EnumDescriptor, number protoreflect.EnumNumber) string {
	value := enum.Values().ByNumber(number)
	if value == nil {
		return strconv.Itoa(int(number)) // of a newer release
	}
	name := strings.TrimPrefix(string(value.Name()), screaming(string(enum.Name()))+"_")
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}

// screaming turns NextHop into NEXT_HOP.
func screaming(camel string) string {
	var out strings.Builder
	for i, r := range camel {
		if i > 0 && unicode.IsUpper(r) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToUpper(r))
	}
	return out.String()
}

type writer struct {
	bytes.Buffer
	err error // the first one
}

func (w *writer) message(m protoreflect.Message) {
	switch v := m.Interface().(type) {
	case *timestamppb.Timestamp:
		w.text(v.AsTime().Format(time.RFC3339Nano))
		return
	case *durationpb.Duration:
		w.text(v.AsDuration().String())
		return
	case *anypb.Any: // in the details of errors
		data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(v)
		w.fail(err)
		w.Write(data)
		return
	}
	w.WriteByte('{')
	fields, first := m.Descriptor().Fields(), true
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.HasPresence() && !m.Has(f) {
			continue
		}
		if !first {
			w.WriteByte(',')
		}
		first = false
		w.text(string(f.Name()))
		w.WriteByte(':')
		w.field(f, m.Get(f))
	}
	w.WriteByte('}')
}

func (w *writer) field(f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case f.IsList():
		list := v.List()
		w.WriteByte('[')
		for i := range list.Len() {
			if i > 0 {
				w.WriteByte(',')
			}
			w.value(f, list.Get(i))
		}
		w.WriteByte(']')
	case f.IsMap():
		w.entries(f, v.Map())
	default:
		w.value(f, v)
	}
}

// entries writes a map sorted by key, as text.
func (w *writer) entries(f protoreflect.FieldDescriptor, m protoreflect.Map) {
	var keys []protoreflect.MapKey
	for k := range m.Range {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
	w.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			w.WriteByte(',')
		}
		w.text(k.String())
		w.WriteByte(':')
		w.value(f.MapValue(), m.Get(k))
	}
	w.WriteByte('}')
}

func (w *writer) value(f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		w.message(v.Message())
	case protoreflect.EnumKind:
		w.text(Word(f.Enum(), v.Enum()))
	case protoreflect.StringKind:
		w.text(v.String())
	case protoreflect.BytesKind:
		w.text(base64.StdEncoding.EncodeToString(v.Bytes()))
	case protoreflect.BoolKind:
		w.WriteString(strconv.FormatBool(v.Bool()))
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		w.float(v.Float())
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		w.WriteString(strconv.FormatUint(v.Uint(), 10))
	default: // the signed ones
		w.WriteString(strconv.FormatInt(v.Int(), 10))
	}
}

func (w *writer) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		w.WriteString("null") // JSON has no word for it
		return
	}
	w.WriteString(strconv.FormatFloat(f, 'g', -1, 64))
}

func (w *writer) text(s string) {
	encoder := json.NewEncoder(&w.Buffer)
	encoder.SetEscapeHTML(false) // "->" is for people to read
	w.fail(encoder.Encode(s))
	w.Truncate(w.Len() - 1) // Encode ends with a newline
}

func (w *writer) fail(err error) {
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("write json: %w", err)
	}
}
