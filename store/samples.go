package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"

	"banyan/model"
	wire "banyan/proto"

	"github.com/hashicorp/go-hclog"
)

// sampleRow is the last values of one context: a row of a table samples.
type sampleRow struct {
	path   model.Path // below the mount, for a mirror
	id     model.ContextID
	schema model.SchemaHash
	body   []byte // wire.Samples; keys are indexes in the schema + 1
}

// sampleFile is values.db.
type sampleFile struct {
	file string
	log  hclog.Logger

	io      sync.Mutex // guards session
	session *session   // nil once the file was given up
}

func openSampleFile(ctx context.Context, file string, log hclog.Logger) (*sampleFile, error) {
	f := &sampleFile{file: file, log: log.Named("values")}
	var err error
	f.session, _, err = openCache(ctx, file, "values", f.log, func(*session) error { return nil })
	return f, err
}

func (f *sampleFile) close() error {
	f.io.Lock()
	defer f.io.Unlock()
	if f.session == nil {
		return nil
	}
	err := errors.Join(unlessFull(f.session.shorten(true)), f.session.close())
	f.session = nil
	return err
}

// write saves rows, or says that there was no room for them. A file that cannot be written is given up until the next start.
func (f *sampleFile) write(rows []sampleRow) (full bool) {
	f.io.Lock()
	defer f.io.Unlock()
	if f.session == nil {
		return false
	}
	err := f.session.transaction(func() error { return writeSamples(f.session, rows) })
	if IsFull(err) {
		return true
	}
	if info, problem := os.Stat(f.file + "-wal"); err == nil && problem == nil && info.Size() >= mostMirrorLog {
		err = unlessFull(f.session.shorten(false))
	}
	if err != nil {
		f.log.Warn("last values can no longer be saved", "error", err)
		if problem := f.session.close(); problem != nil {
			f.log.Warn("the file of last values was not closed cleanly", "error", problem)
		}
		f.session = nil
	}
	return false
}

// saveSamples saves the last values of contexts of the mirror, or says that there was no room for them.
func (m *Mirror) saveSamples(rows []sampleRow) (full bool) {
	m.io.Lock()
	defer m.io.Unlock()
	if m.rouse() {
		return true
	}
	if m.session == nil {
		return false
	}
	err := m.session.transaction(func() error { return writeSamples(m.session, rows) })
	if IsFull(err) {
		return true
	}
	if err == nil {
		m.noteWritten()
		signal(m.wake)
		err = unlessFull(m.keepLogShort())
	}
	if err != nil {
		m.giveUp(err)
	}
	return false
}

func writeSamples(s *session, rows []sampleRow) error {
	slices.SortFunc(rows, func(a, b sampleRow) int { return strings.Compare(a.path.String(), b.path.String()) })
	to := s.bulk("INSERT INTO samples (path, context, schema, body)", 4,
		"ON CONFLICT (path) DO UPDATE SET context = excluded.context, schema = excluded.schema, body = excluded.body")
	return to.write(len(rows), func(i int) error {
		r := &rows[i]
		to.add(r.path.String(), encodeID(r.id), r.schema[:], r.body)
		return nil
	})
}

// readSamples hands the saved values to use, a row at a time, and drops the rows that it does not want.
func readSamples(s *session, use func(*sampleRow) (wanted bool)) error {
	var unwanted []string
	err := s.query(func(rows *sql.Rows) error {
		var path string
		var id, schema, body sql.RawBytes
		if err := rows.Scan(&path, &id, &schema, &body); err != nil {
			return err
		}
		row := sampleRow{body: body}
		var err error
		if row.path, err = model.ParsePath(path); err != nil || len(schema) != len(row.schema) {
			unwanted = append(unwanted, path)
			return nil
		}
		copy(row.schema[:], schema)
		if row.id, err = decodeID(id); err != nil || !use(&row) {
			unwanted = append(unwanted, path)
		}
		return nil
	}, "SELECT path, context, schema, body FROM samples")
	if err != nil || len(unwanted) == 0 {
		return err
	}
	return s.transaction(func() error {
		for _, path := range unwanted {
			if err := s.exec("DELETE FROM samples WHERE path = ?1", path); err != nil {
				return err
			}
		}
		return nil
	})
}

func encodeID(id model.ContextID) []byte {
	to := append(make([]byte, 0, 56), id.Node[:]...)
	to = binary.BigEndian.AppendUint64(to, id.Epoch.Ordinal)
	to = binary.BigEndian.AppendUint64(to, id.Epoch.Random)
	return binary.BigEndian.AppendUint64(to, id.Number)
}

func decodeID(b []byte) (model.ContextID, error) {
	if len(b) != 56 {
		return model.ContextID{}, model.Errorf(model.KindCorrupt, "an ID of %d bytes", len(b))
	}
	node, err := wire.ToNodeID(b[:32])
	return model.ContextID{
		Node:   node,
		Epoch:  model.Epoch{Ordinal: binary.BigEndian.Uint64(b[32:]), Random: binary.BigEndian.Uint64(b[40:])},
		Number: binary.BigEndian.Uint64(b[48:]),
	}, err
}
