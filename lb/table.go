package lb

// NoOwner marks a slot that no backend owns.
const NoOwner = 0xffff

// Table is a pool's slot table: a pure function of the seed and the pool, the same on every node and every architecture.
type Table struct {
	// Owners maps a slot to an index into the pool's normalized Backends, or NoOwner. Its length is Pool.SlotCount.
	Owners []uint16

	digest uint64
}

// BuildTable computes the slot table of p, which must be valid and normalized. Slots are shared by Weight in the base
// table (maglev.go) and by Weight times Scale after the overlay (overlay.go): a change of Scale moves only the slots that
// have to move and undoing it restores the table; a change of Weight or of the set of backends makes a new base.
//
// A backend of weight or scale 0 owns nothing. Where that is so for all of them every slot is NoOwner.
func BuildTable(seed Seed, p Pool) *Table {
	t := &Table{Owners: make([]uint16, p.SlotCount())}
	ids := identify(seed, p.Backends)
	o, wanted := newOverlay(seed, p.Backends, ids)
	if wanted {
		fillMaglev(t.Owners, p.Backends, ids)
	} else {
		for s := range t.Owners {
			t.Owners[s] = NoOwner
		}
	}
	if o != nil {
		o.apply(t.Owners)
	}
	t.digest = digest(t.Owners, p.Backends)
	return t
}

// Digest identifies the mapping from slots to names of backends: equal on nodes that agree, whatever their indexes.
func (t *Table) Digest() uint64 { return t.digest }

// digest folds the FNV-1a hashes of the owners' names, in the order of slots.
func digest(owners []uint16, backends []Backend) uint64 {
	names := make([]uint64, len(backends))
	for i, b := range backends {
		names[i] = nameHash(b.Name)
	}
	empty := nameHash("") // no name is empty
	sum := uint64(len(owners))
	for _, owner := range owners {
		name := empty
		if owner != NoOwner {
			name = names[owner]
		}
		sum = scramble(sum + golden ^ name)
	}
	return sum
}

// nameHash is FNV-1a with 64 bits.
func nameHash(name string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return h
}

// Counts tells how many slots each of n backends owns, and how many none does. n is at least the pool's number of
// backends.
func (t *Table) Counts(n int) (perBackend []int, empty int) {
	perBackend = make([]int, n)
	for _, owner := range t.Owners {
		if owner == NoOwner {
			empty++
		} else {
			perBackend[owner]++
		}
	}
	return perBackend, empty
}

// A slot word, as the data plane reads it: the owner's descriptor index in the low 20 bits, 0 where the slot is empty;
// then 5 flag bits and 7 bits of change count, both 0 in a slot that is stable.
const slotIndexMask = MaxBackendIndex

// Word is the slot word of slot s; indexes maps the pool's normalized backends to descriptor indexes.
func (t *Table) Word(s int, indexes []uint32) uint32 {
	owner := t.Owners[s]
	if owner == NoOwner {
		return 0
	}
	return indexes[owner] & slotIndexMask
}

// Words writes the slot words of all slots to out, which has room for len(t.Owners).
func (t *Table) Words(indexes, out []uint32) {
	for s := range t.Owners {
		out[s] = t.Word(s, indexes)
	}
}
