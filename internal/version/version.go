// Package version tells which build of Sluice a binary is. `make build` sets it by the linker; a plain `go build` or
// `go install` falls back to what the toolchain stamped.
package version

import (
	"runtime/debug"
)

// Version is what `git describe` said, set with -ldflags "-X github.com/sluice-lb/sluice/internal/version.Version=…".
var Version string

// String is the version for people: the linker's, else the module's, else the commit, else "unknown". A commit whose
// tree had changes ends in "-dirty".
func String() string {
	if Version != "" {
		return Version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return fromBuildInfo(info)
}

// commitDigits is how much of a commit's hash is shown, as by `git describe`.
const commitDigits = 12

func fromBuildInfo(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	commit := settings["vcs.revision"]
	if commit == "" {
		return "unknown"
	}
	if len(commit) > commitDigits {
		commit = commit[:commitDigits]
	}
	if settings["vcs.modified"] == "true" {
		commit += "-dirty"
	}
	return commit
}
