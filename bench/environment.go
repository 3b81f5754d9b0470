package bench

import (
	"bufio"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Environment is what a figure depends on besides the program.
type Environment struct {
	Kernel string `json:"kernel"`
	CPU    string `json:"cpu"`
	// Microcode and Mitigations decide what indirect calls and returns cost.
	Microcode   string `json:"microcode"`
	Mitigations string `json:"mitigations"`
	// OnCPU is the one that the replay was pinned to.
	OnCPU int `json:"on_cpu"`
}

func environment(cpu int) Environment {
	e := Environment{Kernel: "unknown", OnCPU: cpu}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		e.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	e.CPU, e.Microcode = cpuInfo("model name"), cpuInfo("microcode")
	e.Mitigations = "unknown"
	if text, err := os.ReadFile("/sys/devices/system/cpu/vulnerabilities/spectre_v2"); err == nil {
		e.Mitigations = "spectre_v2: " + strings.TrimSpace(string(text))
	}
	return e
}

// cpuInfo is the first value of a key in /proc/cpuinfo, "unknown" if there is none (not every architecture has all).
func cpuInfo(key string) string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, value, found := strings.Cut(lines.Text(), ":")
		if found && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
