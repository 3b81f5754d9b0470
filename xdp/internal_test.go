package xdp

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/safchain/ethtool"

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
	on, off := ethtool.FeatureState{Available: true, Active: true}, ethtool.FeatureState{Available: true}
	if err := checkOffloads("eth0", map[string]ethtool.FeatureState{"rx-gro": on, "rx-lro": off}); err != nil {
		t.Errorf("harmless features refused: %v", err)
	}
	for feature, remedy := range map[string]string{"rx-lro": "ethtool -K eth0 lro off", "rx-gro-hw": "ethtool -K eth0 rx-gro-hw off"} {
		for _, row := range []struct {
			state ethtool.FeatureState
			want  string
		}{
			{on, remedy},
			{ethtool.FeatureState{Active: true}, "cannot turn it off"},
			{ethtool.FeatureState{Available: true, Active: true, NeverChanged: true}, "cannot turn it off"},
		} {
			err := checkOffloads("eth0", map[string]ethtool.FeatureState{feature: row.state})
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), feature) {
				t.Errorf("%s: error %v, expected one with %q", feature, err, row.want)
			}
		}
	}
}

// TestPreflightReadsOffloads checks every interface of this machine: veth and loopback never have such an offload, but
// virtio_net may have rx-gro-hw, and the bond of the emulated kernels has LRO.
func TestPreflightReadsOffloads(t *testing.T) {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	d := &Dataplane{log: slog.New(slog.DiscardHandler), options: Options{BPFFSDir: t.TempDir()}}
	for _, name := range interfaceNames() {
		features, err := tool.Features(name)
		if err != nil {
			t.Logf("features of %s: %v", name, err)
			continue
		}
		err = d.preflight(name)
		merges := features["rx-lro"] || features["rx-gro-hw"]
		if refused := err != nil && strings.Contains(err.Error(), "merges frames"); refused != merges {
			t.Errorf("%s: LRO %t, GRO-HW %t, error %v", name, features["rx-lro"], features["rx-gro-hw"], err)
		}
		t.Logf("%s: %v", name, err)
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

// TestStepsMatch walks both enumerations of steps.
func TestStepsMatch(t *testing.T) {
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	var enum *btf.Enum
	if err := spec.Types.TypeByName("step", &enum); err != nil {
		t.Fatal(err)
	}
	if len(enum.Values) != int(lb.StepCount)+1 {
		t.Errorf("C has %d steps, Go has %d", len(enum.Values)-1, lb.StepCount)
	}
	for _, v := range enum.Values {
		name := strings.ToLower(strings.TrimPrefix(v.Name, "STEP_"))
		if step := lb.Step(v.Value); step != lb.StepCount && step.String() != name {
			t.Errorf("value %d is %q in C and %q in Go", v.Value, name, step)
		}
	}
}
