package lab

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
)

// TestMain serves, where the test binary was started as a lab server, or runs the tests. It leaves nothing behind, also
// after Ctrl-C.
func TestMain(m *testing.M) {
	ServeIfAsked()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		os.Exit(cleanUp(130))
	}()
	os.Exit(cleanUp(m.Run()))
}

// cleanUp removes what tests left, and the binaries, and returns the exit code.
func cleanUp(code int) int {
	if err := RemoveOwned(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if builtDir != "" {
		_ = os.RemoveAll(builtDir)
	}
	return code
}

// builtDir is where binaries was told to build; empty if it was not.
var builtDir string

// binaries builds lbd, lbctl and lbagent once, or takes them from the directory that SLUICE_BIN names.
var binaries = sync.OnceValues(func() (Binaries, error) {
	if dir := os.Getenv(BinariesEnv); dir != "" {
		return FindBinaries(dir)
	}
	var err error
	if builtDir, err = os.MkdirTemp("", "sluice-bin-"); err != nil {
		return Binaries{}, err
	}
	return BuildBinaries("..", builtDir)
})

// needRoot skips a test that cannot create namespaces; in CI that is a failure.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("root is needed to create network namespaces")
	}
	t.Skip("root is needed to create network namespaces")
}
