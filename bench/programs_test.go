package bench

import (
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

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
	spec := &ebpf.ProgramSpec{Name: "stand_in", Type: ebpf.XDP, Instructions: instructions, License: "Dual BSD/GPL"}
	form.shape(map[string]*ebpf.ProgramSpec{"": spec})
	p, err := ebpf.NewProgram(spec)
	if err != nil {
		t.Fatalf("load stand-in program as %q: %v", form, err)
	}
	t.Cleanup(func() { p.Close() })
	return p
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
