package lb

import (
	"crypto/sha256"
	"encoding/binary"
)

// identity is what the seed makes of a backend's name. Nothing else about a backend decides which slots it prefers, so
// neither its place in the document nor its address matters.
type identity struct {
	// offset and skip are its permutation of the slots: offset, offset+skip, offset+2*skip and so on, modulo the size.
	// skip is odd and the size a power of two, so that every slot comes once.
	offset, skip uint32
	// overlay is its key in the rendezvous overlay.
	overlay uint64
}

// identify derives the identities of backends.
func identify(seed Seed, backends []Backend) []identity {
	var buf []byte
	buf = binary.LittleEndian.AppendUint64(buf, seed.key("backend"))
	prefix := len(buf)
	out := make([]identity, len(backends))
	for i, b := range backends {
		buf = append(buf[:prefix], b.Name...)
		sum := sha256.Sum256(buf)
		out[i] = identity{
			offset:  binary.LittleEndian.Uint32(sum[0:]),
			skip:    binary.LittleEndian.Uint32(sum[4:]) | 1,
			overlay: binary.LittleEndian.Uint64(sum[8:]),
		}
	}
	return out
}

// fillMaglev gives every slot of owners a backend by Maglev hashing (Eisenbud et al., NSDI 2016): backends take turns,
// and at its turn a backend takes the first slot of its permutation that is still free. The prime size of the paper is
// replaced by a power of two and odd skips: as balanced, as stable, and without a division per packet.
//
// The turn k, from 0, of a backend of weight w comes at time (2k+1)/2w, ties in the order of names: at equal weights
// that is round robin, otherwise a backend takes a turn every max_w/w rounds. Starting half a period in rounds shares to
// the nearest slot (Webster's method) however long the table is. Where all weights are 0 every slot stays NoOwner.
func fillMaglev(owners []uint16, backends []Backend, ids []identity) {
	mask := uint32(len(owners) - 1)
	next := make([]uint32, len(backends))
	turns := newTurns(backends)
	for s := range owners {
		owners[s] = NoOwner
	}
	for i, id := range ids {
		next[i] = id.offset & mask
	}
	if len(turns.heap) == 0 {
		return
	}
	for range owners {
		i := turns.take()
		s := next[i]
		for owners[s] != NoOwner {
			s = (s + ids[i].skip) & mask
		}
		owners[s] = i
		next[i] = (s + ids[i].skip) & mask
	}
}

// turns says whose turn is next: a binary heap, smallest key on top. The obvious alternative, asking every backend in
// every round, takes max_w/average_w steps for each slot: thousands, where one backend outweighs a thousand others.
type turns struct {
	// heap holds one key for each backend with weight: time of its next turn << 16 | index.
	heap []uint64
	// taken counts turns, weight is the backends', both by index.
	taken, weight []uint32
}

// turnShift scales turn times: 2*MaxSlots << turnShift << 16 stays below 2^64, and a period is at least 2^28 / MaxWeight,
// some 4,000, units.
const turnShift = 28

func newTurns(backends []Backend) *turns {
	t := &turns{taken: make([]uint32, len(backends)), weight: make([]uint32, len(backends))}
	for i, b := range backends {
		t.weight[i] = b.Weight
		if b.Weight > 0 {
			t.heap = append(t.heap, t.key(uint16(i)))
		}
	}
	for i := len(t.heap)/2 - 1; i >= 0; i-- {
		t.sift(i)
	}
	return t
}

// key is the heap key of the next turn of backend i.
func (t *turns) key(i uint16) uint64 {
	time := (2*uint64(t.taken[i]) + 1) << turnShift / uint64(t.weight[i])
	return time<<16 | uint64(i)
}

// take returns the backend whose turn it is.
func (t *turns) take() uint16 {
	i := uint16(t.heap[0])
	t.taken[i]++
	t.heap[0] = t.key(i)
	t.sift(0)
	return i
}

// sift moves the key at i down to where no child is smaller.
func (t *turns) sift(i int) {
	h := t.heap
	k := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if h[child] >= k {
			break
		}
		h[i] = h[child]
		i = child
	}
	h[i] = k
}
