package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// checkCapabilities refuses to start without what the kernel will ask for: its own answer, "operation not permitted",
// does not say what is missing. It also gives up what exec could bring, which tells at once whether dropCapabilities can
// work later, when there are packets to be lost.
func checkCapabilities() error {
	if err := prctl(unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	missing := missingCapabilities(uint64(data[1].Effective)<<32 | uint64(data[0].Effective))
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("start: missing %s (run lbd as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; mounting a bpffs takes CAP_SYS_ADMIN as well)",
		strings.Join(missing, ", "))
}

// missingCapabilities names what an effective set lacks. CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON, which were
// split from it.
func missingCapabilities(effective uint64) []string {
	has := func(c int) bool { return effective&(1<<c) != 0 }
	var missing []string
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"CAP_BPF", has(unix.CAP_BPF) || has(unix.CAP_SYS_ADMIN)},
		{"CAP_NET_ADMIN", has(unix.CAP_NET_ADMIN)},
		{"CAP_PERFMON", has(unix.CAP_PERFMON) || has(unix.CAP_SYS_ADMIN)},
	} {
		if !c.ok {
			missing = append(missing, c.name)
		}
	}
	return missing
}
