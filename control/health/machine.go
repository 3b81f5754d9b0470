package health

import (
	"time"

	"github.com/sluice-lb/sluice/lb"
)

// State is what is known of a backend by its checks.
type State uint8

// The states.
const (
	// Unchecked has no result yet. It counts as up, so that what an operator adds works at once.
	Unchecked State = iota
	// Up answers as it should.
	Up
	// Down does not.
	Down
)

// States lists every State.
var States = []State{Unchecked, Up, Down}

var stateNames = [...]string{"unchecked", "up", "down"}

// String is the state's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "invalid"
}

// Grade says how a check ended.
type Grade uint8

const (
	// Good is the expected answer.
	Good Grade = iota
	// Soft is a wrong answer: the server is not well, but its host is there and may go on serving the flows it has.
	Soft
	// Silent is no answer at all: the server, its host or the way to it.
	Silent
	// Hard is the network's word that the host cannot be reached.
	Hard
	// Void is a check that could not be made, for want of something on this node. It says nothing of the backend.
	Void
)

var gradeNames = [...]string{"good", "soft", "silent", "hard", "void"}

// String is the grade's name.
func (g Grade) String() string {
	if int(g) < len(gradeNames) {
		return gradeNames[g]
	}
	return "invalid"
}

// Result is the outcome of one check.
type Result struct {
	// At is when the check began.
	At time.Time
	// Latency is how long it took.
	Latency time.Duration
	Grade   Grade
	// Detail is the answer, or why there is none.
	Detail string
}

// Remembered is how many results of each backend are kept.
const Remembered = 10

// machine is the state of one backend. It knows no clock: time comes with the results.
//
// The first result decides. After it, rise good results in a row lead up and fall bad ones lead down; one result of the
// other kind starts the count again. Down is hard after fall results in a row without any answer, one of which was the
// network's word that the host cannot be reached: a router gives that only every few seconds.
type machine struct {
	rise, fall uint32

	state State
	// hard tells that the host is gone, not just the service: the network said so, and nothing was heard of it since.
	hard bool
	// since is when state or hard changed; reason is the result that did it.
	since  time.Time
	reason string

	// Results in a row; mute are those without any answer. gone tells that one of those was hard.
	good, bad, mute uint32
	gone            bool
	results         []Result
	lastError       Result
	voids           uint64
}

// inherit starts with a condition of an earlier run: what was down stays down until it has risen.
func (m *machine) inherit(c lb.Condition, now time.Time) {
	m.since, m.reason = now, "not checked yet"
	if c != lb.ConditionUp {
		m.state, m.hard, m.reason = Down, c == lb.ConditionHard, "down before the daemon was restarted"
		m.gone = m.hard
	}
}

// forget starts the counts again, for a check that asks something else; the state stays until they are full.
func (m *machine) forget() {
	m.good, m.bad, m.mute, m.gone, m.results = 0, 0, 0, m.hard, nil
}

// observe takes a result and tells whether state or hard changed.
func (m *machine) observe(r Result) bool {
	if len(m.results) == Remembered {
		m.results = append(m.results[:0], m.results[1:]...)
	}
	m.results = append(m.results, r)
	if r.Grade != Good {
		m.lastError = r
	}
	switch r.Grade {
	case Void:
		m.voids++
		return false
	case Good:
		m.good, m.bad, m.mute, m.gone = m.good+1, 0, 0, false
	case Soft:
		m.good, m.bad, m.mute, m.gone = 0, m.bad+1, 0, false
	case Silent:
		m.good, m.bad, m.mute = 0, m.bad+1, m.mute+1
	case Hard:
		m.good, m.bad, m.mute, m.gone = 0, m.bad+1, m.mute+1, true
	}
	state, hard := m.next()
	if state == m.state && hard == m.hard {
		return false
	}
	m.state, m.hard, m.since, m.reason = state, hard, r.At.Add(r.Latency), r.Detail
	return true
}

// next is the state that follows from the counts.
func (m *machine) next() (state State, hard bool) {
	first := m.state == Unchecked
	switch {
	case first && m.good > 0, m.good >= m.rise:
		return Up, false
	case first && m.bad > 0:
		return Down, m.gone
	case m.bad >= m.fall:
		return Down, m.gone && (m.hard || m.mute >= m.fall)
	}
	return m.state, m.hard && m.gone // who answers, if only to refuse, is not gone
}

// condition is the state as it matters to packets.
func (m *machine) condition() lb.Condition {
	switch {
	case m.state != Down:
		return lb.ConditionUp
	case m.hard:
		return lb.ConditionHard
	}
	return lb.ConditionSoft
}
