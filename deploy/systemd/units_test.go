// Package systemd checks the units beside it.
package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// exposure is what `systemd-analyze security` may find at most, in tenths: both units need the host's network, root and
// some capabilities, and nothing else that it counts.
const exposure = "35"

var execLine = regexp.MustCompile(`(?m)^(Exec\w+=)/usr/local/sbin/\S+`)

func TestUnits(t *testing.T) {
	units, err := filepath.Glob("*.service")
	if err != nil || len(units) != 2 {
		t.Fatalf("units %v, err %v; want those of lbd and lbagent", units, err)
	}
	for _, unit := range units {
		t.Run(strings.TrimSuffix(unit, ".service"), func(t *testing.T) {
			text, err := os.ReadFile(unit)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{"Type=notify", "WatchdogSec=", "NoNewPrivileges=yes", "KillMode=process", "CapabilityBoundingSet="} {
				if !strings.Contains(string(text), "\n"+line) {
					t.Errorf("%s is missing", line)
				}
			}
			installed := filepath.Join(t.TempDir(), unit) // the programs are not, where this runs
			if err := os.WriteFile(installed, execLine.ReplaceAll(text, []byte("${1}/bin/true")), 0o600); err != nil {
				t.Fatal(err)
			}
			analyze(t, "verify", "--man=no", installed)
			analyze(t, "security", "--offline=true", "--threshold="+exposure, "--no-pager", installed)
		})
	}
}

// analyze runs systemd-analyze, which must find nothing. Only of verify is all output a finding.
func analyze(t *testing.T, verb string, args ...string) {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("systemd-analyze is missing (install systemd)")
		}
		t.Skip("systemd-analyze is missing (install systemd)")
	}
	out, err := exec.Command(program, append([]string{verb}, args...)...).CombinedOutput()
	if err != nil || verb == "verify" && len(out) > 0 {
		t.Errorf("systemd-analyze %s: %v\n%s", verb, err, out)
	}
}
