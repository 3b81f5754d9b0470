package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// screen prints blocks of text: on a terminal a block replaces the one before unless that was kept, elsewhere it
// follows it.
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
	if !s.terminal {
		fmt.Fprint(s.out, block)
		return
	}
	width := s.width()
	for line := range strings.Lines(block) {
		// A line that the terminal breaks would count twice when the block is cleared.
		if text := strings.TrimSuffix(line, "\n"); len(text) > width {
			line = text[:width] + "\n"
		}
		fmt.Fprint(s.out, line)
		s.drawn++
	}
}

// keep leaves the block where it is: what follows is printed below.
func (s *screen) keep() { s.drawn = 0 }

// width is the number of columns of the terminal.
func (s *screen) width() int {
	size, err := unix.IoctlGetWinsize(int(s.out.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 80
	}
	return int(size.Col)
}

// clear removes the block, so that the story can go on in its place.
func (s *screen) clear() {
	if s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.drawn) // cursor up, erase below
		s.drawn = 0
	}
}
