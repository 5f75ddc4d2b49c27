package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"banyan/durable"
	"banyan/model"
	"banyan/store"
)

// Restoring says where a node is restored to.
type Restoring struct {
	// Dir is the directory, which must not be there yet, or be empty.
	Dir string
	Key Key
	// API and Links are where the node is to listen, HOST:PORT; empty for where it did.
	API, Links string
	Now        func() model.Time
	Tell       Tell
}

// Restored is a node that was restored.
type Restored struct {
	Manifest
	Restore store.Restore
	Config  string // the configuration file
}

// Restore brings a node back from a backup. Everything is checked before anything is written, and again where it was written; the directory has
// its name, or its first file, when all of it is there. On an error nothing is left behind.
func Restore(ctx context.Context, file string, r Restoring) (Restored, error) {
	dir, err := filepath.Abs(r.Dir)
	if err != nil {
		return Restored{}, err
	}
	there, err := bare(dir)
	if err != nil {
		return Restored{}, err
	}
	if _, err := readThrough(ctx, file, r.Key, "checking", r.Tell, func(_ Part, from io.Reader) error {
		_, err := io.Copy(io.Discard, from)
		return err
	}); err != nil {
		return Restored{}, err
	}
	work := workDir(dir, there)
	if err := durable.MakeDirs(filepath.Dir(work), 0o755); err != nil {
		return Restored{}, cannotWrite(dir, err)
	}
	if err := os.Mkdir(work, 0o700); err != nil {
		return Restored{}, cannotWrite(dir, err)
	}
	result, err := r.fill(ctx, file, work)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = place(work, dir, there)
	}
	if err != nil {
		_ = os.RemoveAll(work)
		return Restored{}, cannotWrite(dir, err)
	}
	result.Config = filepath.Join(r.Dir, partConfig)
	return result, nil
}

// CheckBare refuses a directory that nothing can be restored to, since something is in it.
func CheckBare(dir string) error {
	dir, err := filepath.Abs(dir)
	if err == nil {
		_, err = bare(dir)
	}
	return err
}

// bare refuses a directory that has something in it, and says whether there is one.
func bare(dir string) (there bool, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &model.Error{Kind: model.KindInvalid, Op: "restore to " + dir, Err: err, Remedy: "choose another directory"}
	}
	for _, e := range entries {
		if name := e.Name(); name == partRoot || name == partDatabase {
			return true, &model.Error{
				Kind: model.KindExists, Op: "restore to " + dir, Detail: "a node is there already",
				Remedy: "choose another directory; to replace that node, stop it and move its directory away",
			}
		}
	}
	for _, e := range entries {
		if e.Name() != "lost+found" { // of a file system of its own
			return true, &model.Error{
				Kind: model.KindExists, Op: "restore to " + dir, Detail: "the directory is not empty: " + e.Name() + " is in it", Remedy: "choose another directory",
			}
		}
	}
	return true, nil
}

// workDir is where the node is put together: beside its directory, so that one rename puts it in place; or, where an empty directory is there,
// which may be a file system of its own, within it.
func workDir(dir string, there bool) string {
	if there {
		return filepath.Join(dir, ".restoring")
	}
	return filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".restoring")
}

func cannotWrite(dir string, err error) error {
	var known *model.Error
	if !errors.As(err, &known) {
		known = &model.Error{Kind: model.KindOf(err), Err: err}
		if errors.Is(err, fs.ErrExist) {
			known.Kind, known.Remedy = model.KindExists, "if no other restore is under way there, remove what one left that was cut off"
		}
	}
	return RoomError(known, "restore to "+dir, err)
}

// fill puts a node together in a directory.
func (r *Restoring) fill(ctx context.Context, file, work string) (Restored, error) {
	m, err := extract(ctx, file, r.Key, work, "writing", r.Tell)
	if err != nil {
		return Restored{}, err
	}
	if err := inspect(ctx, work, &m); err != nil {
		return Restored{}, err
	}
	done := Restored{Manifest: m, Restore: store.Restore{Time: r.Now(), Backup: m.Made, After: m.Chain.Last().Epoch}}
	_, _ = rand.Read(done.Restore.ID[:]) // it never fails
	if err := store.MarkRestored(ctx, filepath.Join(work, partDatabase), done.Restore); err != nil {
		return Restored{}, err
	}
	if err := SetRecipient(work, m.Recipient); err != nil {
		return Restored{}, err
	}
	config := filepath.Join(work, partConfig)
	text, err := os.ReadFile(config)
	if err != nil {
		return Restored{}, err
	}
	if text, err = settle(text, r.API, r.Links); err != nil {
		return Restored{}, err
	}
	return done, PutFile(config, func(to *os.File) error {
		_, err := to.Write(text)
		return err
	})
}

// place puts what is whole where the node is started: by one rename, or, in a directory that was there, file by file, the root last, without
// which nothing starts.
func place(work, dir string, there bool) error {
	if err := syncTree(work); err != nil {
		return err
	}
	if !there {
		if err := os.Rename(work, dir); err != nil {
			return err
		}
		return durable.SyncDir(filepath.Dir(dir))
	}
	entries, err := os.ReadDir(work)
	if err != nil {
		return err
	}
	move := func(name string) error { return os.Rename(filepath.Join(work, name), filepath.Join(dir, name)) }
	for _, e := range entries {
		if e.Name() != partRoot {
			if err := move(e.Name()); err != nil {
				return err
			}
		}
	}
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	if err := errors.Join(move(partRoot), os.Chmod(dir, 0o700), os.Remove(work)); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// syncTree makes the names in a directory durable, and in those below it.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return durable.SyncDir(path)
	})
}
