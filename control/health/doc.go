// Package health finds out which backends are well: it asks each backend of each pool that has a check, from the node
// to the backend's own address, and turns the answers into conditions.
//
//	machine.go    one backend: results in, state out; pure
//	condition.go  one pool: states in, conditions out; pure
//	schedule.go   which backend is asked next
//	checker.go    the backends checked, and the loop
//	track.go      the configuration comes in
//	report.go     what is known, for status and metrics
//	probe.go      one question and its answer; then one file per type of check
//	stream.go     the TCP connection of a check, and the tcp check itself
package health
