package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strconv"

	"banyan/fault"
	"banyan/model"

	"github.com/mattn/go-sqlite3"
)

//go:embed sql
var migrations embed.FS

// leastSQLite is the version from which on none of the known bugs loses data in WAL mode.
const leastSQLite = 3_051_003

// durability is how a file's connections are set up. Each PRAGMA belongs to a connection, so that it stands in the name by which each
// connection is opened, and never is a statement on a pool.
type durability struct {
	synchronous string // FULL where the file is the truth, NORMAL where it is a cache
	cachePages  int    // KiB
}

var (
	truth = durability{fullUnlessPlanted(), 64 << 10}
	cache = durability{"NORMAL", 2 << 10}
)

func fullUnlessPlanted() string {
	if fault.Planted(fault.SynchronousNormal) {
		return "NORMAL"
	}
	return "FULL"
}

// connector opens connections to one file.
type connector struct {
	driver *sqlite3.SQLiteDriver
	name   string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.name) }
func (c connector) Driver() driver.Driver                        { return c.driver }

// open makes a pool of at most connections to a file; a read-only one refuses to write.
func (d durability) open(file string, connections int, readOnly bool) *sql.DB {
	values := url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {d.synchronous}, "_foreign_keys": {"1"}, "_busy_timeout": {"5000"},
		"_cache_size": {strconv.Itoa(-d.cachePages)}, "mode": {"rwc"},
	}
	if d == cache {
		values.Set("_secure_delete", "1") // what is withdrawn must not be found in the bytes
	}
	if readOnly {
		values.Set("_query_only", "1")
		values.Set("_cache_size", "-4096")
		values.Set("mode", "rw")
	}
	name := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: values.Encode()}).String()
	hook := func(c *sqlite3.SQLiteConn) error {
		// The store decides when the log is moved into the file (see keepLogShort), since an automatic move hides its errors. Nothing is put
		// into temporary files: they lie on another disk, which may be full when this one is not.
		for _, pragma := range []string{"PRAGMA wal_autocheckpoint = 0", "PRAGMA journal_size_limit = 67108864", "PRAGMA trusted_schema = 0", "PRAGMA temp_store = MEMORY"} {
			if _, err := c.Exec(pragma, nil); err != nil {
				return err
			}
		}
		return nil
	}
	db := sql.OpenDB(connector{&sqlite3.SQLiteDriver{ConnectHook: hook}, name})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db
}

// openCopy opens a file that nobody writes to for reading: nothing is written, no log and no index of one either.
func openCopy(file string) *sql.DB {
	values := url.Values{"mode": {"ro"}, "immutable": {"1"}, "_foreign_keys": {"1"}, "_query_only": {"1"}, "_cache_size": {"-4096"}}
	name := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: values.Encode()}).String()
	hook := func(c *sqlite3.SQLiteConn) error {
		_, err := c.Exec("PRAGMA trusted_schema = 0", nil)
		return err
	}
	return sql.OpenDB(connector{&sqlite3.SQLiteDriver{ConnectHook: hook}, name})
}

// checkSQLite refuses a library that is too old.
func checkSQLite() error {
	text, number, _ := sqlite3.Version()
	if number < leastSQLite {
		return model.Errorf(model.KindUnsupported, "this program was built with SQLite %s, at least 3.51.3 is needed", text)
	}
	return nil
}

// checkDurability asks the connection what really holds, since a misspelt PRAGMA is not an error.
func (d durability) check(ctx context.Context, conn *sql.Conn) error {
	levels := map[int]string{0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
	var mode string
	var level, foreignKeys int
	err := errors.Join(
		conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode),
		conn.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&level),
		conn.QueryRowContext(ctx, "PRAGMA foreign_keys").Scan(&foreignKeys))
	if err != nil {
		return err
	}
	if mode != "wal" || levels[level] != d.synchronous || foreignKeys != 1 {
		return model.Errorf(model.KindInternal, "the database runs with journal_mode=%s, synchronous=%s, foreign_keys=%d: it must be wal, %s, 1",
			mode, levels[level], foreignKeys, d.synchronous)
	}
	return nil
}

// migrate brings a file to the newest layout: it runs the numbered files of sql/KIND above the number that the file has.
func migrate(ctx context.Context, conn *sql.Conn, kind string) error {
	newest, err := newestLayout(kind)
	if err != nil {
		return err
	}
	var have int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have > newest {
		return &model.Error{
			Kind: model.KindUnsupported, Op: "open", Remedy: "use the newer version of the program",
			Detail: fmt.Sprintf("the database has layout %d, this version knows layouts up to %d", have, newest),
		}
	}
	for number := have + 1; number <= newest; number++ {
		script, err := migrations.ReadFile(path.Join("sql", kind, fmt.Sprintf("%04d.sql", number)))
		if err != nil {
			return err
		}
		// One transaction together with the number: a crash leaves the old layout or the new one.
		statements := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", script, number)
		if _, err := conn.ExecContext(ctx, statements); err != nil {
			return fmt.Errorf("bringing the database to layout %d: %w", number, err)
		}
	}
	return nil
}

// newestLayout is the number of the newest layout of a kind of file.
func newestLayout(kind string) (int, error) {
	entries, err := fs.ReadDir(migrations, path.Join("sql", kind))
	return len(entries), err
}

// isDamaged reports whether a file's bytes are wrong, rather than the disk or the request.
func isDamaged(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB || e.Code == sqlite3.ErrFormat || e.Code == sqlite3.ErrError)
}
