package health

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// schedule orders targets by when they are due: a heap, so that one timer serves all of them.
type schedule []*target

// Len implements heap.Interface, as do the others.
func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].due.Before(s[j].due) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].place, s[j].place = i, j
}

// Push is for heap.Push.
func (s *schedule) Push(x any) {
	t := x.(*target)
	t.place = len(*s)
	*s = append(*s, t)
}

// Pop is for heap.Pop.
func (s *schedule) Pop() any {
	last := len(*s) - 1
	t := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	t.place = unscheduled
	return t
}

// unscheduled is the place of a target that is being checked, or gone.
const unscheduled = -1

func (s *schedule) add(t *target, due time.Time) {
	t.due = due
	heap.Push(s, t)
}

func (s *schedule) remove(t *target) {
	if t.place != unscheduled {
		heap.Remove(s, t.place)
	}
}

// next removes and returns a target that is due; nil if none is.
func (s *schedule) next(now time.Time) *target {
	if len(*s) == 0 || (*s)[0].due.After(now) {
		return nil
	}
	return heap.Pop(s).(*target)
}

// first is when the next target is due; false if there is none.
func (s schedule) first() (time.Time, bool) {
	if len(s) == 0 {
		return time.Time{}, false
	}
	return s[0].due, true
}

// jitter is interval, more or less by up to a tenth: checks of many backends, and of many nodes, drift apart.
func jitter(interval time.Duration) time.Duration {
	return interval - interval/10 + rand.N(interval/5+1)
}

// startSpacing is the mean time between the first checks of many backends that are added at once.
const startSpacing = time.Millisecond

// startDelay spreads the first checks of n new backends, over an interval at most.
func startDelay(n int, interval time.Duration) time.Duration {
	return rand.N(min(time.Duration(n)*startSpacing, interval))
}
