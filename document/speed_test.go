package document_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/document"
)

// TestHostileTextIsQuick guards against work that grows with the square of the text: each of these is a second of
// milliseconds where it does not.
func TestHostileTextIsQuick(t *testing.T) {
	const n = 30000
	for _, tc := range []struct{ name, text string }{
		{"deep", head + "pools: " + strings.Repeat("[", n)},
		{"faulty-items", head + "pools: [" + strings.Repeat("{name: 5, backends: 7}, ", n) + "]\n" +
			"vips: [" + strings.Repeat("{name: a, ports: [0, any]}, ", n) + "]\n"},
		{"long-field", head + strings.Repeat("v", 100*n) + ": 1\n"},
		{"many-fields", head + fields(n)},
		{"line-of-tabs", head + strings.Repeat("\t", 10*n) + "x: 1\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Now()
			if _, err := document.Parse("f", []byte(tc.text)); err == nil {
				t.Error("accepted")
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v for %d bytes", took, len(tc.text))
			}
		})
	}
}

func fields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "f%d: 1\n", i)
	}
	return b.String()
}
