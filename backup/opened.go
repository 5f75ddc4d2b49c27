package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"io/fs"

	"banyan/model"

	"filippo.io/age"
)

// open reads a backup to its last byte: it hands each part to take, and compares all of them with the manifest, the manifest with the header, and
// the end with the end. What take was given counts only when open returns without an error. An error that take returns is returned as it is;
// every other one says what is wrong with the backup or with the key.
func open(ctx context.Context, from io.Reader, identity age.Identity, take func(Part, io.Reader) error) (Manifest, error) {
	var m Manifest
	source := bufio.NewReaderSize(&patient{ctx: ctx, from: from}, 256<<10)
	header, front, err := readHeader(source)
	if err != nil {
		return m, unreadable(ctx, err)
	}
	plain, err := age.Decrypt(source, identity)
	var stranger *age.NoIdentityMatchError
	switch {
	case errors.As(err, &stranger):
		return m, wrongKey(err)
	case err != nil:
		return m, unreadable(ctx, err)
	}
	unpacked, err := gzip.NewReader(plain)
	if err != nil {
		return m, unreadable(ctx, err)
	}
	archive := tar.NewReader(unpacked)
	if m, err = readManifest(archive); err != nil {
		return m, unreadable(ctx, err)
	}
	if m.Header != header || m.Front != front {
		return m, damaged("its header was changed: it is not the one that was sealed")
	}
	for _, part := range m.Parts {
		if err := readPart(archive, part, take); err != nil {
			return m, unreadable(ctx, err)
		}
	}
	if _, err := archive.Next(); !errors.Is(err, io.EOF) {
		return m, unreadable(ctx, errors.Join(err, damaged("something follows its last part")))
	}
	for _, rest := range []io.Reader{unpacked, plain} { // the seals of both prove that nothing is missing
		if n, err := io.Copy(io.Discard, rest); err != nil || n > 0 && rest == plain {
			return m, unreadable(ctx, errors.Join(err, damaged("something follows its end")))
		}
	}
	return m, nil
}

func readManifest(archive *tar.Reader) (Manifest, error) {
	var m Manifest
	entry, err := archive.Next()
	if err != nil {
		return m, err
	}
	if entry.Name != manifestName || entry.Size > maxManifest {
		return m, damaged("it does not begin with its manifest")
	}
	encoded, err := io.ReadAll(io.LimitReader(archive, maxManifest+1))
	if err != nil {
		return m, err
	}
	if err := json.NewDecoder(bytes.NewReader(encoded)).Decode(&m); err != nil {
		return m, damaged("its manifest cannot be read")
	}
	return m, m.check()
}

const manifestName = "manifest.json"

func readPart(archive *tar.Reader, part Part, take func(Part, io.Reader) error) error {
	entry, err := archive.Next()
	if errors.Is(err, io.EOF) {
		return damaged("it holds no " + part.Name)
	}
	if err != nil {
		return err
	}
	if entry.Name != part.Name || entry.Size != part.Size || entry.Typeflag != tar.TypeReg {
		return damaged("its parts are not those of its manifest")
	}
	sum := sha256.New()
	source := &marking{from: io.TeeReader(archive, sum)}
	if err := take(part, source); err != nil {
		if source.failed != nil {
			return source.failed
		}
		return taken{err}
	}
	if _, err := io.Copy(sum, archive); err != nil {
		return err
	}
	if Sum(sum.Sum(nil)) != part.Sum {
		return damaged(part.Name + " is not what was put into it")
	}
	return nil
}

// marking remembers that reading failed, so that it is told from a failed writing.
type marking struct {
	from   io.Reader
	failed error
}

// Read is the source's.
func (m *marking) Read(b []byte) (int, error) {
	n, err := m.from.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		m.failed = err
	}
	return n, err
}

// taken is an error of who takes the parts.
type taken struct{ error }

func (t taken) Unwrap() error { return t.error }

// unreadable is what a failed read of a backup means to a person.
func unreadable(ctx context.Context, err error) error {
	var own taken
	var known *model.Error
	var disk *fs.PathError
	switch {
	case errors.As(err, &own):
		return own.error
	case errors.As(err, &disk):
		return model.Errorf(model.KindUnavailable, "the backup cannot be read: %w", disk)
	case ctx.Err() != nil:
		return &model.Error{Kind: model.KindOf(ctx.Err()), Detail: "reading the backup was ended", Err: ctx.Err()}
	case errors.As(err, &known):
		return known
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return damaged("it is cut off")
	}
	told := damaged("what is sealed was altered, or is cut off")
	told.Err = quiet{err}
	return told
}

// patient reads until its context ends.
type patient struct {
	ctx  context.Context //nolint:containedctx // it lives as long as one call
	from io.Reader
}

// Read is the source's.
func (p *patient) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.from.Read(b)
}
