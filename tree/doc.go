// Package tree is the live context tree of one node: which contexts there are, their settings, the latest sample of every
// variable, and how readers learn of changes.
//
// It owns the memory layout (pointer-free slots for scalars, one ring of recent samples), the order of changes (change numbers) and of
// samples (positions), and the overlays that make everything behind a cut link stale without touching a sample. It does not own durability
// (package store), rights (package access) or the wire form (package proto), and it starts no goroutine.
//
// # What readers may rely on
//
// A wide Reader sees every published sample in order of publication while it stays within the ring. One that was lapped is told so and
// gets each slot that changed since, once, with its latest sample; then it is within the ring again. A narrow Watcher sees every
// sample of its slots until it falls behind by its queue, then the latest of each.
//
// Structure and settings change in the order of change numbers. A reader that asks for the changes since number N gets, for every
// context that changed later, its latest state once, in ascending order, and tombstones for what was removed down to a horizon.
package tree
