package tree

import (
	"sync"
	"sync/atomic"
	"time"

	"banyan/model"
)

// Config of a Tree.
type Config struct {
	// Now is the node's clock; time.Now when nil.
	Now func() time.Time
	// FirstChange is the first change number of this epoch, at least 1: one more than any that an earlier epoch gave.
	FirstChange uint64
	// RingFor is how long samples stay in the ring beyond its least size: longer lets slower readers see every sample and costs
	// 37 bytes each. Default 1 s.
	RingFor time.Duration
	// RingSamples is the most samples that the ring holds. Default 4,194,304, about 155 MB when a node publishes that many in RingFor.
	RingSamples int
	// Tombstones is how many removed contexts are remembered for readers that come back; one that was away longer compares
	// everything. Default 100,000.
	Tombstones int
}

func (c *Config) setDefaults() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.FirstChange == 0 {
		c.FirstChange = 1
	}
	if c.RingFor == 0 {
		c.RingFor = time.Second
	}
	if c.RingSamples == 0 {
		c.RingSamples = 4 << 20
	}
	if c.Tombstones == 0 {
		c.Tombstones = 100_000
	}
}

// Tree is the live tree of a node. All methods may be called by several goroutines.
type Tree struct {
	clock func() time.Time

	// mu guards what contexts there are: contexts, changes, overlays. It is taken before samples.
	mu       sync.RWMutex
	contexts contextTable
	changes  changeLog
	overlays overlaySet

	// samples guards slots, ring (but its head) and watchers.
	samples      sync.Mutex
	slots        slotTable
	ring         ring
	watchers     map[Slot][]*Watcher
	narrowToWake []*Watcher

	// readersMu serialises changes of readers, which publishers read without it.
	happened  atomic.Uint64 // counts what readers are woken for
	readersMu sync.Mutex
	readers   atomic.Pointer[[]*Reader]
}

// New makes an empty tree.
func New(cfg Config) *Tree {
	cfg.setDefaults()
	t := &Tree{
		clock:    cfg.Now,
		contexts: newContextTable(),
		changes:  changeLog{next: cfg.FirstChange, mostTombstones: cfg.Tombstones},
		ring:     ring{keepFor: cfg.RingFor, maxChunks: max(keepChunks, cfg.RingSamples/chunkSamples)},
		watchers: make(map[Slot][]*Watcher),
	}
	t.ring.head.Store(firstPosition)
	t.changes.head.Store(t.changes.visible())
	t.readers.Store(&[]*Reader{})
	return t
}

func (t *Tree) now() model.Time { return model.TimeOf(t.clock()) }
