package store

import (
	"context"
	"errors"
	"path/filepath"
	"time"
)

// restTime is after how long without any use a mirror's file is closed: longer than from one checkpoint to the next, so that a file to which values are
// written stays open. An open one takes three descriptors and some hundred KiB, as much as all else of a link that is idle, and a node may have a thousand.
const restTime = 40 * time.Second

// rouse opens the file again where it rests, and notes that it is used. It reports whether there is no room to. io is held.
func (m *Mirror) rouse() (full bool) {
	m.used = time.Now()
	if !m.rests {
		return false
	}
	s, err := openSession(context.Background(), m.file, cache, "mirror")
	if err != nil && isFullAt(filepath.Dir(m.file), err) {
		return true
	}
	m.session, m.rests = s, false
	if err != nil {
		m.session = nil
		m.log.Warn("mirror can no longer be opened; after the next start its provider is asked for what is missing", "error", err)
		m.mu.Lock()
		m.stopKeeping()
		m.mu.Unlock()
	}
	return false
}

// restIn says when the file is to be closed; never where it is, or is to be scrubbed first.
func (m *Mirror) restIn() <-chan time.Time {
	m.io.Lock()
	defer m.io.Unlock()
	if m.session == nil || !m.written.IsZero() {
		return nil
	}
	return time.After(time.Until(m.used.Add(restTime)))
}

// rest closes the file until it is used.
func (m *Mirror) rest() {
	m.io.Lock()
	defer m.io.Unlock()
	if m.session == nil || !m.written.IsZero() || time.Since(m.used) < restTime {
		return
	}
	err := errors.Join(m.session.shorten(true), m.session.close())
	m.session, m.rests = nil, true
	if err != nil {
		m.log.Warn("mirror was not closed cleanly", "error", err)
	}
}
