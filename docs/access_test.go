package docs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/control"
	"github.com/sluice-lb/sluice/control/access"
)

// The guide gives times and sizes as numbers; the constants are the truth.
func TestAccessHasTheConstants(t *testing.T) {
	text := pages(t)["access.md"]
	want := []string{
		fmt.Sprintf("every %d seconds", access.ReloadInterval/time.Second),
		fmt.Sprintf("From %d days before", access.ExpiryNotice/(24*time.Hour)),
		fmt.Sprintf("At %d MiB the file is renamed", access.AuditSize>>20),
		fmt.Sprintf("`audit.log.1`; %s old ones are kept", map[int]string{4: "four"}[access.AuditKeep]),
		fmt.Sprintf("A request may have %d MiB", control.MaxMessage>>20),
		fmt.Sprintf("One address holds %d connections", access.MaxConnections),
	}
	for _, r := range access.Roles {
		want = append(want, fmt.Sprintf("| `%s` |", r))
	}
	for _, k := range access.Kinds {
		want = append(want, fmt.Sprintf("`%s`", k))
	}
	for _, words := range want {
		if !strings.Contains(text, words) {
			t.Errorf("access.md does not say %q", words)
		}
	}
}
