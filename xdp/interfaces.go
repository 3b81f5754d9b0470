package xdp

import (
	"bytes"
	"fmt"
	"slices"
)

// number is the number that the maps know an interface by.
func (t *tables) number(name string) (uint8, bool) {
	for i := range t.interfaces.values {
		if interfaceName(t.interfaces.values[i]) == name {
			return uint8(i), true
		}
	}
	return 0, false
}

func interfaceName(b [16]byte) string {
	name, _, _ := bytes.Cut(b[:], []byte{0})
	return string(name)
}

// assignNumbers gives every interface a number, keeping those that have one: pinned descriptors and counters use them.
// The numbers of interfaces that are no longer managed are taken only where no other is free.
func (t *tables) assignNumbers(names []string) error {
	var fresh []string
	for _, name := range names {
		if len(name) == 0 || len(name) >= 16 {
			return fmt.Errorf("interface %q: must have 1 to 15 bytes", name)
		}
		if _, ok := t.number(name); !ok {
			fresh = append(fresh, name)
		}
	}
	for _, wantFree := range []bool{true, false} {
		for i := range t.interfaces.values {
			if len(fresh) == 0 {
				return nil
			}
			old := interfaceName(t.interfaces.values[i])
			if wantFree != (old == "") || slices.Contains(names, old) {
				continue
			}
			t.interfaces.values[i] = [16]byte{}
			copy(t.interfaces.values[i][:], fresh[0])
			t.clearVerdicts(i)
			fresh = fresh[1:]
		}
	}
	return nil
}

// clearVerdicts zeroes the counters of an interface number on every CPU.
func (t *tables) clearVerdicts(number int) {
	for i := number; i < len(t.verdictCounters.values); i += MaxInterfaces {
		t.verdictCounters.values[i] = bpfVerdictLine{}
	}
}
