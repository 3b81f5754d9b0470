package bench

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// context is struct xdp_md of include/uapi/linux/bpf.h.
type context struct {
	Data, DataEnd, DataMeta, IngressIfindex, RxQueueIndex, EgressIfindex uint32
}

// progRun is one BPF_PROG_RUN. The ebpf library runs programs as well, but reports no time when a context is given,
// and without one a program believes that its packets came in by the loopback interface.
type progRun struct {
	program *ebpf.Program
	in      []byte
	out     []byte // nil, or room for the frame after the last repetition
	ifindex uint32 // the interface that packets seem to come in by; 0 is loopback
	repeat  uint32
	// again puts the state of the program back before a run that a signal interrupted is repeated.
	again func() error
}

type progRunResult struct {
	action   uint32
	out      []byte
	duration uint32 // of one repetition, in ns, rounded down by the kernel
}

// attributes is the part of union bpf_attr that BPF_PROG_RUN reads.
type attributes struct {
	progFD, retval             uint32
	dataSizeIn, dataSizeOut    uint32
	dataIn, dataOut            uint64
	repeat, duration           uint32
	contextSizeIn, contextSize uint32
	contextIn, contextOut      uint64
	flags, cpu, batch, _       uint32
}

const commandProgRun = 10 // BPF_PROG_RUN, enum bpf_cmd

func (r progRun) do() (progRunResult, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	a := &attributes{progFD: uint32(r.program.FD()), repeat: r.repeat, dataSizeIn: uint32(len(r.in)), dataSizeOut: uint32(len(r.out))}
	pin.Pin(a)
	pin.Pin(&r.in[0])
	a.dataIn = uint64(uintptr(unsafe.Pointer(&r.in[0])))
	if len(r.out) > 0 {
		pin.Pin(&r.out[0])
		a.dataOut = uint64(uintptr(unsafe.Pointer(&r.out[0])))
	}
	c := &context{DataEnd: uint32(len(r.in)), IngressIfindex: r.ifindex}
	if r.ifindex != 0 {
		pin.Pin(c)
		a.contextIn, a.contextSizeIn = uint64(uintptr(unsafe.Pointer(c))), uint32(unsafe.Sizeof(*c))
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_BPF, commandProgRun, uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a))
		runtime.KeepAlive(r.program)
		switch {
		case errno == 0:
			return progRunResult{action: a.retval, out: r.out[:min(int(a.dataSizeOut), len(r.out))], duration: a.duration}, nil
		case errors.Is(errno, unix.EINTR):
			if r.again == nil {
				continue
			}
			if err := r.again(); err != nil {
				return progRunResult{}, err
			}
		case errors.Is(errno, unix.EINVAL) && r.ifindex != 0:
			return progRunResult{}, fmt.Errorf("run %s: %w (naming the interface needs Linux 5.15)", r.program, os.NewSyscallError("bpf", errno))
		default:
			return progRunResult{}, fmt.Errorf("run %s: %w", r.program, os.NewSyscallError("bpf", errno))
		}
	}
}
