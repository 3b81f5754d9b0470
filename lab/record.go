package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
)

const (
	// runDir holds one directory per topology: sockets, stores, logs and the record of processes.
	runDir = "/run/sluice-lab"
	// bpffsRoot is where the kernel's BPF file system is mounted.
	bpffsRoot = "/sys/fs/bpf"
	// namePrefix starts the name of every topology: NAME is sluice-PID-NUMBER.
	namePrefix = "sluice-"
	// keptFile in a topology's directory says that it outlives its owner.
	keptFile = "kept"
	// procsFile in a topology's directory lists its processes, one "PID START" a line.
	procsFile = "procs"
	// ownerFile has the same line for the owner.
	ownerFile = "owner"
)

// claimName creates the directory of a new topology and with it the name.
func claimName() (string, error) {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return "", fmt.Errorf("creating %q: %w (root is needed)", runDir, err)
	}
	for i := 1; ; i++ {
		name := fmt.Sprintf("%s%d-%d", namePrefix, os.Getpid(), i)
		err := os.Mkdir(filepath.Join(runDir, name), 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("creating the directory of lab %q: %w", name, err)
		}
		return name, recordProcess(name, ownerFile, os.Getpid())
	}
}

// recordProcess notes a process, so that it can be ended later also by somebody else. Together with its start time a
// process id is unique.
func recordProcess(name, file string, pid int) error {
	start, err := startTime(pid)
	if err != nil {
		return fmt.Errorf("recording process %d of lab %q: %w", pid, name, err)
	}
	f, err := os.OpenFile(filepath.Join(runDir, name, file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("recording process %d of lab %q: %w", pid, name, err)
	}
	_, err = fmt.Fprintf(f, "%d %s\n", pid, start)
	return errors.Join(err, f.Close())
}

// running returns those of the recorded processes that still run.
func running(name, file string) ([]int, error) {
	f, err := os.Open(filepath.Join(runDir, name, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var pids []int
	for s := bufio.NewScanner(f); s.Scan(); {
		text, recorded, _ := strings.Cut(s.Text(), " ")
		pid, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		if start, err := startTime(pid); err == nil && start == recorded {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// startTime is field 22 of /proc/PID/stat: clock ticks since boot. A zombie counts as gone.
func startTime(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The second field, in parentheses, may hold anything; the state follows it.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	const state, start = 0, 19
	if len(fields) <= start || fields[state] == "Z" {
		return "", fs.ErrNotExist
	}
	return fields[start], nil
}

// Sweep removes every topology whose owner died without removing it, except those that were kept on purpose.
func Sweep() error {
	names, err := Names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(runDir, name, keptFile)); err == nil {
			continue
		}
		owners, err := running(name, ownerFile)
		if err == nil && len(owners) == 0 {
			err = Remove(name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Names lists the topologies of this machine, whoever owns them.
func Names() ([]string, error) {
	entries, err := os.ReadDir(runDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing labs: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), namePrefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// RemoveOwned removes every topology that this process owns: what a signal handler calls. It works in any state, also
// half way through Raise.
func RemoveOwned() error {
	names, err := Names()
	errs := []error{err}
	for _, name := range names {
		if strings.HasPrefix(name, fmt.Sprintf("%s%d-", namePrefix, os.Getpid())) {
			errs = append(errs, Remove(name))
		}
	}
	return errors.Join(errs...)
}

// Remove ends every process of a topology and removes its namespaces, pins and files.
func Remove(name string) error {
	if !strings.HasPrefix(name, namePrefix) || strings.ContainsRune(name, '/') {
		return fmt.Errorf("removing lab %q: not the name of a lab", name)
	}
	errs := []error{endProcesses(name)}
	for _, path := range Leftovers(name) {
		switch filepath.Dir(path) {
		case netnsDir:
			errs = append(errs, netns.DeleteNamed(filepath.Base(path)))
		default:
			errs = append(errs, os.RemoveAll(path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing lab %q: %w", name, err)
	}
	return nil
}

// Leftovers lists what exists of a topology: namespaces, pins, then its directory, which goes last because it is what
// Sweep finds.
func Leftovers(name string) []string {
	var paths []string
	for _, pattern := range []string{netnsDir + "/" + name + "-*", bpffsRoot + "/" + name + "-*", runDir + "/" + name} {
		found, _ := filepath.Glob(pattern) // only a malformed pattern is an error
		paths = append(paths, found...)
	}
	return paths
}

// endProcesses kills the recorded processes and waits until they are gone.
func endProcesses(name string) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		pids, err := running(name, procsFile)
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v do not end", pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
