package health

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/lb"
)

var (
	start  = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	grades = map[rune]Grade{'+': Good, '-': Soft, '_': Silent, 'x': Hard, '?': Void}
)

// feed gives a machine one result a second for each character of a row, and returns its states: u(p), s(oft), h(ard).
func feed(m *machine, row string) string {
	var out strings.Builder
	at := start
	for _, r := range row {
		at = at.Add(time.Second)
		m.observe(Result{At: at, Latency: time.Millisecond, Grade: grades[r], Detail: string(r)})
		out.WriteByte("ush"[m.condition()])
	}
	return out.String()
}

func TestMachine(t *testing.T) {
	for _, row := range []struct {
		name       string
		rise, fall uint32
		inherit    lb.Condition
		in, want   string
	}{
		{"the-first-good-result-decides", 2, 3, lb.ConditionUp, "+", "u"},
		{"the-first-bad-result-decides", 2, 3, lb.ConditionUp, "-", "s"},
		{"the-first-hard-result-decides", 2, 3, lb.ConditionUp, "x", "h"},
		{"after-the-first-it-takes-rise-to-be-up", 2, 3, lb.ConditionUp, "-++", "ssu"},
		{"after-the-first-it-takes-fall-to-be-down", 2, 3, lb.ConditionUp, "+---", "uuus"},
		{"results-count-in-a-row", 3, 3, lb.ConditionUp, "+--+--+---++-++-+++", "uuuuuuuuusssssssssu"},
		{"one-in-a-row", 1, 1, lb.ConditionUp, "+-+-x+", "usushu"},
		{"hard-takes-fall-hard-results", 2, 3, lb.ConditionUp, "+-xx", "uuus"},
		{"soft-becomes-hard", 2, 3, lb.ConditionUp, "+---xxx", "uuusssh"},
		{"an-answer-ends-hard-but-not-down", 2, 3, lb.ConditionUp, "+xxx-", "uuuhs"},
		{"one-good-result-ends-hard-but-not-down", 2, 3, lb.ConditionUp, "+xxx+x", "uuuhss"},
		{"silence-is-soft", 2, 3, lb.ConditionUp, "+____", "uuuss"},
		{"one-hard-result-among-silence-is-hard", 2, 3, lb.ConditionUp, "+_x___", "uuuhhh"},
		{"a-late-hard-result-is-hard", 2, 3, lb.ConditionUp, "+____x", "uuussh"},
		{"an-answer-ends-silence", 2, 3, lb.ConditionUp, "+x_-__x_", "uuusssh"[:4] + "ssh" + "h"},
		{"silence-goes-on-from-hard", 2, 3, lb.ConditionHard, "____-", "hhhhs"},
		{"void-says-nothing", 2, 3, lb.ConditionUp, "?+-?-?-?+?+", "uuuuuussssu"},
		{"void-does-not-end-a-row", 2, 2, lb.ConditionUp, "+-?-", "uuus"},
		{"soft-is-inherited", 2, 3, lb.ConditionSoft, "+-++", "sssu"},
		{"hard-is-inherited", 2, 3, lb.ConditionHard, "x?x-", "hhhs"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := &machine{rise: row.rise, fall: row.fall}
			m.inherit(row.inherit, start)
			if got := feed(m, row.in); got != row.want {
				t.Errorf("%s\n got %s\nwant %s", row.in, got, row.want)
			}
		})
	}
}

func TestMachineSaysWhyAndSinceWhen(t *testing.T) {
	m := &machine{rise: 2, fall: 2}
	m.inherit(lb.ConditionUp, start)
	if m.since != start || m.reason != "not checked yet" {
		t.Errorf("before the first result: %s, %q", m.since, m.reason)
	}
	changes := 0
	for i, r := range "+--?-+-++" {
		if m.observe(Result{At: start.Add(time.Duration(i) * time.Minute), Latency: time.Second, Grade: grades[r], Detail: fmt.Sprint("result ", i)}) {
			changes++
		}
	}
	if changes != 3 {
		t.Errorf("%d changes, want 3: up, down, up", changes)
	}
	if want := start.Add(8*time.Minute + time.Second); m.since != want || m.reason != "result 8" {
		t.Errorf("up since %s for %q, want %s for result 8", m.since, m.reason, want)
	}
	if m.lastError.Detail != "result 6" {
		t.Errorf("last error %q, want result 6", m.lastError.Detail)
	}
	if m.voids != 1 || len(m.results) != 9 {
		t.Errorf("%d void, %d results", m.voids, len(m.results))
	}
	for i := range 2 * Remembered {
		m.observe(Result{Detail: fmt.Sprint(i)})
	}
	if len(m.results) != Remembered || m.results[0].Detail != "10" || m.results[Remembered-1].Detail != "19" {
		t.Errorf("remembered %v, want 10 to 19", m.results)
	}
}

func TestPanic(t *testing.T) {
	for _, row := range []struct {
		threshold lb.PanicThreshold
		// backends is one letter for each: u(p), s(oft), h(ard); upper case is not enabled.
		backends, want string
		up, enabled    int
		panics         bool
	}{
		{lb.PanicPercent(50), "uuss", "uuss", 2, 4, false},
		{lb.PanicPercent(50), "usss", "uuuu", 1, 4, true},
		{lb.PanicPercent(50), "hhss", "uuuu", 0, 4, true},
		{lb.PanicPercent(25), "ushs", "ushs", 1, 4, false},
		{0, "ushs", "ushs", 1, 4, false}, // the default
		{0, "ssss", "uuuu", 0, 4, true},
		{0, "s", "u", 0, 1, true},
		{lb.PanicNever, "sh", "sh", 0, 2, false},
		{lb.PanicPercent(100), "uus", "uuu", 2, 3, true},
		{lb.PanicPercent(100), "uuu", "uuu", 3, 3, false},
		{lb.PanicPercent(50), "uUUS", "uuus", 1, 1, false}, // who is not enabled does not count
		{lb.PanicPercent(50), "SS", "ss", 0, 0, false},
		{lb.PanicPercent(50), "", "", 0, 0, false},
	} {
		t.Run(fmt.Sprintf("%d-%s", row.threshold.Percent(), row.backends), func(t *testing.T) {
			var members []member
			for i, r := range row.backends {
				lower := strings.ToLower(string(r))
				members = append(members, member{fmt.Sprint(i), lower == string(r), lb.Condition(strings.Index("ush", lower))})
			}
			conditions := lb.Conditions{}
			up, enabled, panics := poolConditions(row.threshold, members, conditions)
			var got strings.Builder
			for i := range members {
				got.WriteByte("ush"[conditions[fmt.Sprint(i)]])
			}
			if got.String() != row.want || up != row.up || enabled != row.enabled || panics != row.panics {
				t.Errorf("got %s, %d of %d up, panics %t; want %s, %d of %d, %t",
					got.String(), up, enabled, panics, row.want, row.up, row.enabled, row.panics)
			}
		})
	}
}
