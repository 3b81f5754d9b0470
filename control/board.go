package control

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluice-lb/sluice/lb"
)

const (
	// glance is how often a board looks whether another state is published, which costs one comparison.
	glance = 100 * time.Millisecond
	// reread is how often a board reads what has no publication: counters, and states of next hops.
	reread = time.Second
)

// board is a listing of the API that many watch: it is read once for all of them, and only while somebody watches. Each
// item carries the generation in which it changed last, so a watcher that slept through ten of them misses nothing and
// has nothing queued up for it.
type board[T proto.Message] struct {
	list  func() (items []T, revision uint64, err error)
	key   func(T) string
	state func() *lb.State
	// counter is the field that changes all the time; empty where there is none.
	counter protoreflect.Name

	mu       sync.Mutex // guards what follows
	watchers int
	stop     context.CancelFunc // of the loop, which runs while there are watchers
	page     page[T]
	turned   chan struct{} // closed when page is replaced
}

// page is one reading. It is never modified.
type page[T proto.Message] struct {
	generation uint64
	revision   uint64
	items      []item[T]
	state      *lb.State
	err        error
}

type item[T proto.Message] struct {
	key     string
	message T
	// content is the message without its counter, comparable.
	content string
	// changed and counted are the generations in which the message changed last, without and with its counter.
	changed, counted uint64
}

// join counts a watcher in and returns a fresh page. leave must be called, once.
func (b *board[T]) join() (fresh page[T], turned <-chan struct{}, leave func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers++
	if b.watchers == 1 {
		ctx, cancel := context.WithCancel(context.Background()) // ends when the last watcher leaves
		b.stop, b.turned, b.page = cancel, make(chan struct{}), page[T]{generation: b.page.generation}
		go b.run(ctx)
	}
	b.readLocked()
	return b.page, b.turned, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.watchers--; b.watchers == 0 {
			b.stop()
		}
	}
}

// look returns the page of now, and what is closed when it is turned.
func (b *board[T]) look() (page[T], <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.page, b.turned
}

func (b *board[T]) run(ctx context.Context) {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			b.mu.Lock()
			if ctx.Err() == nil && (b.state() != b.page.state || now.Sub(last) >= reread) {
				last = now
				b.readLocked()
			}
			b.mu.Unlock()
		}
	}
}

// readLocked turns the page where anything differs from the one before.
func (b *board[T]) readLocked() {
	state := b.state() // before the items: what is newer is read again
	messages, revision, err := b.list()
	next := page[T]{generation: b.page.generation + 1, revision: revision, state: state, err: err}
	differs := err != nil || b.page.err != nil || len(messages) != len(b.page.items)
	old := make(map[string]item[T], len(b.page.items))
	for _, i := range b.page.items {
		old[i.key] = i
	}
	for _, m := range messages {
		i := item[T]{key: b.key(m), message: m, changed: next.generation, counted: next.generation}
		if i.content, err = b.content(m); err != nil {
			next.err = err
		}
		if was, ok := old[i.key]; ok && was.content == i.content {
			i.changed = was.changed
			if proto.Equal(was.message, m) {
				i.counted = was.counted
			}
		}
		differs = differs || i.counted == next.generation
		next.items = append(next.items, i)
	}
	if !differs {
		b.page.state = state
		return
	}
	b.page = next
	close(b.turned)
	b.turned = make(chan struct{})
}

// content is that of an item.
func (b *board[T]) content(m T) (string, error) {
	r := m.ProtoReflect()
	if field := r.Descriptor().Fields().ByName(b.counter); field != nil && r.Has(field) {
		counter := r.Get(field)
		r.Clear(field)
		defer func(f protoreflect.FieldDescriptor, v protoreflect.Value) { r.Set(f, v) }(field, counter)
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("compare %s: %w", r.Descriptor().Name(), err)
	}
	return string(data), nil
}
