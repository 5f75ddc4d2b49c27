package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"banyan/model"
	wire "banyan/proto"
	"banyan/proto/modelv1"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"
)

// MirrorRow is a mirrored context as it is in the live tree, but for its Path, which is below the mount, with the provider's number and this
// node's number of the change.
type MirrorRow struct {
	ID             model.ContextID
	Path           model.Path
	Label          string
	Schema         *model.Schema
	Settings       []model.Value
	Version        model.Version
	ProviderChange uint64
	Change         uint64
	Route          tree.Route
	Extra          string // what a later version told of it, passed on as it came
}

// MirrorRemoval is a context that is no longer at its path.
type MirrorRemoval struct {
	ID      model.ContextID
	Path    model.Path
	Version model.Version
	Change  uint64
	// Withdrawn says that it may not be shown here any more: nothing of it is kept, not even that it was there. Whoever was away meanwhile compares.
	Withdrawn bool
}

// MirrorState is what a mirror covers: every change of the provider's up to Position in Chain, of the view View. The zero one is an empty
// mirror: everything is still to be told.
type MirrorState struct {
	Chain    model.Chain
	Position uint64
	View     uint64
	Epoch    model.Epoch // the provider's, in which it counted samples and handles
	Heard    model.Time  // when the provider was last known to be there: values are stale since then
}

// Mirror is the file of one mount: a cache of what its provider told, so that after a restart under a cut link the tree is there. Keep
// takes changes; Run writes them behind, each batch in one transaction with the state that it covers. What was handed over and not yet
// written when the process ends is told again by the provider, since the state says so.
type Mirror struct {
	id   model.ContextID
	file string
	log  hclog.Logger
	path atomic.Pointer[model.Path] // of the mount in the live tree

	// mu guards what waits to be written.
	mu      sync.Mutex
	pending mirrorBatch
	givenUp bool
	full    bool // the disk had no room at the last attempt
	wake    chan struct{}

	// io guards the file. It is taken before mu.
	io       sync.Mutex
	session  *session // nil once the file was given up, and while it rests
	rests    bool     // nothing was done with the file for a while: it is closed, and opened when there is something
	used     time.Time
	begun    bool   // there was no file before this start
	grows    bool   // nothing was ever taken out of the file or written over, so that nothing in it is unused
	closed   uint64 // ordinal of the epoch in which the file was last closed with all in it
	state    MirrorState
	change   uint64
	horizon  uint64
	interned mirrorTables

	written   time.Time // since when something of what was there before may be found in the bytes; zero for nothing
	withdrawn bool      // what was written since includes a withdrawal
}

// mirrorSet is the mirrors of a store.
type mirrorSet struct {
	mu   sync.Mutex // guards byID
	byID map[model.ContextID]*Mirror
	lost bool // a file was damaged at the start: what was removed below its mount is not known
}

func (s *mirrorSet) all() []*Mirror {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Mirror
	for _, m := range s.byID {
		all = append(all, m)
	}
	return all
}

// numbers is the greatest change number that a mirror has, and the least that one may have had and lost, when the epoch before this one had
// the ordinal last: a mirror that was not closed in it has all up to its own greatest. 0 for none lost.
func (s *mirrorSet) numbers(last uint64) (greatest, lost uint64) {
	for _, m := range s.all() {
		greatest = max(greatest, m.change)
		if m.closed != last && !m.begun && (lost == 0 || m.change+1 < lost) {
			lost = m.change + 1
		}
	}
	return greatest, lost
}

// mirrorFile is the name of the file of a mount, which is a context of this node.
func mirrorFile(id model.ContextID) string { return fmt.Sprintf("%s-%d.db", id.Epoch, id.Number) }

func (s *Store) mirrorOf(file string) (model.ContextID, bool) {
	text := strings.TrimSuffix(file, ".db")
	at := strings.LastIndexByte(text, '-')
	if at < 0 {
		return model.ContextID{}, false
	}
	id, err := model.ParseContextID(s.cfg.Node.String() + "/" + text[:at] + "/" + text[at+1:])
	return id, err == nil && mirrorFile(id) == file
}

// openCaches opens all mirrors that are there and the file of own values.
func (s *Store) openCaches(ctx context.Context) error {
	s.mirrors.byID = map[model.ContextID]*Mirror{}
	entries, err := os.ReadDir(filepath.Join(s.cfg.Dir, "mirrors"))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		id, ours := s.mirrorOf(entry.Name())
		if !ours {
			continue
		}
		m, lost, err := s.openMirror(ctx, id)
		if err != nil {
			return err
		}
		s.mirrors.byID[id] = m
		s.mirrors.lost = s.mirrors.lost || lost
	}
	s.values, err = openSampleFile(ctx, filepath.Join(s.cfg.Dir, "values.db"), s.log)
	return err
}

// Mirror is the mirror of a mount, made where there is none.
func (s *Store) Mirror(ctx context.Context, mount model.ContextID, path model.Path) (*Mirror, error) {
	s.mirrors.mu.Lock()
	defer s.mirrors.mu.Unlock()
	m := s.mirrors.byID[mount]
	if m == nil {
		var err error
		if m, _, err = s.openMirror(ctx, mount); err != nil {
			return nil, err
		}
		s.mirrors.byID[mount] = m
	}
	m.path.Store(&path)
	return m, nil
}

// DropMirror closes and deletes the mirror of a mount that is no more, after its Run has returned. Removals below the mount are forgotten
// with it: a Trim with a Horizon above their change numbers says so to those who come back.
func (s *Store) DropMirror(mount model.ContextID) error {
	s.mirrors.mu.Lock()
	m := s.mirrors.byID[mount]
	delete(s.mirrors.byID, mount)
	s.mirrors.mu.Unlock()
	if m == nil {
		return nil
	}
	return errors.Join(m.close(0), m.remove())
}

// remove deletes the file, which nobody has open.
func (m *Mirror) remove() (err error) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if problem := os.Remove(m.file + suffix); problem != nil && !errors.Is(problem, os.ErrNotExist) {
			err = errors.Join(err, problem)
		}
	}
	return err
}

// openMirror opens a mirror's file. One that cannot be read is set aside, and a new one begun: lost says so.
func (s *Store) openMirror(ctx context.Context, id model.ContextID) (m *Mirror, lost bool, err error) {
	m = &Mirror{
		id: id, file: filepath.Join(s.cfg.Dir, "mirrors", mirrorFile(id)), log: s.log.Named("mirror").With("mount", id.Number),
		wake: make(chan struct{}, 1),
	}
	path := model.Root
	m.path.Store(&path)
	m.pending.reset()
	if _, err := os.Stat(m.file); errors.Is(err, os.ErrNotExist) {
		m.begun, m.grows = true, true
	}
	m.session, lost, err = openCache(ctx, m.file, "mirror", m.log, m.load)
	if !m.begun { // whoever had it open may not have come to scrub it
		m.noteWritten()
		m.withdrawn = m.horizon > 0
	}
	return m, lost, err
}

// openCache opens a file that may be lost. load reads it; where that or the opening fails, the file is set aside with the ending
// ".damaged" and a new one is begun.
func openCache(ctx context.Context, file, kind string, log hclog.Logger, load func(*session) error) (s *session, lost bool, err error) {
	for attempt := range 2 {
		s, err = openSession(ctx, file, cache, kind)
		if err == nil {
			if err = load(s); err == nil {
				return s, attempt > 0, nil
			}
			err = errors.Join(err, s.close())
		}
		if isFullAt(filepath.Dir(file), err) {
			return nil, false, err // there is nothing wrong with the file
		}
		if attempt == 0 {
			log.Warn("cache is damaged and set aside", "file", file, "error", err)
			if problem := setAside(file); problem != nil {
				return nil, true, errors.Join(err, problem)
			}
		}
	}
	return nil, true, fmt.Errorf("beginning %s anew: %w", file, err)
}

// setAside renames a database, in place of the one that was set aside before.
func setAside(file string) error {
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(file + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.Rename(file, file+".damaged")
}

// load reads what the mirror covers and the small tables.
func (m *Mirror) load(s *session) error {
	m.state, m.change, m.horizon = MirrorState{}, 0, 0
	var ordinal, random int64
	err := s.query(func(rows *sql.Rows) error {
		var chain sql.RawBytes
		var view int64
		if err := rows.Scan(&chain, &m.state.Position, &view, &ordinal, &random, &m.state.Heard, &m.change, &m.horizon, &m.closed); err != nil {
			return err
		}
		m.state.View, m.state.Epoch = uint64(view), model.Epoch{Ordinal: uint64(ordinal), Random: uint64(random)}
		var encoded modelv1.Chain
		if err := proto.Unmarshal(chain, &encoded); err != nil {
			return err
		}
		var err error
		m.state.Chain, err = wire.ToChain(&encoded)
		return err
	}, "SELECT chain, position, view, ordinal, random, heard, change, horizon, closed FROM state WHERE key = 1")
	if err != nil {
		return err
	}
	return m.interned.load(s)
}

// State is what the file covers as of the last batch that was written.
func (m *Mirror) State() MirrorState {
	m.io.Lock()
	defer m.io.Unlock()
	return m.state
}

// close ends the use of the file. Where all that was applied is in it, it says so: else change numbers may have been told that nobody here
// remembers, and the next epoch's chain says from where.
func (m *Mirror) close(epoch uint64) error {
	m.io.Lock()
	defer m.io.Unlock()
	m.mu.Lock()
	whole := !m.givenUp && m.pending.state == nil
	m.mu.Unlock()
	m.rouse()
	if m.session == nil {
		return nil
	}
	var err error
	if whole {
		err = m.session.exec("UPDATE state SET closed = ?1 WHERE key = 1", epoch)
	}
	err = errors.Join(unlessFull(err), unlessFull(m.session.shorten(true)), m.session.close())
	m.session = nil
	return err
}
