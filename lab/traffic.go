package lab

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Tally is what a client has seen.
type Tally struct {
	// Answers counts answers by who gave them.
	Answers map[string]int
	// Failures are requests without an answer, or held connections that broke.
	Failures int
	// Moved are held connections that somebody else answered than before.
	Moved int
	// Held are the connections that were opened to be held.
	Held int
	// Slowest is the longest that an answer took: a second or more says that a packet was lost and sent again.
	Slowest time.Duration
	// First is the first failure, nil if there was none.
	First error
}

// Total is the number of answers.
func (t Tally) Total() (sum int) {
	for _, n := range t.Answers {
		sum += n
	}
	return sum
}

// Traffic is something that a client does until it is told to stop.
type Traffic struct {
	mu    sync.Mutex
	tally Tally // guarded by mu

	stop chan struct{}
	done sync.WaitGroup
	once sync.Once
}

func newTraffic() *Traffic {
	return &Traffic{tally: Tally{Answers: make(map[string]int)}, stop: make(chan struct{})}
}

// Request sends HTTP requests, each on a new connection, to every address at the given interval. A slow answer does not
// delay the next request.
func (n *Namespace) Request(every time.Duration, addresses ...string) *Traffic {
	return startTraffic(every, n.Get, addresses)
}

// Datagrams sends UDP datagrams, each from a new socket, to every address at the given interval. Nothing sends them
// again: one that is lost is a failure.
func (n *Namespace) Datagrams(every time.Duration, addresses ...string) *Traffic {
	ask := func(address string) (string, error) { return n.AskDatagram(address, "hello") }
	return startTraffic(every, ask, addresses)
}

// startTraffic asks at every address at an interval, without waiting for answers.
func startTraffic(every time.Duration, ask func(address string) (who string, err error), addresses []string) *Traffic {
	t := newTraffic()
	for _, address := range addresses {
		t.done.Go(func() {
			t.repeat(every, func() bool {
				t.done.Go(func() {
					started := time.Now()
					who, err := ask(address)
					t.count(who, time.Since(started), err)
				})
				return true
			})
		})
	}
	return t
}

// Hold opens a number of connections to every address of a line server and sends a line on each at the given interval.
func (n *Namespace) Hold(count int, every time.Duration, addresses ...string) (*Traffic, error) {
	t := newTraffic()
	for _, address := range addresses {
		for i := range count {
			l, err := n.DialLine(address)
			if err != nil {
				t.Stop()
				return nil, fmt.Errorf("opening connection %d to be held: %w", i, err)
			}
			t.hold(l, every)
		}
	}
	return t, nil
}

// hold asks on a connection until it breaks.
func (t *Traffic) hold(l *Line, every time.Duration) {
	t.mu.Lock()
	t.tally.Held++
	t.mu.Unlock()
	var held heldLine
	t.done.Go(func() {
		defer l.Close()
		t.repeat(every, func() bool {
			started := time.Now()
			who, err := l.Ask("hello")
			t.count(who, time.Since(started), err)
			if err == nil {
				held.answered(t, who)
			}
			return err == nil
		})
	})
}

// heldLine remembers who answers on one held connection.
type heldLine struct{ who string }

// answered counts a move where somebody else answers than before.
func (h *heldLine) answered(t *Traffic, who string) {
	if h.who != "" && h.who != who {
		t.mu.Lock()
		t.tally.Moved++
		t.mu.Unlock()
	}
	h.who = who
}

// Tally is what was seen until now.
func (t *Traffic) Tally() Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	copied := t.tally
	copied.Answers = maps.Clone(t.tally.Answers)
	return copied
}

// Stop ends the traffic, waits for what is under way, and returns what was seen.
func (t *Traffic) Stop() Tally {
	t.once.Do(func() { close(t.stop) })
	t.done.Wait()
	return t.Tally()
}

// count adds one answer or failure.
func (t *Traffic) count(who string, took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.tally.Answers[who]++
		t.tally.Slowest = max(t.tally.Slowest, took)
		return
	}
	t.tally.Failures++
	if t.tally.First == nil {
		t.tally.First = err
	}
}

// repeat calls f at an interval until it returns false or the traffic stops.
func (t *Traffic) repeat(every time.Duration, f func() bool) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for f() {
		select {
		case <-t.stop:
			return
		case <-ticker.C:
		}
	}
}

// Plus adds two tallies.
func (t Tally) Plus(u Tally) Tally {
	sum := Tally{
		Answers:  make(map[string]int),
		Failures: t.Failures + u.Failures,
		Moved:    t.Moved + u.Moved,
		Held:     t.Held + u.Held,
		Slowest:  max(t.Slowest, u.Slowest),
		First:    t.First,
	}
	maps.Copy(sum.Answers, t.Answers)
	for who, n := range u.Answers {
		sum.Answers[who] += n
	}
	if sum.First == nil {
		sum.First = u.First
	}
	return sum
}

// Err is nil if nothing failed and nothing moved.
func (t Tally) Err() error {
	var errs []error
	if t.Failures > 0 {
		errs = append(errs, fmt.Errorf("%d of %d failed, the first: %w", t.Failures, t.Failures+t.Total(), t.First))
	}
	if t.Moved > 0 {
		errs = append(errs, fmt.Errorf("%d times a held connection moved to another backend", t.Moved))
	}
	return errors.Join(errs...)
}
