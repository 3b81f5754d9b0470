// Package docs checks that the documents say what the code does.
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/control/store"
	"github.com/sluice-lb/sluice/document"
	"github.com/sluice-lb/sluice/lb"
	"github.com/sluice-lb/sluice/xdp"
)

// pages returns the text of every page by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no pages in docs: %v", err)
	}
	out := map[string]string{}
	for _, path := range append(paths, "../README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[path] = string(text)
	}
	return out
}

var (
	yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(version:.*?)^```$")
	hereDoc   = regexp.MustCompile(`(?ms)^    cat > \S+ <<END\n(.*?)^    END$`)
	codeSpan  = regexp.MustCompile("`[^`\n]*`")
	link      = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
)

func TestDocumentsInPagesAreValid(t *testing.T) {
	found := 0
	for path, text := range pages(t) {
		snippets := yamlBlock.FindAllStringSubmatch(text, -1)
		for _, m := range hereDoc.FindAllStringSubmatch(text, -1) {
			snippets = append(snippets, []string{"", strings.ReplaceAll("\n"+m[1], "\n    ", "\n")})
		}
		for _, m := range snippets {
			found++
			if _, err := document.Parse(path, []byte(m[1])); err != nil {
				t.Errorf("%s: %v\nin:\n%s", path, err, m[1])
			}
		}
	}
	if found < 2 {
		t.Errorf("found %d documents in the pages, want those of configuration.md and of README.md at least", found)
	}
}

func TestLinksLeadToFiles(t *testing.T) {
	for path, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: link to %q: %v", path, m[1], err)
			}
		}
	}
}

func vips(l *lb.Limits) *uint32     { return &l.VIPs }
func backends(l *lb.Limits) *uint32 { return &l.Backends }
func slots(l *lb.Limits) *uint32    { return &l.Slots }
func flowsV4(l *lb.Limits) *uint32  { return &l.FlowsV4 }

// plain is a duration in the words of the reference: 1h, not 1h0m0s.
func plain(d time.Duration) string {
	return strings.Replace(strings.Replace(d.String(), "m0s", "m", 1), "h0m", "h", 1)
}

// largest is the largest value of one limit that is accepted.
func largest(t *testing.T, field func(*lb.Limits) *uint32) uint32 {
	t.Helper()
	const step = lb.MinSlots // all that the slots' limit may be a multiple of
	accepted := func(n uint32) bool {
		l := lb.DefaultLimits
		*field(&l) = n
		return l.Validate() == nil
	}
	n := uint32(sort.Search(1<<32/step-1, func(i int) bool { return !accepted(uint32(i+1) * step) })) * step
	for accepted(n + 1) {
		n++
	}
	return n
}

// The reference gives ranges and defaults as numbers; the constants are the truth.
func TestConfigurationHasTheConstants(t *testing.T) {
	text := pages(t)["configuration.md"]
	for _, want := range []string{
		fmt.Sprintf("| `version` | %d |", document.Version),
		fmt.Sprintf("a power of two from %d to %d | the smallest with %d slots per backend |",
			lb.MinSlots, lb.MaxSlots, lb.SlotsPerBackend),
		fmt.Sprintf("list of at most %d backends", lb.MaxBackends),
		fmt.Sprintf("Fewer than %d slots per backend", lb.SlotsPerBackend),
		fmt.Sprintf("share of slots, 0 to %d | %d |", lb.MaxWeight, lb.DefaultWeight),
		fmt.Sprintf("factor on the weight, 0 to %d with at most three decimals | 1 |", lb.MaxScale/lb.ScaleOne),
		fmt.Sprintf("`limits.vips` | | VIPs, 1 to %d; see below | %d |", largest(t, vips), lb.DefaultLimits.VIPs),
		fmt.Sprintf("`limits.backends` | | backends over all pools, 1 to %d | %d |", largest(t, backends), lb.DefaultLimits.Backends),
		fmt.Sprintf("`limits.slots` | | slots over all pools, a multiple of %d up to %d | %d |",
			lb.MinSlots, largest(t, slots), lb.DefaultLimits.Slots),
		fmt.Sprintf("slots that are changing, 1 to %d | %d |", largest(t, flowsV4), lb.DefaultFlows),
		fmt.Sprintf("at most, %s to %s | %s |", plain(lb.MinDrain), plain(lb.MaxDrain), plain(lb.DefaultDrainMax)),
		fmt.Sprintf("taken for gone, %s to %s | %s |", plain(lb.MinDrain), plain(lb.MaxDrain), plain(lb.DefaultDrainIdle)),
		fmt.Sprintf("limits: {vips: %d, backends: %d, slots: %d}",
			lb.DefaultLimits.VIPs, lb.DefaultLimits.Backends, lb.DefaultLimits.Slots),
		fmt.Sprintf("names of 1 to %d interfaces", xdp.MaxInterfaces),
		fmt.Sprintf("`history` | | revisions that are kept, at least %d; see [transactions.md](transactions.md) | %d |",
			store.MinHistory, store.DefaultHistory),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("configuration.md does not say %q", want)
		}
	}
	for _, e := range lb.Encaps {
		if !strings.Contains(text, fmt.Sprintf("| `encap` | `%s`", e)) {
			t.Errorf("configuration.md does not name encap %q", e)
		}
	}
	for _, a := range lb.Admins {
		if !strings.Contains(text, "`"+a.String()+"`") {
			t.Errorf("configuration.md does not name the order %q", a)
		}
	}
	for _, p := range lb.Protocols {
		if !strings.Contains(text, "`"+p.String()+"`") {
			t.Errorf("configuration.md does not name protocol %q", p)
		}
	}
}
