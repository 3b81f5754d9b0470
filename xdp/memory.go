package xdp

import (
	"fmt"
	"os"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// array is a memory-mapped array map, seen as a slice of its values. T has the layout of the map's value.
type array[T any] struct {
	values []T
	memory []byte
}

func mapArray[T any](m *ebpf.Map) (array[T], error) {
	var zero T
	if m.ValueSize() != uint32(unsafe.Sizeof(zero)) {
		return array[T]{}, fmt.Errorf("map %s: values of %d bytes, expected %d", m, m.ValueSize(), unsafe.Sizeof(zero))
	}
	page := os.Getpagesize()
	size := (int(m.MaxEntries())*int(m.ValueSize()) + page - 1) / page * page
	memory, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return array[T]{}, fmt.Errorf("map %s: mmap of %d bytes: %w", m, size, err)
	}
	return array[T]{unsafe.Slice((*T)(unsafe.Pointer(&memory[0])), m.MaxEntries()), memory}, nil
}

func (a *array[T]) unmap() error {
	if a.memory == nil {
		return nil
	}
	memory := a.memory
	a.values, a.memory = nil, nil
	return unix.Munmap(memory)
}
