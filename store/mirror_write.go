package store

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"banyan/model"
	wire "banyan/proto"

	"google.golang.org/protobuf/proto"
)

const (
	// mirrorDelay is how long changes gather before they are written, so that what changes often is written once.
	mirrorDelay = 200 * time.Millisecond
	// mostPending is how many contexts may wait before they are written at once.
	mostPending = 32_768
	// mostGone is how many removals may wait. Rows are at most as many as contexts; removals of what comes and goes beside a disk that
	// hangs are not.
	mostGone = 1_000_000
	// mostMirrorTombstones is how many removals a mirror remembers.
	mostMirrorTombstones = 100_000
	// mostMirrorLog is how long a mirror's write-ahead log may get before it is moved into the file, bytes.
	mostMirrorLog = 4 << 20
)

// mirrorBatch is what waits to be written, in this order: removals; of each path the latest row; the state.
type mirrorBatch struct {
	removals []MirrorRemoval
	rows     map[model.Path]MirrorRow
	state    *MirrorState
	forget   bool // first of all, everything in the file is forgotten
}

func (b *mirrorBatch) reset() { *b = mirrorBatch{rows: map[model.Path]MirrorRow{}} }

func (b *mirrorBatch) size() int { return len(b.rows) + len(b.removals) }

// Keep hands over what was applied to the live tree, removals before rows as there, and the state that they make true. It never waits: what
// is not yet written is held, of each context the latest.
func (m *Mirror) Keep(removals []MirrorRemoval, rows []MirrorRow, state MirrorState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.pending.removals)+len(removals) > mostGone {
		m.log.Warn("mirror is not written fast enough; after the next start its provider is asked for what is missing")
		m.stopKeeping()
	}
	if m.givenUp {
		return
	}
	for _, removal := range removals {
		delete(m.pending.rows, removal.Path)
		m.pending.removals = append(m.pending.removals, removal)
	}
	for i := range rows {
		m.pending.rows[rows[i].Path] = rows[i]
	}
	m.pending.state = &state
	signal(m.wake)
}

// Forget gives up everything: the file is deleted, and begun anew with what is handed over from now on. Removals are forgotten with it, as with
// DropMirror. It never waits.
func (m *Mirror) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.givenUp = false
	m.pending.reset()
	m.pending.forget, m.pending.state = true, &MirrorState{}
	signal(m.wake)
}

// stopKeeping lets the file stay as it is. mu is held.
func (m *Mirror) stopKeeping() {
	m.givenUp = true
	m.pending.reset()
}

// Run writes what is handed over until ctx ends, and what is left then. Where the disk is full it tries again until there is room. A file that
// cannot be written for another reason is given up until the next start: it stays as it was, which is right for the state that it names, only older.
func (m *Mirror) Run(ctx context.Context) error {
	for {
		select {
		case <-m.wake:
		case <-m.scrubIn():
			m.scrub()
			continue
		case <-m.restIn():
			m.rest()
			continue
		case <-ctx.Done():
			m.flush()
			return nil
		}
		if m.few() {
			select {
			case <-time.After(mirrorDelay):
			case <-ctx.Done():
			}
		}
		m.flush()
		if m.scrubDue() { // also where something comes all the time
			m.scrub()
		}
		if m.waitsForRoom() {
			select {
			case <-time.After(roomPause):
			case <-ctx.Done():
			}
			signal(m.wake)
		}
	}
}

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

func (m *Mirror) waitsForRoom() bool {
	m.io.Lock()
	defer m.io.Unlock()
	return m.full
}

func (m *Mirror) few() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pending.size() < mostPending
}

// flush writes all that waits in one transaction.
func (m *Mirror) flush() {
	m.io.Lock()
	defer m.io.Unlock()
	m.mu.Lock()
	batch := m.pending
	m.pending.reset()
	m.mu.Unlock()
	if batch.state != nil && !batch.forget && m.rouse() {
		m.putBack(&batch)
		m.noteFull(true)
		return
	}
	if batch.forget {
		m.beginAnew()
	}
	if m.session == nil || batch.state == nil {
		return
	}
	err := m.session.transaction(func() error { return m.write(&batch) })
	if IsFull(err) {
		if err = m.load(m.session); err == nil { // what write noted of a batch that is not in the file
			m.putBack(&batch)
			m.noteFull(true)
			return
		}
	}
	if err == nil {
		m.noteFull(false)
		m.noteWritten()
		err = unlessFull(m.keepLogShort())
	}
	if err != nil {
		m.giveUp(err)
	}
}

// beginAnew deletes the file and begins another. io is held.
func (m *Mirror) beginAnew() {
	var err error
	m.rests, m.used, m.grows = false, time.Now(), false // last values of what was here may still be on their way
	if m.session != nil {
		err = m.session.close()
		m.session = nil
	}
	if err = errors.Join(err, m.remove()); err == nil {
		m.begun = true
		m.session, _, err = openCache(context.Background(), m.file, "mirror", m.log, m.load)
	}
	if err != nil {
		m.log.Warn("mirror could not be begun anew; after the next start its provider is asked for everything", "error", err)
		m.mu.Lock()
		m.stopKeeping()
		m.mu.Unlock()
	}
}

// putBack lets a batch that was not written wait again, before what has come since.
func (m *Mirror) putBack(b *mirrorBatch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.givenUp {
		return
	}
	for _, removal := range m.pending.removals {
		delete(b.rows, removal.Path)
	}
	for path, row := range m.pending.rows {
		b.rows[path] = row
	}
	m.pending.rows = b.rows
	m.pending.removals = append(b.removals, m.pending.removals...)
	if m.pending.state == nil {
		m.pending.state = b.state
	}
}

// noteFull remembers whether the disk has room, and tells where that turns. io is held.
func (m *Mirror) noteFull(full bool) {
	switch {
	case full && !m.full:
		m.log.Warn("the disk is full: what a provider tells is kept in memory until there is room")
	case !full && m.full:
		m.log.Info("there is room on the disk again")
	}
	m.full = full
}

// giveUp stops writing to the file: the batch that failed is missing in it, so that nothing later may be written. io is held.
func (m *Mirror) giveUp(cause error) {
	m.log.Warn("mirror can no longer be written; after the next start its provider is asked for what is missing", "error", cause)
	m.mu.Lock()
	m.stopKeeping()
	m.mu.Unlock()
	problem := m.session.close()
	m.session = nil
	if isDamaged(cause) {
		problem = errors.Join(problem, setAside(m.file))
	}
	if problem != nil {
		m.log.Warn("mirror was not closed cleanly", "error", problem)
	}
}

func (m *Mirror) keepLogShort() error {
	if info, err := os.Stat(m.file + "-wal"); err != nil || info.Size() < mostMirrorLog {
		return nil
	}
	return m.session.shorten(false)
}

// write applies a batch within a transaction.
func (m *Mirror) write(b *mirrorBatch) error {
	m.grows = m.grows && len(b.removals) == 0
	for i := range b.removals {
		if err := m.writeRemoval(&b.removals[i]); err != nil {
			return err
		}
	}
	if err := m.writeRows(b.rows); err != nil {
		return err
	}
	if len(b.removals) > 0 {
		if err := m.trim(); err != nil {
			return err
		}
	}
	m.state = *b.state
	chain, err := proto.Marshal(wire.FromChain(m.state.Chain))
	if err != nil {
		return err
	}
	return m.session.exec(`UPDATE state SET chain = ?1, position = ?2, view = ?3, ordinal = ?4, random = ?5, heard = ?6, change = ?7, horizon = ?8
		WHERE key = 1`, notNil(chain), m.state.Position, int64(m.state.View), int64(m.state.Epoch.Ordinal), int64(m.state.Epoch.Random),
		int64(m.state.Heard), m.change, m.horizon)
}

// notNil makes an empty blob of nil, which would be NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (m *Mirror) writeRemoval(r *MirrorRemoval) error {
	origin, err := m.interned.origin(m.session, r.ID)
	if err != nil {
		return err
	}
	m.change = max(m.change, r.Change)
	for _, table := range []string{"contexts", "samples"} {
		if err := m.session.exec("DELETE FROM "+table+" WHERE path = ?1", r.Path.String()); err != nil {
			return err
		}
	}
	if r.Withdrawn {
		m.withdrawn, m.horizon = true, max(m.horizon, r.Change+1)
		return nil
	}
	return m.session.exec(`INSERT INTO tombstones (change, path, origin, number, version_ordinal, version_random, version)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (change) DO NOTHING`,
		r.Change, r.Path.String(), origin, r.ID.Number, int64(r.Version.Epoch.Ordinal), int64(r.Version.Epoch.Random), r.Version.Number)
}

// keyedRow is a row with the keys of what it points into.
type keyedRow struct {
	MirrorRow
	origin, route int64
}

// writeRows writes contexts in the order of their paths, so that one after the other goes to the same page.
func (m *Mirror) writeRows(by map[model.Path]MirrorRow) error {
	rows := make([]keyedRow, 0, len(by))
	for _, row := range by {
		r, err := m.interned.keyed(m.session, row)
		if err != nil {
			return err
		}
		rows = append(rows, r)
		m.change = max(m.change, row.Change)
	}
	slices.SortFunc(rows, func(a, b keyedRow) int { return strings.Compare(a.Path.String(), b.Path.String()) })
	before, err := m.lastKey()
	if err != nil {
		return err
	}
	to := m.session.bulk(`INSERT INTO contexts
		(path, origin, number, label, schema, settings, version_ordinal, version_random, version, provider_change, change, route, extra)`, 13,
		`ON CONFLICT (path) DO UPDATE SET
		origin = excluded.origin, number = excluded.number, label = excluded.label, schema = excluded.schema, settings = excluded.settings,
		version_ordinal = excluded.version_ordinal, version_random = excluded.version_random, version = excluded.version,
		provider_change = excluded.provider_change, change = excluded.change, route = excluded.route, extra = excluded.extra`)
	err = to.write(len(rows), func(i int) error {
		r := &rows[i]
		settings, err := encodeSettings(r.Settings)
		to.add(r.Path.String(), r.origin, int64(r.ID.Number), r.Label, r.Schema.Hash[:], settings,
			int64(r.Version.Epoch.Ordinal), int64(r.Version.Epoch.Random), int64(r.Version.Number), int64(r.ProviderChange), int64(r.Change),
			r.route, []byte(r.Extra))
		return err
	})
	if err != nil {
		return err
	}
	after, err := m.lastKey() // of rows that are new each has the next one
	m.grows = m.grows && after-before == int64(len(rows))
	return err
}

// lastKey is the greatest key of a row.
func (m *Mirror) lastKey() (key int64, err error) {
	err = m.session.query(scanInto(&key), "SELECT coalesce(max(key), 0) FROM contexts")
	return key, err
}

// trim forgets the oldest removals.
func (m *Mirror) trim() error {
	var last uint64
	err := m.session.query(scanInto(&last), "SELECT change FROM tombstones ORDER BY change DESC LIMIT 1 OFFSET ?1", mostMirrorTombstones)
	if err != nil || last == 0 {
		return err
	}
	m.horizon = max(m.horizon, last+1)
	return m.session.exec("DELETE FROM tombstones WHERE change <= ?1", last)
}
