package backup

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"

	"banyan/durable"
	"banyan/model"
	"banyan/pki"
	"banyan/store"
)

// ReadHeader reads what everybody may know of a backup.
func ReadHeader(file string) (Header, error) {
	f, err := openFile(file)
	if err != nil {
		return Header{}, err
	}
	defer f.Close()
	h, _, err := readHeader(bufio.NewReader(f))
	return h, err
}

func openFile(file string) (*os.File, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, &model.Error{Kind: model.KindNotFound, Op: "open", Err: err, Remedy: "give the file of a backup"}
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = model.Errorf(model.KindInvalid, "%s is not a file", file)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Verify opens a backup and checks everything that a restore checks. scratch is a directory with room for the database, which is
// taken apart there and removed.
func Verify(ctx context.Context, file string, key Key, scratch string, tell Tell) (Manifest, error) {
	dir, err := os.MkdirTemp(scratch, ScratchPrefix+"*")
	if err != nil {
		return Manifest{}, err
	}
	defer os.RemoveAll(dir)
	m, err := extract(ctx, file, key, dir, "verifying", tell)
	if err != nil {
		return m, err
	}
	return m, inspect(ctx, dir, &m)
}

// extract takes a backup apart into a directory.
func extract(ctx context.Context, file string, key Key, dir, doing string, tell Tell) (Manifest, error) {
	return readThrough(ctx, file, key, doing, tell, func(p Part, from io.Reader) error {
		name := filepath.Join(dir, filepath.FromSlash(p.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, from)
		if err == nil {
			err = durable.Sync(f)
		}
		if closed := f.Close(); err == nil {
			err = closed
		}
		return err
	})
}

// readThrough opens a backup whose header fits the key, which tells a wrong key from a damaged backup before anything is read.
func readThrough(ctx context.Context, file string, key Key, doing string, tell Tell, take func(Part, io.Reader) error) (Manifest, error) {
	header, err := ReadHeader(file)
	if err != nil {
		return Manifest{}, err
	}
	if own := key.Recipient(); header.Recipient != own {
		return Manifest{}, &model.Error{
			Kind:   model.KindDenied,
			Detail: "the recovery key is another one: the backup of " + header.Name + " is sealed to " + header.Recipient + ", and this key is that of " + own,
			Remedy: "give the key that was printed when the node was made, or when its key was renewed before this backup was made",
		}
	}
	f, err := openFile(file)
	if err != nil {
		return Manifest{}, err
	}
	defer f.Close()
	done := int64(0)
	return open(ctx, f, key.identity(), func(p Part, from io.Reader) error {
		before := done
		err := take(p, &counting{from: from, tell: func(n int64) { tell.say(doing, before+n, header.Bytes) }})
		done += p.Size
		return err
	})
}

// inspect checks what was taken apart: keys and database are of one node, the one that the manifest names, and can be used.
func inspect(ctx context.Context, dir string, m *Manifest) error {
	authority, err := pki.Load(dir)
	if err != nil {
		return err
	}
	if authority.ID() != m.Node {
		return &model.Error{
			Kind: model.KindCorrupt, Detail: "the backup holds the key of the node " + authority.ID().Short() + " and says that it is of " + m.Node.Short(),
			Remedy: "do not use it: nobody but that node itself can make a backup of it",
		}
	}
	if _, err := pki.LoadSealer(dir); err != nil {
		return err
	}
	if err := store.Upgrade(ctx, filepath.Join(dir, partDatabase)); err != nil {
		return err
	}
	contents, err := store.Inspect(ctx, filepath.Join(dir, partDatabase))
	if err != nil {
		return err
	}
	if contents.Node != m.Node || contents.Revision != m.Revision || contents.Change != m.Change {
		return damaged("its database is not the one that its manifest tells of")
	}
	return nil
}
