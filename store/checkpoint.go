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
	cfg   CheckpointConfig
	since uint64 // everything that was published before this position is saved, or need not be
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
	c.since = c.cfg.Tree.Head()
	return samples
}

func (c *Checkpoint) restoreMirror(m *Mirror) (int, error) {
	m.io.Lock()
	defer m.io.Unlock()
	m.rouse()
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

// saving is the memory of a save, which would be made anew for each part of it otherwise.
type saving struct {
	mounts   map[model.Path]*Mirror // as of before the first part was read: none that was made since is taken for one that was there
	contexts []tree.Context
	latest   tree.Run // what a restart of its owner has left unconfirmed is kept as stale
	packed   wire.Samples
	bodies   []byte
	rows     map[*Mirror][]sampleRow // nil: own
}

// save writes the contexts of which a sample came since the last time; where there was no room for all of them, since the time before.
func (c *Checkpoint) save() {
	head, full := c.cfg.Tree.Head(), false
	if head == c.since {
		return
	}
	s := &saving{mounts: c.cfg.Store.mirrors.byPath(), rows: map[*Mirror][]sampleRow{}}
	for at := tree.Index(0); ; {
		s.contexts, at = c.cfg.Tree.LatestSince(at, c.since, loadChunk, s.contexts, &s.latest)
		s.pack()
		for m, rows := range s.rows {
			switch {
			case len(rows) == 0:
			case m == nil:
				full = c.cfg.Store.values.write(rows) || full
			default:
				full = m.saveSamples(rows) || full
			}
		}
		if at == 0 {
			break
		}
	}
	if !full {
		c.since = head
	}
}

// pack encodes the latest samples of contexts, by the file that they belong to.
func (s *saving) pack() {
	for m, rows := range s.rows {
		s.rows[m] = rows[:0]
	}
	s.bodies = s.bodies[:0]
	next := 0 // in latest, whose slots come in the order of contexts
	for i := range s.contexts {
		at := &s.contexts[i]
		s.packed.Reset()
		for next < len(s.latest.Slots) && s.latest.Slots[next]-at.Slots.First < tree.Slot(at.Slots.Count) {
			addLatest(&s.packed, &s.latest, next, uint32(s.latest.Slots[next]-at.Slots.First))
			next++
		}
		m, path, known := fileOf(at, s.mounts)
		if !known || len(s.packed.Keys) == 0 {
			continue
		}
		begin := len(s.bodies)
		s.bodies = s.packed.Append(s.bodies) // rows keep what they have where it moves
		s.rows[m] = append(s.rows[m], sampleRow{path, at.ID, at.Schema.Hash, s.bodies[begin:len(s.bodies):len(s.bodies)]})
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
