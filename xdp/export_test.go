package xdp

import (
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Contents are all maps of the data plane as they are: memory, or the entries of those that are not mapped.
func (d *Dataplane) Contents(tb testing.TB) map[string]string {
	tb.Helper()
	out := map[string]string{}
	for name, m := range d.tables.maps {
		if m.Flags()&unix.BPF_F_MMAPABLE != 0 {
			page := os.Getpagesize()
			size := (int(m.MaxEntries())*int(m.ValueSize()) + page - 1) / page * page
			memory, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ, unix.MAP_SHARED)
			if err != nil {
				tb.Fatal(err)
			}
			out[name] = string(memory)
			if err := unix.Munmap(memory); err != nil {
				tb.Fatal(err)
			}
			continue
		}
		var entries []string
		var key, value []byte
		all := m.Iterate()
		for all.Next(&key, &value) {
			entries = append(entries, hex.EncodeToString(key)+" "+hex.EncodeToString(value))
		}
		if err := all.Err(); err != nil {
			tb.Fatal(err)
		}
		slices.Sort(entries)
		out[name] = strings.Join(entries, "\n")
	}
	return out
}
