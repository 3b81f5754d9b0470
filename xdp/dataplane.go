package xdp

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/sluice-lb/sluice/lb"
)

// Dataplane is the loaded data plane. Its methods may be called from any goroutine.
type Dataplane struct {
	options Options
	cpus    int
	log     *slog.Logger
	lock    *os.File
	// fresh says that the maps are new: an attached program, if there is one, still uses others until Attach.
	fresh    bool
	programs map[string]*ebpf.Program // by interface
	grace    *gracePeriod
	// explained is the record of explain; instances for interfaces name it, but never use it.
	explained *ebpf.Map
	explain   *explainer // its memory is guarded by mu

	mu       sync.Mutex // guards what follows, and the writing of tables
	tables   *tables
	state    *lb.State // what the maps hold; nil before Adopt or Publish
	attached []*attachment
}

// Published is the number of the publication that packets see; 0 when the maps are new.
func (d *Dataplane) Published() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tables.selected() >> 1
}

// Adopt takes over what pinned maps hold. It fails where they do not hold what state says, and changes nothing then.
func (d *Dataplane) Adopt(state *lb.State) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != nil {
		return errors.New("adopting state: there is one already")
	}
	if err := d.checkLocked(state); err != nil {
		return fmt.Errorf("adopting publication %d: %w", state.Publication, err)
	}
	d.state = state
	d.renumberEgress(state)
	return nil
}

// renumberEgress brings the descriptors up to date where an interface has become managed, or is no longer, since they
// were written. One byte each: a packet sees the old number or the new one.
func (d *Dataplane) renumberEgress(state *lb.State) {
	for _, place := range state.Layout.Backends {
		d.tables.backends.values[place.Index].Interface = d.egressNumber(place)
	}
}

// Program is the instance for an interface, for tests and benchmarks that run it; nil for an unknown name.
func (d *Dataplane) Program(iface string) *ebpf.Program { return d.programs[iface] }

// Map is one of the maps by the name it has in bpf/maps.h; nil for an unknown name.
func (d *Dataplane) Map(name string) *ebpf.Map { return d.tables.maps[name] }

// Close releases everything of this process. What is pinned stays and goes on forwarding.
func (d *Dataplane) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, a := range d.attached {
		errs = append(errs, a.link.Close())
	}
	for _, p := range d.programs {
		errs = append(errs, p.Close())
	}
	if d.explain != nil {
		errs = append(errs, d.explain.close())
	}
	if d.explained != nil {
		errs = append(errs, d.explained.Close())
	}
	if d.grace != nil {
		errs = append(errs, d.grace.close())
	}
	if d.tables != nil {
		errs = append(errs, d.tables.close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}
