package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxSize bounds a document in bytes: some ten times the text of 4096 VIPs and 16384 backends.
const MaxSize = 16 << 20

// syntax turns text into the root node of its only document. JSON is read as the YAML that it also is.
func syntax(file string, data []byte) (*yaml.Node, *Error) {
	fail := func(at Position, format string, args ...any) (*yaml.Node, *Error) {
		return nil, &Error{File: file, Position: at, Message: fmt.Sprintf(format, args...)}
	}
	if len(data) > MaxSize {
		return fail(Position{1, 1}, "document has %d bytes: must have at most %d", len(data), MaxSize)
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF")) // a byte order mark would shift the columns of line 1
	if at, problem := characters(data); problem != "" {
		return fail(at, "%s", problem)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	err := decoder.Decode(&first)
	if err != nil && !errors.Is(err, io.EOF) {
		at, problem := explain(data, err)
		return fail(at, "%s", problem)
	}
	if err != nil || isNull(first.Content[0]) { // "---" alone is a document that holds nothing
		return fail(Position{1, 1}, "document is empty (write at least \"version: %d\")", Version)
	}
	if err := decoder.Decode(&second); err == nil {
		return fail(Position{second.Line, second.Column}, "second document in the file (keep one, or apply them apart)")
	} else if !errors.Is(err, io.EOF) {
		at, problem := explain(data, err)
		return fail(at, "%s", problem)
	}
	return first.Content[0], nil
}

// characters finds the first byte that no YAML document may hold. The YAML library refuses it too, but without a place.
func characters(data []byte) (Position, string) {
	at := Position{1, 1}
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			return at, fmt.Sprintf("byte 0x%02x is not UTF-8 (save the file as UTF-8)", data[0])
		case !printable(r):
			return at, fmt.Sprintf("control character %U is not allowed", r)
		case r == '\n':
			at = Position{at.Line + 1, 0}
		}
		at.Column++
		data = data[size:]
	}
	return Position{}, ""
}

// printable is the rule c-printable of YAML 1.2.2, section 5.1.
func printable(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r', r == 0x85:
		return true
	case r < 0x20, r >= 0x7f && r < 0xa0, r == 0xFEFF, r == 0xFFFE, r == 0xFFFF:
		return false
	}
	return true
}

var (
	libraryError  = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	leadingColon  = regexp.MustCompile(`[:,\[{] +(::[^\s,\]}]*)`)
	tabIndent     = regexp.MustCompile(`^ *\t`)
)

// explain gives a place to an error of the YAML library, which names a line at best, and that line may be the one
// before the fault.
func explain(data []byte, err error) (Position, string) {
	line, problem := 1, err.Error()
	if m := libraryError.FindStringSubmatch(problem); m != nil {
		problem = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	lines := strings.Split(string(data), "\n")
	if m := unknownAnchor.FindStringSubmatch(problem); m != nil {
		return find(lines, "*"+m[1]), noAlias
	}
	line = min(max(line, 1), len(lines))
	for n := line; n <= min(line+1, len(lines)); n++ {
		if tab := tabIndent.FindString(lines[n-1]); tab != "" {
			return Position{n, len(tab)}, "tab in the indentation (use spaces)"
		}
	}
	for n := line; n <= len(lines) && problem == "did not find expected node content"; n++ {
		if m := leadingColon.FindStringSubmatchIndex(lines[n-1]); m != nil {
			text := lines[n-1][m[2]:m[3]]
			return Position{n, utf8.RuneCountInString(lines[n-1][:m[2]]) + 1},
				fmt.Sprintf("%q must be quoted (inside {} and [] plain text cannot start with a colon)", text)
		}
	}
	text := lines[line-1]
	indent := len(text) - len(strings.TrimLeft(text, " \t"))
	return Position{line, indent + 1}, problem
}

// find returns the place of the first line that holds text.
func find(lines []string, text string) Position {
	for i, line := range lines {
		if before, _, ok := strings.Cut(line, text); ok {
			return Position{i + 1, utf8.RuneCountInString(before) + 1}
		}
	}
	return Position{1, 1}
}
