package bench

import (
	"errors"
	"fmt"

	"github.com/sluice-lb/sluice/lb"
)

// Step is one frame of a Walk.
type Step struct {
	// Place in the stream, from 0.
	Place int
	// In is the frame that the program was shown, Out what it left. Both are valid only during the visit.
	In, Out []byte
	// Action is what the program returned.
	Action lb.Action
}

// Walk shows each frame of the stream once, in order, to the target, as a replay does, and visits what came out. It
// needs root.
func Walk(t Target, s *Stream, visit func(Step) error) (err error) {
	form, err := fit(t.Program)
	if err != nil {
		return err
	}
	r, err := newReplayer(s, form)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.aim(t.Program); err != nil {
		return err
	}
	buffer := make([]byte, MaxFrame+256)
	for i := range s.Len() {
		action, out, handled, err := r.show(i, 1, buffer)
		if err != nil {
			return fmt.Errorf("frame %d of %s: %w", i, s.Name, err)
		}
		if handled.Laid != 1 {
			return fmt.Errorf("frame %d of %s: was laid %d times", i, s.Name, handled.Laid)
		}
		if err := visit(Step{Place: i, In: s.Frame(i), Out: out, Action: action}); err != nil {
			return err
		}
	}
	return nil
}
