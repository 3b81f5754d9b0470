// Package lb is the domain of Sluice: what a VIP, a pool, a backend and a slot table are, how a packet's flow chooses a
// backend, and the plan that leads from one published state to the next.
//
// It imports the standard library only. Nothing here knows of BPF, netlink or gRPC, so every rule can be tested in
// milliseconds. It also holds the twin: the data plane once more, in plain Go, which the tests compare with the program
// in the kernel packet by packet.
//
// Reading order:
//
//	config.go    what an operator configures: Config, VIP, Pool, Backend
//	validate.go  which configurations are refused, and with which words
//	table.go     pool → slot table (Maglev base, rendezvous overlay)
//	flow.go      flow → 64-bit hash
//	state.go     State: all that the data plane is told at once
//	plan.go      (old state, new configuration, next hops) → new state
//	twin.go      frame → verdict, backend, frame
//	explain.go   what became of one packet, as a story
package lb
