package agent

import "testing"

func TestVerdictTable(t *testing.T) {
	seen := map[string]Verdict{}
	for v := Verdict(0); v < VerdictCount; v++ {
		info := v.Info()
		if info.Name == "" || info.Help == "" {
			t.Errorf("verdict %d has no name or no help", v)
		}
		if other, dup := seen[info.Name]; dup {
			t.Errorf("verdicts %d and %d are both named %q", other, v, info.Name)
		}
		seen[info.Name] = v
	}
	if got := VerdictCount.String(); got != "verdict(17)" {
		t.Errorf("a verdict of a later version prints as %q", got)
	}
}
