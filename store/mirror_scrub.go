package store

import (
	"errors"
	"os"
	"time"

	"banyan/model"
)

// scrubTime is how long what was taken out of a mirror's file, or written over, may still be found among its bytes. SQLite overwrites what is deleted
// with zeros (secure_delete), but not before the log is moved into the file and cut; and what nothing points to any more has to be looked for.
const scrubTime = 15 * time.Second

// scrubIn says when the file is to be scrubbed; never where nothing was written since the last time.
func (m *Mirror) scrubIn() <-chan time.Time {
	m.io.Lock()
	defer m.io.Unlock()
	if m.written.IsZero() {
		return nil
	}
	return time.After(time.Until(m.written.Add(scrubTime)))
}

func (m *Mirror) scrubDue() bool {
	m.io.Lock()
	defer m.io.Unlock()
	return !m.written.IsZero() && time.Since(m.written) >= scrubTime
}

// noteWritten remembers since when there is something to scrub. io is held.
func (m *Mirror) noteWritten() {
	if m.written.IsZero() {
		m.written = time.Now()
	}
}

// scrub lets nothing be left in the file and its log but what is mirrored now, and removals that are remembered.
func (m *Mirror) scrub() {
	m.flush()
	m.io.Lock()
	defer m.io.Unlock()
	m.written = time.Time{}
	m.rouse()
	if m.session == nil {
		return
	}
	var err error
	if !m.grows {
		err = m.session.transaction(m.dropUnused)
	}
	if err == nil {
		err = m.session.shorten(true)
	}
	switch {
	case IsFull(err):
		m.noteWritten() // another time
		err = m.load(m.session)
	case err == nil && m.withdrawn:
		m.withdrawn = false
		if problem := os.Remove(m.file + ".damaged"); problem != nil && !errors.Is(problem, os.ErrNotExist) {
			err = problem
		}
	}
	if err != nil {
		m.giveUp(err)
	}
}

// dropUnused deletes values of contexts that are not as they were, and the schemas, routes and origins of which none is left.
func (m *Mirror) dropUnused() error {
	err := m.session.exec(`DELETE FROM samples WHERE NOT EXISTS
		(SELECT 1 FROM contexts WHERE contexts.path = samples.path AND contexts.schema = samples.schema)`)
	if err != nil {
		return err
	}
	t := &m.interned
	var schemas [][]byte
	err = m.session.query(collect(&schemas), "SELECT hash FROM schemas WHERE hash NOT IN (SELECT schema FROM contexts)")
	if err != nil {
		return err
	}
	for _, hash := range schemas {
		delete(t.schemas, model.SchemaHash(hash))
		if err := m.session.exec("DELETE FROM schemas WHERE hash = ?1", hash); err != nil {
			return err
		}
	}
	var routes []int64
	err = m.session.query(collect(&routes), "SELECT key FROM routes WHERE key NOT IN (SELECT route FROM contexts)")
	if err != nil {
		return err
	}
	t.last.key = 0
	for _, key := range routes {
		hops, err := encodeRoute(t.routes[key])
		if err != nil {
			return err
		}
		delete(t.routes, key)
		delete(t.routeKey, string(hops))
		if err := m.session.exec("DELETE FROM routes WHERE key = ?1", key); err != nil {
			return err
		}
	}
	var origins []int64
	err = m.session.query(collect(&origins), `SELECT key FROM origins WHERE key NOT IN (SELECT origin FROM contexts)
		AND key NOT IN (SELECT origin FROM tombstones)`)
	if err != nil {
		return err
	}
	for _, key := range origins {
		delete(t.originKey, t.origins[key])
		delete(t.origins, key)
		if err := m.session.exec("DELETE FROM origins WHERE key = ?1", key); err != nil {
			return err
		}
	}
	return nil
}
