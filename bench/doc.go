// Package bench measures the data plane: what one packet costs a program in the kernel, by replaying recorded or
// generated traffic, and where the packets went.
//
// Time is the kernel's own, from BPF_PROG_RUN. With many repetitions the kernel runs a program on one buffer over and
// over and restores nothing in between, so a program that encapsulates would be shown its own output. The replayer
// (bpf/replay.bpf.c) therefore undoes the head growth of the run before, lays the next frame over the buffer and
// tail-calls the program under test. What that costs by itself is measured with an empty program, and what
// encapsulation costs without any decision with the floor program (bpf/floor.bpf.c), both in the same run, round by
// round in turn with the target.
//
//	stream.go     the traffic: records that the replayer reads
//	flows.go      traffic from a number of flows, a distribution, a size
//	capture.go    traffic from a pcap file: reading
//	client.go     which side of a recorded conversation is the client
//	aim.go        the client's packets, sent to a VIP instead
//	replayer.go   the program that feeds, in the form that fits the program under test
//	floor.go      what the program under test is compared with
//	measure.go    rounds, medians, spread
//	replay.go     Replay: all of it → Report
//	walk.go       every frame once, with what came out
//	config.go     configurations of any size
//	node.go       the real data plane, loaded and filled but not attached
package bench
