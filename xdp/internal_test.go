package xdp

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/sluice-lb/sluice/lb"
)

// TestVerdictsMatch walks both enumerations: same values, same names, a help and an action for each.
func TestVerdictsMatch(t *testing.T) {
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	var enum *btf.Enum
	if err := spec.Types.TypeByName("verdict", &enum); err != nil {
		t.Fatal(err)
	}
	if len(enum.Values) != int(lb.VerdictCount)+1 {
		t.Errorf("C has %d verdicts, Go has %d", len(enum.Values)-1, lb.VerdictCount)
	}
	names := map[string]bool{}
	for _, v := range enum.Values {
		name := strings.ToLower(strings.TrimPrefix(v.Name, "VERDICT_"))
		verdict := lb.Verdict(v.Value)
		if verdict == lb.VerdictCount {
			continue
		}
		if verdict.String() != name {
			t.Errorf("value %d is %q in C and %q in Go", v.Value, name, verdict)
		}
		if names[name] {
			t.Errorf("verdict %q is there twice", name)
		}
		names[name] = true
		if info := verdict.Info(); info.Help == "" || !strings.HasSuffix(info.Help, ".") {
			t.Errorf("verdict %q: help %q", name, info.Help)
		}
	}
}

func TestCheckOffloads(t *testing.T) {
	if err := checkOffloads("eth0", map[string]bool{"rx-gro": true, "rx-lro": false}); err != nil {
		t.Errorf("harmless features refused: %v", err)
	}
	for feature, remedy := range map[string]string{"rx-lro": "ethtool -K eth0 lro off", "rx-gro-hw": "ethtool -K eth0 rx-gro-hw off"} {
		err := checkOffloads("eth0", map[string]bool{feature: true})
		if err == nil || !strings.Contains(err.Error(), remedy) || !strings.Contains(err.Error(), feature) {
			t.Errorf("%s: error %v, expected one with %q", feature, err, remedy)
		}
	}
}

func TestModesPrint(t *testing.T) {
	for _, m := range Modes {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%s reads back as %s, %v", m, got, err)
		}
	}
	if _, err := ParseMode("fast"); err == nil || !strings.Contains(err.Error(), `"fast"`) {
		t.Errorf("error %v", err)
	}
}
