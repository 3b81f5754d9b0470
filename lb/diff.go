package lb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ChangeKind is what happened to an object.
type ChangeKind uint8

// The kinds of changes.
const (
	Created ChangeKind = iota + 1
	Configured
	Deleted
)

// String is the word that lbctl prints.
func (k ChangeKind) String() string {
	switch k {
	case Created:
		return "created"
	case Configured:
		return "configured"
	case Deleted:
		return "deleted"
	}
	return fmt.Sprintf("change(%d)", uint8(k))
}

// Change is one difference between two configurations.
type Change struct {
	Kind ChangeKind
	// Object is "vip/NAME", "pool/NAME" or "backend/POOL/NAME".
	Object string
	// Detail is "field: old -> new", comma-separated. It is empty unless Kind is Configured, and for a pool whose own
	// fields stay while its backends' move slots.
	Detail string
	// SlotsMoved is how many slots of a pool that stays change owner, by name. Where the size of the table changes it
	// counts slots of the larger one.
	SlotsMoved int
}

// Diff lists what leads from one configuration to another, sorted by Object. The tables, by pool name, are those that
// BuildTable makes of the two. The result is empty where the configurations mean the same.
func Diff(old, new Config, oldTables, newTables map[string]*Table) []Change {
	old, new = old.Normalize(), new.Normalize()
	moved := func(was, is Pool) int { return slotsMoved(was, is, oldTables[was.Name], newTables[is.Name]) }
	changes := diffObjects(old.Pools, new.Pools, poolObject, poolDetail, moved)
	changes = append(changes, diffObjects(old.VIPs, new.VIPs, vipObject, vipDetail, nil)...)
	changes = append(changes, diffObjects(placed(old), placed(new), backendObject, backendDetail, nil)...)
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Object, b.Object) })
	return changes
}

// diffObjects compares objects of one type. moved is nil where the type has no slots.
func diffObjects[T any](old, new []T, object func(T) string, detail func(old, new T) string, moved func(old, new T) int) []Change {
	var changes []Change
	before := make(map[string]T, len(old))
	for _, o := range old {
		before[object(o)] = o
	}
	for _, n := range new {
		name := object(n)
		o, stays := before[name]
		delete(before, name)
		if !stays {
			changes = append(changes, Change{Kind: Created, Object: name})
			continue
		}
		c := Change{Kind: Configured, Object: name, Detail: detail(o, n)}
		if moved != nil {
			c.SlotsMoved = moved(o, n)
		}
		if c.Detail != "" || c.SlotsMoved > 0 {
			changes = append(changes, c)
		}
	}
	for name := range before {
		changes = append(changes, Change{Kind: Deleted, Object: name})
	}
	return changes
}

// placedBackend is a backend with the name of its pool.
type placedBackend struct {
	pool string
	Backend
}

func placed(c Config) []placedBackend {
	var out []placedBackend
	for _, p := range c.Pools {
		for _, b := range p.Backends {
			out = append(out, placedBackend{p.Name, b})
		}
	}
	return out
}

func vipObject(v VIP) string               { return "vip/" + v.Name }
func poolObject(p Pool) string             { return "pool/" + p.Name }
func backendObject(b placedBackend) string { return "backend/" + BackendKey(b.pool, b.Name) }

func vipDetail(old, new VIP) string {
	var d details
	d.field("address", old.Address.String(), new.Address.String())
	d.field("protocol", old.Protocol.String(), new.Protocol.String())
	d.field("ports", formatPorts(old.Ports), formatPorts(new.Ports))
	d.field("pool", old.Pool, new.Pool)
	return d.String()
}

func poolDetail(old, new Pool) string {
	var d details
	d.field("encap", old.Encap.String(), new.Encap.String())
	d.field("slots", formatSlots(old), formatSlots(new))
	d.field("drain_max", old.drainMax().String(), new.drainMax().String())
	d.field("drain_idle", old.drainIdle().String(), new.drainIdle().String())
	d.field("health", old.Health.String(), new.Health.String())
	d.field("panic_threshold", formatPanic(old), formatPanic(new))
	return d.String()
}

func backendDetail(old, new placedBackend) string {
	var d details
	d.field("address", old.Address.String(), new.Address.String())
	d.field("weight", strconv.Itoa(int(old.Weight)), strconv.Itoa(int(new.Weight)))
	d.field("encap", formatOverride(old.Encap), formatOverride(new.Encap))
	d.field("scale", formatScale(old.Scale), formatScale(new.Scale))
	d.field("admin", old.Admin.String(), new.Admin.String())
	return d.String()
}

// details collects "field: old -> new".
type details []string

func (d *details) field(name, old, new string) {
	if old != new {
		*d = append(*d, name+": "+old+" -> "+new)
	}
}

func (d details) String() string { return strings.Join(d, ", ") }

// formatPorts separates with spaces, because details are separated with commas.
func formatPorts(ports []uint16) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = strconv.Itoa(int(p))
	}
	return "[" + strings.Join(words, " ") + "]"
}

// formatSlots prints the size in use and whether it was chosen by default.
func formatSlots(p Pool) string {
	if p.Slots == 0 {
		return fmt.Sprintf("%d (default)", p.SlotCount())
	}
	return strconv.Itoa(int(p.Slots))
}

func formatPanic(p Pool) string { return fmt.Sprintf("%d%%", p.PanicThreshold.Percent()) }

// formatOverride names the lack of an override too.
func formatOverride(o EncapOverride) string {
	if o == 0 {
		return "pool's"
	}
	return o.String()
}

// formatScale prints thousandths as a decimal number: 1, 0.5, 0.125.
func formatScale(s Scale) string {
	return strconv.FormatFloat(float64(s)/float64(ScaleOne), 'f', -1, 64)
}

// slotsMoved counts slots whose owner has another name. A flow's slot is its hash modulo the size, so slot s of a small
// table covers slots s, s+size, s+2*size and so on of a larger one.
func slotsMoved(oldPool, newPool Pool, old, new *Table) int {
	if old == nil || new == nil || len(old.Owners) == 0 || len(new.Owners) == 0 {
		return 0
	}
	// same[i] is the index in newPool of oldPool.Backends[i], or NoOwner-1 where it has gone.
	same := make([]uint16, len(oldPool.Backends))
	for i, b := range oldPool.Backends {
		same[i] = NoOwner - 1
		if j, found := slices.BinarySearchFunc(newPool.Backends, b.Name, compareBackendName); found {
			same[i] = uint16(j)
		}
	}
	moved := 0
	for s := range max(len(old.Owners), len(new.Owners)) {
		was, is := old.Owners[s%len(old.Owners)], new.Owners[s%len(new.Owners)]
		if was != NoOwner {
			was = same[was]
		}
		if was != is {
			moved++
		}
	}
	return moved
}

func compareBackendName(b Backend, name string) int { return strings.Compare(b.Name, name) }
