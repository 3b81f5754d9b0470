// Package xdp is the data plane: it loads the program of bpf/lb.bpf.c, fills its maps from an lb.State and attaches it.
//
// What it promises: a publication is seen by packets whole or not at all; everything is pinned, so that packets are
// forwarded while no daemon runs; a daemon that comes back adopts what is there. What it does not do: decide anything.
//
//	open.go       Open: bpffs, maps adopted or made, one program instance for each interface
//	publish.go    Publish: build aside, flip the root, wait until nobody sees the old tables
//	attach.go     Attach: checks of the interface, links made or updated
//	egress.go     where redirected packets go
//	entries.go    lb values to map values, and byte order
//	counters.go   map values to lb.Counters
//	explain.go    Explain: what would become of a frame, and why
//	check.go      Check: do the maps hold what the state says?
package xdp

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -tags linux -target bpfel -type verdict -type encap -type sizes -type slot_flag -type flow_state -type step -cflags "-O2 -g -Wall -Wextra -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu" bpf bpf/lb.bpf.c
