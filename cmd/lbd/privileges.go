package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keptCapabilities are what the daemon goes on with once everything is open and attached:
//
//   - CAP_BPF: bpf(2) is closed to everybody else on most machines; a change takes map updates.
//   - CAP_NET_ADMIN: probing neighbours by netlink, attaching programs to interfaces.
//   - CAP_PERFMON: the verifier wants it for the programs that take over when the features in use change.
//   - CAP_NET_RAW: health checks by ICMP.
//
// Before 5.8 the first and third are not told apart from CAP_SYS_ADMIN, which is then kept instead of them.
func keptCapabilities(last int) uint64 {
	const both = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW
	if last < unix.CAP_BPF {
		return both | 1<<unix.CAP_SYS_ADMIN
	}
	return both | 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON
}

// dropCapabilities gives up everything else, on all threads and for good: not even a program that the process executed
// would get more, whatever its file says.
func dropCapabilities() error {
	last, err := lastCapability()
	if err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := confineTo(keptCapabilities(last), last); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// lastCapability is the highest that the kernel knows.
func lastCapability() (int, error) {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func confineTo(keep uint64, last int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	has := uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
	if err := prctl(unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return err
	}
	errs := []error{
		prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL),
	}
	// The bounding set takes CAP_SETPCAP. Without it there is nothing to regain either: see no_new_privs.
	for c := 0; c <= last && has&(1<<unix.CAP_SETPCAP) != 0; c++ {
		if keep&(1<<c) == 0 {
			errs = append(errs, prctl(unix.PR_CAPBSET_DROP, uintptr(c)))
		}
	}
	set := keep & has
	for i := range data {
		word := uint32(set >> (32 * i))
		data[i] = unix.CapUserData{Effective: word, Permitted: word}
	}
	header = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errno != 0 {
		errs = append(errs, fmt.Errorf("capset: %w", errno))
	}
	return errors.Join(errs...)
}

var errCgo = errors.New("lbd was built with cgo, which has threads of its own (build it with CGO_ENABLED=0, as make does)")

// prctl is for settings of threads: each one has them for itself.
func prctl(option int, argument uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, uintptr(option), argument, 0, 0, 0, 0)
	if errno == syscall.ENOTSUP {
		return errCgo
	}
	if errno != 0 {
		return fmt.Errorf("prctl %d %d: %w", option, argument, errno)
	}
	return nil
}
