package agent

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// direction is one of the two hooks of an interface.
type direction int

const (
	ingress direction = iota
	egress
)

var directions = [...]direction{ingress, egress}

func (d direction) String() string { return [...]string{"ingress", "egress"}[d] }

// hook puts programs on interfaces in one of the kernel's ways. What it attaches stays when the process ends.
type hook interface {
	// name is "tcx" or "clsact".
	name() string
	// missing says that the interface must first be given what the hook needs, and create gives it.
	missing(ifindex int) (bool, error)
	create(ifindex int) error
	// attach puts prog on the interface; one of an earlier agent is replaced, without a packet in between that meets none.
	attach(ifindex int, d direction, prog *ebpf.Program) error
	// attached says whether a program of the agent is there.
	attached(ifindex int, d direction) (bool, error)
	// detach takes the agent's program away, if there is one.
	detach(ifindex int, d direction) error
}

// hooks are the ways that mode allows, best first.
func hooks(mode AttachMode, bpffsDir string) []hook {
	switch mode {
	case AttachTCX:
		return []hook{tcx{bpffsDir}}
	case AttachClsact:
		return []hook{clsact{}}
	case AttachAuto:
	}
	return []hook{tcx{bpffsDir}, clsact{}}
}

func otherHook(h hook, bpffsDir string) hook {
	if h.name() == AttachTCX.String() {
		return clsact{}
	}
	return tcx{bpffsDir}
}

// chooseHook attaches by the first hook that the kernel has, and returns it.
func chooseHook(candidates []hook, try func(hook) error) (hook, error) {
	var errs []error
	for _, h := range candidates {
		err := try(h)
		if err == nil {
			return h, nil
		}
		errs = append(errs, err)
		if !errors.Is(err, ebpf.ErrNotSupported) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func attachError(h hook, ifindex int, d direction, err error) error {
	return fmt.Errorf("attaching %s program by %s to interface %d: %w", d, h.name(), ifindex, err)
}
