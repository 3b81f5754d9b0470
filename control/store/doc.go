// Package store keeps what a node must not forget: the committed configuration with its place in the data plane's maps,
// the change that is under way, and the cluster's seed.
//
// A state directory holds
//
//	lock           held by the running daemon, with its process id
//	seed           the seed, 32 hex digits, mode 0600; absent where the seed comes from elsewhere
//	sluice.db      the store (bbolt)
//	sluice.db.bak  a copy of it, at most a minute older
//
// The store has two records, "pending" and "committed". Each holds one state without its slot tables, which are a pure
// function of configuration and seed. The order in which they are written is the engine's business.
//
// A store that cannot be trusted is never repaired and never overwritten: Open returns a *CorruptError that says what
// is wrong and how to restore the backup.
package store
