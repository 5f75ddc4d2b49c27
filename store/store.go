package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"banyan/durable"
	"banyan/model"

	"github.com/hashicorp/go-hclog"
)

// Config of a Store.
type Config struct {
	// Dir is the node's directory; it is made when missing, with mode 0700. One process may have it open.
	Dir string
	// Node is the node's ID. A directory that belongs to another node is refused.
	Node model.NodeID
	// Name is what people call the node; it is kept for whoever looks into the file.
	Name string
	// Sealer seals the values of secret settings. Without one a secret cannot be set.
	Sealer Sealer
	// Logger; nothing is logged when nil.
	Logger hclog.Logger
	// Random makes the 64 bits that tell this life from any other; crypto/rand when nil. A fixed one is for tests only: epochs with
	// equal bits hide that a directory was copied.
	Random func() uint64
	// Now is the clock for the time of the commit that begins the epoch; no time when nil.
	Now func() model.Time
	// Fault is asked before each step that writes to node.db, and an error from it is taken for the disk's. Nil outside of tests.
	Fault func(step string) error
	// LongLog is how long node.db's write-ahead log gets before it is moved into the file beside readers, bytes, default 16 MiB; at four times that
	// the writer waits for readers. Less moves each page more often, more makes a start after a crash take longer.
	LongLog int64
	// ReaderConnections is how many readers may read at once, default 4; each takes about 4 MiB when busy.
	ReaderConnections int
}

func (c *Config) validate() error {
	if c.Dir == "" || c.Node.IsZero() {
		return model.Errorf(model.KindInvalid, "a store needs a directory and the node's ID")
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Random == nil {
		c.Random = func() uint64 {
			var bits [8]byte
			rand.Read(bits[:]) // stops the program rather than fail
			return binary.LittleEndian.Uint64(bits[:])
		}
	}
	if c.Now == nil {
		c.Now = func() model.Time { return 0 }
	}
	if c.Fault == nil {
		c.Fault = func(string) error { return nil }
	}
	if c.LongLog == 0 {
		c.LongLog = 16 << 20
	}
	if c.ReaderConnections == 0 {
		c.ReaderConnections = 4
	}
	return nil
}

// counters are the greatest numbers given.
type counters struct {
	revision, change, context, horizon uint64
	audit, audited                     AuditHead // the last row of the audit log, and the last one that was trimmed
}

// Store is the files of one node, opened by this process. Its methods may be called by several goroutines; a Transaction, of which there is
// one at a time, is for one.
type Store struct {
	cfg    Config
	log    hclog.Logger
	lock   *os.File
	writer *session // used by the one Transaction
	reader *sql.DB

	// state is what the next Transaction begins with.
	state struct {
		counters
		chains chains
	}
	writing sync.Mutex // held by the one Transaction
	noRoom  time.Time  // when the log could not be moved for want of room; writing is held

	firstChange uint64
	nextContext atomic.Uint64
	epoch       atomic.Pointer[model.Epoch]
	published   atomic.Pointer[chains]
	auditHead   atomic.Pointer[auditEnds]
	newest      atomic.Pointer[model.Revision]

	schemasMu sync.Mutex
	schemas   map[model.SchemaHash]*model.Schema

	mirrors mirrorSet
	values  *sampleFile

	restores []Restore    // as they were at the start
	copying  atomic.Int32 // copies of node.db under way
}

// Open opens a node's directory, makes it where it is missing, and begins a new epoch, which is on disk when Open returns. All mirrors that
// are there are opened too, since change numbers begin above theirs.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := checkSQLite(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, log: cfg.Logger, schemas: map[model.SchemaHash]*model.Schema{}}
	if err := s.open(ctx); err != nil {
		full := isFullAt(cfg.Dir, err) // before closing gives inodes back
		problem := s.Close()
		return nil, errors.Join(cannotOpen(cfg.Dir, err, full), problem)
	}
	return s, nil
}

// cannotOpen says why a directory cannot be used. A node writes before it does anything else, so that it does not start on a full disk.
func cannotOpen(dir string, err error, full bool) error {
	e := &model.Error{Kind: model.KindOf(err), Op: "open " + dir, Err: err}
	if full {
		e.Kind, e.Detail, e.Remedy = model.KindExhausted, "the disk is full", "make room on it, or free inodes, and start the node again; nothing is lost"
	} else {
		explainDamage(dir, e)
	}
	return e
}

func (s *Store) open(ctx context.Context) error {
	if err := durable.MakeDirs(filepath.Join(s.cfg.Dir, "mirrors"), 0o700); err != nil {
		return err
	}
	lock, err := lockDirectory(s.cfg.Dir)
	if err != nil {
		return err
	}
	s.lock = lock
	if err := rewriteLog(s.logFile()); err != nil {
		return fmt.Errorf("writing the log again: %w", err)
	}
	file := s.nodeFile()
	if s.writer, err = openSession(ctx, file, truth, "node"); err != nil {
		return err
	}
	s.reader = truth.open(file, s.cfg.ReaderConnections, true)
	if err := durable.SyncDir(s.cfg.Dir); err != nil {
		return err
	}
	if err := s.checkOwner(ctx); err != nil {
		return err
	}
	if err := s.loadState(ctx); err != nil {
		return err
	}
	if s.restores, err = readRestores(ctx, s.writer.conn); err != nil {
		return err
	}
	if err := s.openCaches(ctx); err != nil {
		return err
	}
	return s.beginEpoch()
}

func (s *Store) nodeFile() string { return filepath.Join(s.cfg.Dir, "node.db") }

// checkOwner makes sure that the directory is this node's.
func (s *Store) checkOwner(ctx context.Context) error {
	var owner []byte
	err := s.writer.conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'node'").Scan(&owner)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case string(owner) != string(s.cfg.Node[:]):
		return &model.Error{
			Kind: model.KindConflict, Detail: fmt.Sprintf("the database belongs to the node %.6x, not to %s", owner, s.cfg.Node.Short()),
			Remedy: "start it with the keys that it was made with, or give this node a directory of its own",
		}
	}
	_, err = s.writer.conn.ExecContext(ctx, "INSERT INTO meta (key, value) VALUES ('node', ?1), ('name', ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
		s.cfg.Node[:], []byte(s.cfg.Name))
	return err
}

// Close ends all use of the files. Close it after everything that runs with it has returned.
func (s *Store) Close() error {
	var problems []error
	for _, m := range s.mirrors.all() {
		problems = append(problems, m.close(s.state.chains.revision.Last().Epoch.Ordinal))
	}
	if s.values != nil {
		problems = append(problems, s.values.close())
	}
	if s.reader != nil {
		problems = append(problems, s.reader.Close())
	}
	if s.writer != nil {
		problems = append(problems, unlessFull(s.writer.shorten(true)), s.writer.close())
	}
	if s.lock != nil {
		problems = append(problems, s.lock.Close())
	}
	return errors.Join(problems...)
}

// unlessFull drops an error that only says that the disk is full: what could not be moved stays in the log, where the next start finds it.
func unlessFull(err error) error {
	if IsFull(err) {
		return nil
	}
	return err
}

// Check reads all of node.db and says what is wrong with it. It takes about a second for each GB.
func (s *Store) Check(ctx context.Context) error {
	rows, err := s.reader.QueryContext(ctx, "PRAGMA integrity_check")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			return model.Errorf(model.KindCorrupt, "node.db: %s", line)
		}
	}
	return rows.Err()
}
