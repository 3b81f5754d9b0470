package bench

import (
	"fmt"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/lb"
)

// needRoot skips where programs cannot be loaded.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("needs root to load BPF programs")
	}
	t.Skip("needs root to load BPF programs")
}

// mustProgram loads an XDP program in a form.
func mustProgram(t testing.TB, form Form, instructions asm.Instructions) *ebpf.Program {
	t.Helper()
	needRoot(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	spec := &ebpf.ProgramSpec{Name: "stand_in", Type: ebpf.XDP, Instructions: instructions, License: "Dual BSD/GPL"}
	form.shape(map[string]*ebpf.ProgramSpec{"": spec})
	p, err := ebpf.NewProgram(spec)
	if err != nil {
		t.Fatalf("load stand-in program as %q: %v", form, err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// kernelBefore compares the running kernel's version.
func kernelBefore(t testing.TB, major, minor int) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var gotMajor, gotMinor int
	release := unix.ByteSliceToString(name.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &gotMajor, &gotMinor); err != nil {
		t.Fatalf("kernel release %q: %v", release, err)
	}
	return gotMajor < major || gotMajor == major && gotMinor < minor
}

// returning does nothing but return the action.
func returning(action lb.Action) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, int32(action)), asm.Return()}
}

// moving calls bpf_xdp_adjust_head or bpf_xdp_adjust_tail with an offset, whatever comes of it, and returns TX.
func moving(adjust asm.BuiltinFunc, offset int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R2, offset),
		adjust.Call(),
		asm.Mov.Imm(asm.R0, int32(lb.ActionTX)),
		asm.Return(),
	}
}
