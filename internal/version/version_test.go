package version

import (
	"runtime/debug"
	"testing"
)

func TestStringPrefersTheLinkers(t *testing.T) {
	Version = "v1.2.3-4-gabcdef"
	t.Cleanup(func() { Version = "" })
	if got := String(); got != "v1.2.3-4-gabcdef" {
		t.Errorf("String() = %q, want the linker's version", got)
	}
}

func TestFromBuildInfo(t *testing.T) {
	vcs := func(revision, modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: modified}}
	}
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for _, row := range []struct {
		name string
		info debug.BuildInfo
		want string
	}{
		{"module", debug.BuildInfo{Main: debug.Module{Version: "v0.3.0"}, Settings: vcs(commit, "false")}, "v0.3.0"},
		{"commit", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: vcs(commit, "false")}, "0123456789ab"},
		{"dirty", debug.BuildInfo{Settings: vcs(commit, "true")}, "0123456789ab-dirty"},
		{"short-commit", debug.BuildInfo{Settings: vcs("0123", "false")}, "0123"},
		{"nothing", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "unknown"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := fromBuildInfo(&row.info); got != row.want {
				t.Errorf("fromBuildInfo() = %q, want %q", got, row.want)
			}
		})
	}
}
