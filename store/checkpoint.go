package store

import (
	"context"
	"time"

	"banyan/model"
	wire "banyan/proto"
	"banyan/tree"
)

// CheckpointConfig is the configuration of a Checkpoint.
type CheckpointConfig struct {
	Store *Store
	Tree  *tree.Tree
	// Every is how often last values are saved, default 30 s. A crash takes what is younger; more often costs writing every value that
	// changed each time.
	Every time.Duration
}

// Checkpoint saves the last values of variables, own ones in values.db and mirrored ones in their mount's file, and brings them back after a
// restart: uncertain and stale, with their old source time. It is a cache and no record: a crash loses what changed since the last time.
type Checkpoint struct {
	cfg     CheckpointConfig
	reader  *tree.Reader
	changed []uint64 // a bit for each slot
	full    bool     // the disk had no room for all of them
}

// NewCheckpoint makes a Checkpoint. Restore comes next, once, then Run.
func NewCheckpoint(cfg CheckpointConfig) *Checkpoint {
	if cfg.Every == 0 {
		cfg.Every = 30 * time.Second
	}
	return &Checkpoint{cfg: cfg}
}

// Restore publishes the saved values of contexts that are in the tree with the schema of then, and forgets those of others. It returns how
// many samples there were. A file that cannot be read costs its values.
func (c *Checkpoint) Restore() (samples int) {
	own := c.cfg.Store.values
	own.io.Lock()
	defer own.io.Unlock()
	if own.session != nil {
		n, err := c.restore(own.session, model.Root)
		samples += n
		if err != nil {
			own.log.Warn("last values cannot be read", "error", err)
		}
	}
	for _, m := range c.cfg.Store.mirrors.all() {
		n, err := c.restoreMirror(m)
		samples += n
		if err != nil {
			m.log.Warn("last values cannot be read", "error", err)
		}
	}
	// What comes from now on is to be saved, and what has just come back need not be.
	c.reader = c.cfg.Tree.NewReader()
	return samples
}

func (c *Checkpoint) restoreMirror(m *Mirror) (int, error) {
	m.io.Lock()
	defer m.io.Unlock()
	if m.session == nil {
		return 0, nil
	}
	return c.restore(m.session, *m.path.Load())
}

// restore publishes the samples of one file, which lie below path.
func (c *Checkpoint) restore(s *session, path model.Path) (restored int, err error) {
	var batch tree.Batch
	var packed wire.Samples
	err = readSamples(s, func(row *sampleRow) bool {
		whole, err := path.Join(row.path)
		if err != nil {
			return false
		}
		at, there := c.cfg.Tree.Lookup(whole)
		if !there || at.ID != row.id || at.Schema.Hash != row.schema || packed.Decode(row.body) != nil {
			return false
		}
		addStale(&batch, &packed, &at)
		if len(batch.Slots) >= wire.MaxSamples {
			restored += len(batch.Slots)
			c.cfg.Tree.Publish(&batch)
			batch.Reset()
		}
		return true
	})
	restored += len(batch.Slots)
	c.cfg.Tree.Publish(&batch)
	return restored, err
}

// addStale appends the samples of a context as they come back: stale where they were good.
func addStale(batch *tree.Batch, packed *wire.Samples, at *tree.Context) {
	boxed := packed.Boxed
	for i, key := range packed.Keys {
		if key == 0 || key > at.Slots.Count {
			continue
		}
		variable := &at.Schema.Variables[key-1]
		sample := model.Sample{Source: packed.Source[i], Owner: packed.Owner[i]}
		code := uint16(0)
		if len(packed.Quality) > 0 {
			code = packed.Quality[i]
		}
		for len(boxed) > 0 && boxed[0].Index < i {
			boxed = boxed[1:]
		}
		switch {
		case code&tree.NoValue != 0:
		case variable.Type.IsScalar():
			sample.Value = model.Scalar(variable.Type, packed.Bits[i])
		case len(boxed) > 0 && boxed[0].Index == i && boxed[0].Value.Type() == variable.Type:
			sample.Value = boxed[0].Value
		}
		sample.Quality = model.QualityFromCode(code &^ tree.NoValue)
		if sample.Quality.Level == model.Good {
			sample.Quality = model.QualityStale
		}
		batch.Add(at.Slots.First+tree.Slot(key-1), sample)
	}
}

// Run saves what changed, every so often and once more when ctx ends.
func (c *Checkpoint) Run(ctx context.Context) error {
	if c.reader == nil {
		c.reader = c.cfg.Tree.NewReader()
	}
	defer c.reader.Close()
	ticker := time.NewTicker(c.cfg.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.save()
		case <-ctx.Done():
			c.save()
			return nil
		}
	}
}

// save writes the contexts of which a sample came since the last time, and those for which there was no room then.
func (c *Checkpoint) save() {
	if !c.collect() && !c.full {
		return
	}
	c.full = false
	rows := map[*Mirror][]sampleRow{} // nil: own
	var contexts []tree.Context
	flush := func() {
		c.pack(contexts, rows)
		contexts = contexts[:0]
		for m, saved := range rows {
			if m == nil {
				c.full = c.cfg.Store.values.write(saved) || c.full
			} else {
				c.full = m.saveSamples(saved) || c.full
			}
		}
		clear(rows)
	}
	for _, at := range c.touched() {
		if contexts = append(contexts, at); len(contexts) == loadChunk {
			flush()
		}
	}
	flush()
	if !c.full {
		clear(c.changed)
	}
}

// collect marks the slots that got a sample, up to the ring's head of now. Where the ring has passed the reader, as it mostly has, each
// slot is told once.
func (c *Checkpoint) collect() (any bool) {
	for head := c.cfg.Tree.Head(); c.reader.Position() < head; {
		run, more := c.reader.Next()
		if !more {
			break
		}
		for _, slot := range run.Slots {
			if slot == tree.NoSlot {
				continue
			}
			for int(slot/64) >= len(c.changed) {
				c.changed = append(c.changed, make([]uint64, 1024)...)
			}
			c.changed[slot/64] |= 1 << (slot % 64)
			any = true
		}
	}
	return any
}

// touched are the contexts that have a marked slot.
func (c *Checkpoint) touched() []tree.Context {
	var found []tree.Context
	c.cfg.Tree.Walk(model.Root, nil, func(at *tree.Context) bool {
		for slot := at.Slots.First; slot < at.Slots.First+tree.Slot(at.Slots.Count); slot++ {
			if int(slot/64) < len(c.changed) && c.changed[slot/64]&(1<<(slot%64)) != 0 {
				found = append(found, *at)
				break
			}
		}
		return true
	})
	return found
}

// pack encodes the latest samples of contexts, by the file that they belong to.
func (c *Checkpoint) pack(contexts []tree.Context, to map[*Mirror][]sampleRow) {
	indexes := make([]tree.Index, len(contexts))
	for i := range contexts {
		indexes[i] = contexts[i].Index
	}
	latest := c.cfg.Tree.LatestIn(indexes) // what a restart of its owner has left unconfirmed is kept as stale
	mounts := c.cfg.Store.mirrors.byPath()
	var packed wire.Samples
	next := 0 // in latest, whose slots come in the order of contexts
	for i := range contexts {
		at := &contexts[i]
		packed.Reset()
		for next < len(latest.Slots) && latest.Slots[next]-at.Slots.First < tree.Slot(at.Slots.Count) {
			addLatest(&packed, &latest, next, uint32(latest.Slots[next]-at.Slots.First))
			next++
		}
		m, path, known := fileOf(at, mounts)
		if !known || len(packed.Keys) == 0 {
			continue
		}
		to[m] = append(to[m], sampleRow{path, at.ID, at.Schema.Hash, packed.Append(nil)})
	}
}

func addLatest(packed *wire.Samples, latest *tree.Run, i int, index uint32) {
	if latest.Boxed != nil && !latest.Boxed[i].IsNone() {
		packed.Boxed = append(packed.Boxed, wire.Boxed{Index: len(packed.Keys), Value: latest.Boxed[i]})
	}
	packed.Keys = append(packed.Keys, index+1)
	packed.Bits = append(packed.Bits, latest.Bits[i])
	packed.Source = append(packed.Source, latest.Source[i])
	packed.Owner = append(packed.Owner, latest.Owner[i])
	packed.Quality = append(packed.Quality, latest.Quality[i])
}

// fileOf says in which mirror the samples of a context are kept, nil for values.db, and under which path. A mirrored context whose mount has
// no mirror is kept nowhere.
func fileOf(at *tree.Context, mounts map[model.Path]*Mirror) (m *Mirror, path model.Path, known bool) {
	if len(at.Route) == 0 {
		return nil, at.Path, true
	}
	for above := at.Path; ; above = above.Parent() {
		if m := mounts[above]; m != nil {
			below, _ := above.Below(at.Path)
			return m, below, true
		}
		if above.IsRoot() {
			return nil, model.Path{}, false
		}
	}
}

func (s *mirrorSet) byPath() map[model.Path]*Mirror {
	mounts := map[model.Path]*Mirror{}
	for _, m := range s.all() {
		mounts[*m.path.Load()] = m
	}
	return mounts
}
