package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// screen prints blocks of text: on a terminal a block replaces the one before, elsewhere it follows it.
type screen struct {
	out      *os.File
	terminal bool
	drawn    int // lines of the block that is on the terminal now
}

func newScreen(out *os.File) *screen {
	_, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS)
	return &screen{out: out, terminal: err == nil}
}

// interval is how often a block is drawn.
func (s *screen) interval() time.Duration {
	if s.terminal {
		return 500 * time.Millisecond
	}
	return time.Hour // only at the end of each scene
}

// draw shows a block below what was printed.
func (s *screen) draw(block string) {
	s.clear()
	fmt.Fprint(s.out, block)
	if s.terminal {
		s.drawn = strings.Count(block, "\n")
	}
}

// clear removes the block, so that the story can go on above it.
func (s *screen) clear() {
	if s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.drawn) // cursor up, erase below
		s.drawn = 0
	}
}
