package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

// load makes programs and maps for o, filled and attached to nothing yet. Everything that o decides is new, so that
// attaching the programs changes all of it at once; counters and refused sources are those of the agent before.
func load(o Options) (*bpfObjects, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raising the limit of locked memory: %w", err)
	}
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("reading the built-in programs: %w", err)
	}
	if err := specialise(spec, o); err != nil {
		return nil, err
	}
	kept, err := keptMaps(spec, o.BPFFSDir, o.Log)
	if err != nil {
		return nil, err
	}
	objects := &bpfObjects{}
	err = spec.LoadAndAssign(objects, &ebpf.CollectionOptions{MapReplacements: kept})
	for _, m := range kept {
		m.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("loading programs: %w", err)
	}
	if err := fill(objects, o); err != nil {
		return nil, errors.Join(err, objects.Close())
	}
	return objects, nil
}

func specialise(spec *ebpf.CollectionSpec, o Options) error {
	sizes := map[string]int{}
	for _, vip := range o.VIPs {
		sizes[byFamily(vip, bpfMapVipsV4, bpfMapVipsV6)]++
	}
	for _, p := range o.From {
		sizes[byFamily(p.Addr(), bpfMapSourcesV4, bpfMapSourcesV6)]++
	}
	for name, n := range sizes {
		spec.Maps[name].MaxEntries = uint32(n)
	}
	return errors.Join(
		spec.Variables[bpfVarHasV4].Set(o.has(true)),
		spec.Variables[bpfVarHasV6].Set(o.has(false)),
	)
}

func byFamily[T any](a netip.Addr, v4, v6 T) T {
	if a.Is4() {
		return v4
	}
	return v6
}

// keptMaps opens the pinned maps that outlive a program. One whose layout has changed starts again.
func keptMaps(spec *ebpf.CollectionSpec, dir string, log *slog.Logger) (map[string]*ebpf.Map, error) {
	kept := map[string]*ebpf.Map{}
	for _, name := range []string{bpfMapCounters, bpfMapRefused} {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("opening pinned map %q: %w", name, err)
		}
		if err := spec.Maps[name].Compatible(m); err != nil {
			log.Warn("counters start at zero", "map", name, "err", err)
			m.Close()
			continue
		}
		kept[name] = m
	}
	return kept, nil
}

func fill(objects *bpfObjects, o Options) error {
	const present = uint32(1)
	for _, vip := range o.VIPs {
		var err error
		if vip.Is4() {
			err = objects.VipsV4.Put(vip.As4(), present)
		} else {
			err = objects.VipsV6.Put(vip.As16(), present)
		}
		if err != nil {
			return fmt.Errorf("storing VIP %q: %w", vip, err)
		}
	}
	for _, p := range o.From {
		var err error
		if p.Addr().Is4() {
			err = objects.SourcesV4.Put(bpfPrefixV4{Bits: uint32(p.Bits()), Octets: p.Addr().As4()}, present)
		} else {
			err = objects.SourcesV6.Put(bpfPrefixV6{Bits: uint32(p.Bits()), Octets: p.Addr().As16()}, present)
		}
		if err != nil {
			return fmt.Errorf("storing outer source %q: %w", p, err)
		}
	}
	return nil
}

// pinMaps makes the maps that `--status` and the next agent read outlive this process.
func pinMaps(objects *bpfObjects, dir string) error {
	return errors.Join(
		repin(objects.Counters, filepath.Join(dir, bpfMapCounters)),
		repin(objects.Refused, filepath.Join(dir, bpfMapRefused)),
		repin(objects.Limits, filepath.Join(dir, bpfMapLimits)),
	)
}
