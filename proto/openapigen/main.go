// Command openapigen turns the OpenAPI document that protoc-gen-openapiv2 wrote, IN, into the one that describes what
// package jsonwire writes, OUT: 64-bit integers are numbers, and enums are the document's words. It removes IN.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluice-lb/sluice/proto/jsonwire"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: openapigen IN OUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "openapigen: %v\n", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	var document any
	if err := json.Unmarshal(data, &document); err != nil {
		return fmt.Errorf("read %s: %w", in, err)
	}
	words := map[string]string{}
	collect(words, sluicev1.File_sluice_v1_sluice_proto)
	rewrite(document, words)
	if data, err = json.MarshalIndent(document, "", "  "); err != nil {
		return err
	}
	if err := os.WriteFile(out, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Remove(in)
}

// declarer is what enums and messages are declared in: a file or a message.
type declarer interface {
	Enums() protoreflect.EnumDescriptors
	Messages() protoreflect.MessageDescriptors
}

// collect maps the names of enum values to what jsonwire writes. Values of the same name in two enums of the same name
// have the same word.
func collect(words map[string]string, d declarer) {
	for i := range d.Enums().Len() {
		enum := d.Enums().Get(i)
		for j := range enum.Values().Len() {
			value := enum.Values().Get(j)
			words[string(value.Name())] = jsonwire.Word(enum, value.Number())
		}
	}
	for i := range d.Messages().Len() {
		collect(words, d.Messages().Get(i))
	}
}

func rewrite(node any, words map[string]string) {
	switch n := node.(type) {
	case []any:
		for _, item := range n {
			rewrite(item, words)
		}
	case map[string]any:
		if format, _ := n["format"].(string); n["type"] == "string" && (format == "int64" || format == "uint64") {
			n["type"] = "integer"
		}
		if values, ok := n["enum"].([]any); ok {
			rewriteEnum(n, values, words)
		}
		for _, item := range n {
			rewrite(item, words)
		}
	}
}

func rewriteEnum(n map[string]any, values []any, words map[string]string) {
	text, _ := n["description"].(string)
	for i, v := range values {
		name, _ := v.(string)
		if word, ok := words[name]; ok {
			values[i] = word
			text = strings.ReplaceAll(text, " - "+name+":", " - "+word+":")
		}
	}
	if text != "" {
		n["description"] = text
	}
	if name, ok := n["default"].(string); ok && words[name] != "" {
		n["default"] = words[name]
	}
}
