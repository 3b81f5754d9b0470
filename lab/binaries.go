package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BinariesEnv names the environment variable with the directory of binaries that tests use instead of building them.
const BinariesEnv = "SLUICE_BIN"

// Binaries are the programs that a topology runs.
type Binaries struct{ LBD, LBCtl, LBAgent string }

// FindBinaries looks for lbd, lbctl and lbagent in a directory.
func FindBinaries(dir string) (Binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Binaries{}, err
	}
	b := Binaries{filepath.Join(dir, "lbd"), filepath.Join(dir, "lbctl"), filepath.Join(dir, "lbagent")}
	for _, path := range []string{b.LBD, b.LBCtl, b.LBAgent} {
		if _, err := os.Stat(path); err != nil {
			return Binaries{}, fmt.Errorf("finding binaries: %w (run `make build`)", err)
		}
	}
	return b, nil
}

// BuildBinaries builds them from the source tree whose top is given, into a directory.
func BuildBinaries(source, dir string) (Binaries, error) {
	build := exec.Command("go", "build", "-trimpath", "-o", dir+string(filepath.Separator), "./cmd/lbd", "./cmd/lbctl", "./cmd/lbagent")
	build.Dir = source
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("building binaries: %w\n%s", err, output)
	}
	return FindBinaries(dir)
}
