package xdp

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/sluice-lb/sluice/lb"
)

// schema is the version of the map layouts of bpf/types.h. Pins lie under it, so that a daemon with other layouts does
// not read them as its own.
const schema = "maps/v2"

// interfacesMap holds the names of the managed interfaces, at the numbers that descriptors and counters know them by.
// The program does not read it.
const interfacesMap = "interfaces"

// egressMap leads redirected packets to interfaces, by those numbers.
const egressMap = "egress"

// tables are the maps, by name, and their memory.
type tables struct {
	maps map[string]*ebpf.Map

	root            array[bpfRoot]
	vip4            array[bpfVip4Bucket]
	vip6            array[bpfVip6Bucket]
	pools           array[bpfPool]
	slots           array[bpfSlotLine]
	previous        array[bpfSlotLine]
	stamps          array[bpfSlotLine]
	trackCounters   array[bpfTrackCounter]
	backends        array[bpfBackend]
	vipCounters     array[bpfCounter]
	backendCounters array[bpfCounter]
	verdictCounters array[bpfVerdictLine]
	interfaces      array[[16]byte]
}

// mapSpecs are the specifications of all maps under the limits.
func mapSpecs(spec *ebpf.CollectionSpec, limits lb.Limits, cpus int) map[string]*ebpf.MapSpec {
	flows4, flows6 := limits.Flows()
	sizes := map[string]uint32{
		"flows4":           flows4,
		"flows6":           flows6,
		"previous":         limits.Slots / lb.SlotsPerLine,
		"stamps":           limits.Slots / lb.SlotsPerLine,
		"track_counters":   uint32(cpus),
		"root":             1,
		"vip4":             2 * vipBuckets(limits, int(bpfSizesVIP4WAYS)),
		"vip6":             2 * vipBuckets(limits, int(bpfSizesVIP6WAYS)),
		"pools":            2 * limits.Pools(),
		"slots":            limits.Slots / lb.SlotsPerLine,
		"backends":         limits.Backends + 1,
		"vip_counters":     uint32(cpus) * vipStride(limits),
		"backend_counters": uint32(cpus) * backendStride(limits),
		"verdict_counters": uint32(cpus * MaxInterfaces),
		egressMap:          uint32(MaxInterfaces),
	}
	out := map[string]*ebpf.MapSpec{
		interfacesMap: {
			Name: interfacesMap, Type: ebpf.Array, KeySize: 4, ValueSize: 16,
			MaxEntries: uint32(MaxInterfaces), Flags: spec.Maps["root"].Flags,
		},
	}
	for name, size := range sizes {
		s := spec.Maps[name].Copy()
		s.MaxEntries = size
		out[name] = s
	}
	return out
}

// vipBuckets is the size of one copy of a VIP table.
func vipBuckets(limits lb.Limits, ways int) uint32 {
	return uint32(lb.VIPBuckets(limits.VIPEntries(), ways))
}

// Counter line 0 is nobody's.
func vipStride(limits lb.Limits) uint32     { return limits.VIPs + 1 }
func backendStride(limits lb.Limits) uint32 { return limits.Backends + 1 }

// errNoPins says that no map is pinned.
var errNoPins = errors.New("no pinned maps")

// loadPinned opens the pinned maps. It returns errNoPins if there are none, and another error if they are not those that
// specs describes: some missing, or of other sizes.
func loadPinned(dir string, specs map[string]*ebpf.MapSpec) (map[string]*ebpf.Map, error) {
	out := map[string]*ebpf.Map{}
	missing := 0
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, schema, name), nil)
		if errors.Is(err, fs.ErrNotExist) {
			missing++
			continue
		}
		if err != nil {
			closeMaps(out)
			return nil, fmt.Errorf("pinned map %s: %w", name, err)
		}
		out[name] = m
		if err := specs[name].Compatible(m); err != nil {
			closeMaps(out)
			return nil, fmt.Errorf("pinned map %s: %w", name, err)
		}
	}
	switch {
	case missing == len(specs):
		return nil, errNoPins
	case missing > 0:
		closeMaps(out)
		return nil, fmt.Errorf("pinned maps: %d of %d are missing", missing, len(specs))
	}
	return out, nil
}

func createMaps(specs map[string]*ebpf.MapSpec) (map[string]*ebpf.Map, error) {
	out := map[string]*ebpf.Map{}
	for name, spec := range specs {
		m, err := ebpf.NewMap(spec)
		if err != nil {
			closeMaps(out)
			return nil, fmt.Errorf("creating map %s of %d entries: %w", name, spec.MaxEntries, err)
		}
		out[name] = m
	}
	return out, nil
}

func closeMaps(m map[string]*ebpf.Map) {
	for _, v := range m {
		v.Close()
	}
}

// pinMaps pins the maps, in place of those that are pinned.
func pinMaps(dir string, m map[string]*ebpf.Map) error {
	if err := os.MkdirAll(filepath.Join(dir, schema), 0o700); err != nil {
		return fmt.Errorf("pinning maps: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		path := filepath.Join(dir, schema, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("pinning map %s: %w", name, err)
		}
		if err := m[name].Pin(path); err != nil {
			return fmt.Errorf("pinning map %s: %w", name, err)
		}
	}
	return nil
}

// mapTables maps the memory of all maps.
func mapTables(m map[string]*ebpf.Map) (*tables, error) {
	t := &tables{maps: m}
	err := errors.Join(
		mapInto(&t.root, m["root"]),
		mapInto(&t.vip4, m["vip4"]),
		mapInto(&t.vip6, m["vip6"]),
		mapInto(&t.pools, m["pools"]),
		mapInto(&t.slots, m["slots"]),
		mapInto(&t.previous, m["previous"]),
		mapInto(&t.stamps, m["stamps"]),
		mapInto(&t.trackCounters, m["track_counters"]),
		mapInto(&t.backends, m["backends"]),
		mapInto(&t.vipCounters, m["vip_counters"]),
		mapInto(&t.backendCounters, m["backend_counters"]),
		mapInto(&t.verdictCounters, m["verdict_counters"]),
		mapInto(&t.interfaces, m[interfacesMap]),
	)
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func mapInto[T any](a *array[T], m *ebpf.Map) (err error) {
	*a, err = mapArray[T](m)
	return err
}

// close unmaps and closes everything; pins stay.
func (t *tables) close() error {
	err := errors.Join(t.root.unmap(), t.vip4.unmap(), t.vip6.unmap(), t.pools.unmap(), t.slots.unmap(), t.previous.unmap(), t.stamps.unmap(),
		t.trackCounters.unmap(), t.backends.unmap(),
		t.vipCounters.unmap(), t.backendCounters.unmap(), t.verdictCounters.unmap(), t.interfaces.unmap())
	closeMaps(t.maps)
	return err
}

// hashOverhead is what an element of a preallocated hash map takes beside key and value: struct htab_elem and its share of
// the buckets, in bytes.
const hashOverhead = 48 + 16

// memory is the size of all values in bytes.
func (t *tables) memory() uint64 {
	var sum uint64
	for _, m := range t.maps {
		value := uint64(m.ValueSize()+7) / 8 * 8
		if m.Type() == ebpf.Hash {
			value += uint64(m.KeySize()+7)/8*8 + hashOverhead
		}
		sum += uint64(m.MaxEntries()) * value
	}
	return sum
}
