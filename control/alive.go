package control

import (
	"context"
	"fmt"
)

// Alive returns nil once Run has answered, and has had the locks of the Engine and of the next hops meanwhile: a daemon
// for which it fails answers calls, if at all, but changes nothing any more. ctx bounds the wait.
func (e *Engine) Alive(ctx context.Context) error {
	answer := make(chan struct{})
	select {
	case e.alive <- answer:
	case <-ctx.Done():
		return fmt.Errorf("the engine's loop does not answer: %w", context.Cause(ctx))
	}
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the engine is stuck in a change: %w", context.Cause(ctx))
	}
}

// answerAlive answers as soon as a change could be made.
func (e *Engine) answerAlive(answer chan<- struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hops.Hops(nil)
	close(answer)
}
