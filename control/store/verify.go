package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"
)

// A damaged bbolt file may fault in a goroutine that is not ours, or be read without end: neither can be caught in the
// process that reads it. So a store is first read by a child, and what becomes of the child is the answer.

const (
	// verifyVariable asks a process to read the store that it names, and to end.
	verifyVariable = "SLUICE_VERIFY_STORE"
	// verifyTimeout is how long reading a store takes at most: a whole one takes well under a second.
	verifyTimeout = 20 * time.Second
	// exitDamaged is the child's exit code for a store that it could read, and that is damaged.
	exitDamaged = 3
)

// canVerify says that this program calls VerifyIfAsked, so that its children do.
var canVerify atomic.Bool

// VerifyIfAsked is called at the start of main by every program that opens stores: a child that was started to read one
// does that here, and ends.
func VerifyIfAsked() {
	path, asked := os.LookupEnv(verifyVariable)
	if !asked {
		canVerify.Store(true)
		return
	}
	if _, _, err := openChecked(path); err != nil {
		fmt.Println(err)
		os.Exit(exitDamaged)
	}
	os.Exit(0)
}

// verify has a child read a store. Programs that do not call VerifyIfAsked go without.
func verify(path string) error {
	if !canVerify.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), verifyTimeout)
	defer cancel()
	child := exec.CommandContext(ctx, "/proc/self/exe")
	child.Env = append(os.Environ(), verifyVariable+"="+path)
	out, err := child.Output()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("it is damaged: reading it did not end in %s", verifyTimeout)
	case errors.As(err, &exit) && exit.ExitCode() == exitDamaged:
		return errors.New(strings.TrimSpace(string(out)))
	case errors.As(err, &exit):
		return fmt.Errorf("it is damaged: reading it ended with %w", exit)
	}
	return fmt.Errorf("have it read: %w", err)
}
