package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"banyan/model"
	"banyan/store"

	"filippo.io/age"
)

// Source is the node of which a backup is made.
type Source struct {
	Node      model.NodeID
	Name      string
	Dir       string // the node's directory
	Config    []byte // its configuration file
	Program   string // version of the program
	Recipient string // of the recovery key
	// Copy writes a consistent copy of the database to a file that is not there yet.
	Copy func(ctx context.Context, file string) error
	Now  func() model.Time
}

// Progress is how far something has come: of what is being done so many of all bytes. Total is 0 where it is not known.
type Progress struct {
	Doing       string
	Done, Total int64
}

// Tell is told of progress; it must be quick. Nil tells nobody.
type Tell func(Progress)

func (t Tell) say(doing string, done, total int64) {
	if t != nil {
		t(Progress{doing, done, total})
	}
}

// ScratchPrefix begins the names of directories in which backups are put together.
const ScratchPrefix = ".backup-"

// Tidy removes what backups left in a node's directory that were cut off with their process.
func Tidy(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, ScratchPrefix+"*")) // the pattern is right
	for _, name := range left {
		_ = os.RemoveAll(name)
	}
}

// Make makes a backup in file, which gets its name when the backup is whole and checked; one that is there already stays until then. In the
// node's directory it needs room for a copy of the database meanwhile. An error of kind exhausted says that there was no room.
func Make(ctx context.Context, s Source, file string, tell Tell) (Manifest, error) {
	if s.Recipient == "" {
		return Manifest{}, NoRecipient()
	}
	m, err := produce(ctx, s, file, tell)
	if err != nil {
		var known *model.Error
		if !errors.As(err, &known) {
			known = &model.Error{Kind: model.KindOf(err), Err: err}
		}
		return Manifest{}, RoomError(known, "back up "+s.Name, err)
	}
	return m, nil
}

// NoRecipient is the error of a node without a recovery key.
func NoRecipient() error {
	return &model.Error{
		Kind: model.KindUnsupported, Detail: "this node has no recovery key, to which its backups are sealed",
		Remedy: "draw one with `banyan recovery renew`, and keep what it prints apart from the node",
	}
}

func produce(ctx context.Context, s Source, file string, tell Tell) (Manifest, error) {
	scratch, err := os.MkdirTemp(s.Dir, ScratchPrefix+"*")
	if err != nil {
		return Manifest{}, err
	}
	defer os.RemoveAll(scratch)
	tell.say("copying", 0, 0)
	copied := filepath.Join(scratch, partDatabase)
	if err := s.Copy(ctx, copied); err != nil {
		return Manifest{}, err
	}
	tell.say("checking", 0, 0)
	m, err := s.manifest(ctx, copied)
	if err != nil {
		return Manifest{}, err
	}
	parts, err := s.parts(copied)
	if err != nil {
		return Manifest{}, err
	}
	for _, p := range parts {
		part, err := p.measure(ctx)
		if err != nil {
			return Manifest{}, err
		}
		m.Parts = append(m.Parts, part)
		m.Bytes += part.Size
	}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	line, err := m.line()
	if err != nil {
		return Manifest{}, err
	}
	m.Front = sha256.Sum256(line)
	witness, err := age.GenerateX25519Identity()
	if err != nil {
		return Manifest{}, err
	}
	return m, PutFile(file, func(to *os.File) error {
		if err := seal(ctx, to, &m, parts, witness.Recipient(), tell); err != nil {
			return err
		}
		// The witness opens this one backup, now: nobody ever has its key, and what it has seen is what the recovery key will.
		return s.prove(ctx, to, &m, witness, tell)
	})
}

// manifest is what a copy of the database says of itself.
func (s *Source) manifest(ctx context.Context, copied string) (Manifest, error) {
	contents, err := store.Inspect(ctx, copied)
	if err == nil && contents.Node != s.Node {
		err = model.Errorf(model.KindCorrupt, "the copy of the database is of the node %s", contents.Node.Short())
	}
	return Manifest{
		Header: Header{
			Node: s.Node, Name: s.Name, Made: s.Now(), Revision: contents.Revision, Change: contents.Change, Contexts: contents.Contexts,
			Program: s.Program, Recipient: s.Recipient,
		},
		Chain: contents.Chain, Restores: contents.Restores, AuditProblem: contents.AuditProblem,
	}, err
}

// origin is where a part comes from: bytes, or a file.
type origin struct {
	name  string
	bytes []byte
	file  string
}

// parts are all of a node's files that a backup has. Small ones are read once, so that what is measured is what is sealed.
func (s *Source) parts(copied string) ([]origin, error) {
	parts := []origin{{name: partConfig, bytes: s.Config}}
	names := []string{partRoot, partSecret}
	profiles, err := os.ReadDir(filepath.Join(s.Dir, profileDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range profiles {
		if name := profileDir + "/" + entry.Name(); entry.Type().IsRegular() && checkName(name) == nil {
			names = append(names, name)
		}
	}
	for _, name := range names {
		content, err := readSmall(filepath.Join(s.Dir, filepath.FromSlash(name)), mostBytes(name))
		if err != nil {
			return nil, err
		}
		parts = append(parts, origin{name: name, bytes: content})
	}
	slices.SortStableFunc(parts, func(a, b origin) int { return strings.Compare(a.name, b.name) })
	return append(parts, origin{name: partDatabase, file: copied}), nil
}

func readSmall(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(content)) > most {
		err = model.Errorf(model.KindExhausted, "%s has more than %d bytes", file, most)
	}
	return content, err
}

func (o *origin) open() (io.ReadCloser, error) {
	if o.file == "" {
		return io.NopCloser(bytes.NewReader(o.bytes)), nil
	}
	return os.Open(o.file)
}

func (o *origin) measure(ctx context.Context) (Part, error) {
	p := Part{Name: o.name}
	from, err := o.open()
	if err != nil {
		return p, err
	}
	defer from.Close()
	sum := sha256.New()
	p.Size, err = io.Copy(sum, &patient{ctx: ctx, from: from})
	p.Sum = Sum(sum.Sum(nil))
	return p, err
}

// seal writes header and parts.
func seal(ctx context.Context, to io.Writer, m *Manifest, parts []origin, witness age.Recipient, tell Tell) error {
	line, err := m.line()
	if err != nil {
		return err
	}
	if _, err := to.Write(line); err != nil {
		return err
	}
	recovery, err := age.ParseX25519Recipient(m.Recipient)
	if err != nil {
		return CheckRecipient(m.Recipient)
	}
	sealed, err := age.Encrypt(to, recovery, witness)
	if err != nil {
		return err
	}
	packed, _ := gzip.NewWriterLevel(sealed, gzip.BestSpeed) // a level that there is
	archive := tar.NewWriter(packed)
	encoded, err := json.Marshal(m)
	if err != nil {
		return err
	}
	list := append([]origin{{name: manifestName, bytes: encoded}}, parts...)
	sizes := append([]Part{{Size: int64(len(encoded))}}, m.Parts...)
	done := int64(0)
	for i := range list {
		if err := writePart(ctx, archive, &list[i], sizes[i].Size, func(n int64) { tell.say("sealing", done+n, m.Bytes) }); err != nil {
			return err
		}
		if i > 0 {
			done += sizes[i].Size
		}
	}
	return errors.Join(archive.Close(), packed.Close(), sealed.Close())
}

func writePart(ctx context.Context, archive *tar.Writer, o *origin, size int64, tell func(int64)) error {
	if err := archive.WriteHeader(&tar.Header{Name: o.name, Size: size, Mode: 0o600, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	from, err := o.open()
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(archive, &counting{from: &patient{ctx: ctx, from: from}, tell: tell})
	return err
}

// counting tells how much was read.
type counting struct {
	from io.Reader
	done int64
	tell func(int64)
}

// Read is the source's.
func (c *counting) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.done += int64(n)
	c.tell(c.done)
	return n, err
}

// prove reads back what was written and finds in it what was to be written.
func (s *Source) prove(ctx context.Context, written *os.File, m *Manifest, witness age.Identity, tell Tell) error {
	if _, err := written.Seek(0, io.SeekStart); err != nil {
		return err
	}
	read := int64(0)
	found, err := open(ctx, written, witness, func(p Part, from io.Reader) error {
		n, err := io.Copy(io.Discard, from)
		read += n
		tell.say("verifying", read, m.Bytes)
		return err
	})
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if found.Header != m.Header || !slices.Equal(found.Parts, m.Parts) {
		return model.Errorf(model.KindCorrupt, "what was written is not what was to be written")
	}
	return nil
}
