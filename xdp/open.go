package xdp

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

// Open loads the data plane: it adopts the pinned maps, or makes new ones where there are none or their sizes differ, and
// loads one instance of the program for each interface. It attaches nothing; the caller calls Adopt or Publish first,
// then Attach.
func Open(o Options) (*Dataplane, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("opening data plane: %w", err)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("opening data plane: %w", err)
	}
	d := &Dataplane{options: o, cpus: cpus, log: o.Log, programs: map[string]*ebpf.Program{}}
	if err := d.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening data plane: %w", err), d.Close())
	}
	return d, nil
}

func (d *Dataplane) open() error {
	// Before 5.11 maps count against RLIMIT_MEMLOCK.
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raising memlock: %w (needs root or CAP_SYS_RESOURCE)", err)
	}
	mounted, err := ensureBPFFS(d.options.BPFFSDir)
	if err != nil {
		return err
	}
	if mounted {
		d.log.Info("bpffs mounted", "path", defaultBPFFS)
	}
	if d.lock, err = lockDir(d.options.BPFFSDir); err != nil {
		return err
	}
	spec, err := loadBpf()
	if err != nil {
		return fmt.Errorf("reading program: %w", err)
	}
	if err := d.openMaps(spec); err != nil {
		return err
	}
	if d.grace, err = newGracePeriod(); err != nil {
		return err
	}
	if d.explained, err = ebpf.NewMap(spec.Maps[explainedMap]); err != nil {
		return fmt.Errorf("creating map %s: %w", explainedMap, err)
	}
	if err := d.loadPrograms(spec); err != nil {
		return err
	}
	return d.loadExplainer(spec)
}

// openMaps adopts the pinned maps or makes new ones. New maps that replace others are pinned only by Attach, once the
// attached program uses them.
func (d *Dataplane) openMaps(spec *ebpf.CollectionSpec) error {
	specs := mapSpecs(spec, d.options.Limits, d.cpus)
	dir := d.options.BPFFSDir
	opened, err := loadPinned(dir, specs)
	if err == nil && !d.linksUse(opened) {
		closeMaps(opened)
		err = errors.New("the attached program uses other maps: a change of limits was interrupted")
	}
	if err != nil {
		if !errors.Is(err, errNoPins) {
			d.log.Warn("pinned maps cannot be adopted, new ones take over", "err", err)
		}
		d.fresh = true
		if opened, err = createMaps(specs); err != nil {
			return err
		}
	}
	if d.tables, err = mapTables(opened); err != nil {
		return err
	}
	return d.tables.assignNumbers(d.options.Interfaces)
}

// loadPrograms loads one instance for each interface, all over the same maps.
func (d *Dataplane) loadPrograms(spec *ebpf.CollectionSpec) error {
	for _, name := range d.options.Interfaces {
		number, _ := d.tables.number(name)
		p, err := d.loadInstance(spec, map[string]any{
			"interface_number": uint32(number),
			"count_seen":       boolKnob(d.options.CountSeen),
		})
		if err != nil {
			return fmt.Errorf("loading program for interface %q: %w", name, err)
		}
		d.programs[name] = p
	}
	return nil
}

// loadInstance loads the program over the maps, with these knobs and those that all instances share.
func (d *Dataplane) loadInstance(spec *ebpf.CollectionSpec, own map[string]any) (*ebpf.Program, error) {
	s := spec.Copy()
	dropNames(s)
	replacements := map[string]*ebpf.Map{explainedMap: d.explained}
	for mapName := range s.Maps {
		if m := d.tables.maps[mapName]; m != nil {
			replacements[mapName] = m
			s.Maps[mapName].MaxEntries = m.MaxEntries()
		}
	}
	key0, key1 := d.options.Seed.FlowHasher().Keys()
	knobs := map[string]any{
		"vip_stride":     vipStride(d.options.Limits),
		"backend_stride": backendStride(d.options.Limits),
		"flow_key0":      key0,
		"flow_key1":      key1,
		"unmatched_drop": boolKnob(d.options.UnmatchedDrop),
		"source_entropy": boolKnob(d.options.SourceEntropy),
	}
	maps.Copy(knobs, own)
	for knob, value := range knobs {
		if err := s.Variables[knob].Set(value); err != nil {
			return nil, fmt.Errorf("setting knob %s: %w", knob, err)
		}
	}
	maps.DeleteFunc(s.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return name != "sluice" })
	c, err := ebpf.NewCollectionWithOptions(s, ebpf.CollectionOptions{MapReplacements: replacements})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.DetachProgram("sluice"), nil
}

// dropNames removes the variables that are there only to make bpf2go see the enums, and their map.
func dropNames(s *ebpf.CollectionSpec) {
	delete(s.Maps, ".bss")
	maps.DeleteFunc(s.Variables, func(name string, _ *ebpf.VariableSpec) bool { return strings.HasPrefix(name, "unused_") })
}

func boolKnob(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
