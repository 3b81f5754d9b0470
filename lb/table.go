package lb

// NoOwner marks a slot that no backend owns.
const NoOwner = 0xffff

// Table is a pool's slot table: a pure function of the seed and the pool, the same on every node and every architecture.
type Table struct {
	// Owners maps a slot to an index into the pool's normalized Backends, or NoOwner. Its length is Pool.SlotCount.
	Owners []uint16
}
