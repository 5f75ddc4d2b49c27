package backup

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"banyan/durable"
	"banyan/model"
)

// Shelf is where a node keeps backups of others, which it cannot open: DIR/NODEID/NUMBER-SHA256.banyan, the greatest number the newest. What came last
// is the newest, whatever the clocks say. Safe for concurrent use; one backup of each node is taken at a time.
type Shelf struct {
	dir  string
	keep int

	mu     sync.Mutex // guards taking
	taking map[model.NodeID]bool
}

// NewShelf keeps the newest of each node in a directory, which is made when need be.
func NewShelf(dir string, keep int) *Shelf {
	return &Shelf{dir: dir, keep: max(1, keep), taking: map[model.NodeID]bool{}}
}

// Kept is a backup on the shelf.
type Kept struct {
	Header
	Sum  Sum
	Size int64
	Came model.Time // by this node's clock

	file   string
	number uint64
}

const (
	keptSuffix = ".banyan"
	partSuffix = ".part"
)

// Newest is the backup of a node that came last, and whether there is one.
func (s *Shelf) Newest(node model.NodeID) (Kept, bool) {
	list := s.list(node)
	if len(list) == 0 {
		return Kept{}, false
	}
	return list[len(list)-1], true
}

// list are the backups of a node that can be read, the newest last.
func (s *Shelf) list(node model.NodeID) []Kept {
	dir := filepath.Join(s.dir, node.String())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var list []Kept
	for _, e := range entries {
		number, sum, ok := splitName(e.Name())
		info, err := e.Info()
		if !ok || err != nil || !info.Mode().IsRegular() {
			continue
		}
		k := Kept{Sum: sum, Size: info.Size(), Came: model.TimeOf(info.ModTime()), file: filepath.Join(dir, e.Name()), number: number}
		if k.Header, err = ReadHeader(k.file); err == nil && k.Node == node {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b Kept) int { return compare(a.number, b.number) })
	return list
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// splitName reads NUMBER-SHA256.banyan.
func splitName(name string) (number uint64, sum Sum, ok bool) {
	text, ours := strings.CutSuffix(name, keptSuffix)
	first, second, _ := strings.Cut(text, "-")
	number, err := strconv.ParseUint(first, 10, 64)
	return number, sum, ours && err == nil && sum.UnmarshalText([]byte(second)) == nil
}

// Open opens a backup for reading.
func (s *Shelf) Open(k Kept) (io.ReadCloser, error) { return openFile(k.file) }

// Incoming is a backup that is being taken. Write what comes from Offset on, then Finish; or Stop, after which what has come waits for another try.
type Incoming struct {
	shelf  *Shelf
	node   model.NodeID
	offer  Offer
	file   *os.File
	sum    hash.Hash
	offset int64
}

// Offer is what a node says of a backup that it wants kept.
type Offer struct {
	Size int64
	Sum  Sum
}

// Take begins to take a backup of a node, or goes on where an earlier try stopped. One above most bytes is refused.
func (s *Shelf) Take(node model.NodeID, offer Offer, most int64) (*Incoming, error) {
	if offer.Size <= 0 || offer.Size > most {
		return nil, &model.Error{
			Kind: model.KindExhausted, Detail: fmt.Sprintf("the backup has %d bytes, %d are kept for this node at most", offer.Size, most),
			Remedy: "raise keep_backups of the link at the node that keeps them",
		}
	}
	if err := s.hasRoom(offer.Size); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taking[node] {
		return nil, model.Errorf(model.KindConflict, "a backup of this node is being taken already")
	}
	i := &Incoming{shelf: s, node: node, offer: offer, sum: sha256.New()}
	if err := i.begin(); err != nil {
		return nil, RoomError(&model.Error{Kind: model.KindInternal, Err: err}, "keep a backup", err)
	}
	s.taking[node] = true
	return i, nil
}

// reserve is what others' backups leave of a disk at least, bytes: the node's own data come first.
const reserve = 32 << 20

// hasRoom refuses a backup that would take the room that the node needs for itself.
func (s *Shelf) hasRoom(size int64) error {
	if err := durable.MakeDirs(s.dir, 0o700); err != nil {
		return RoomError(&model.Error{Kind: model.KindInternal, Err: err}, "keep a backup", err)
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &disk); err != nil {
		return nil //nolint:nilerr // what cannot be measured is tried
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < size+reserve {
		return &model.Error{
			Kind: model.KindExhausted, Detail: fmt.Sprintf("the disk of the node that keeps backups has %d bytes left", free), Remedy: "make room there",
		}
	}
	return nil
}

// begin opens the file, with what is in it of an earlier try, and removes what was begun of other backups.
func (i *Incoming) begin() error {
	dir := filepath.Join(i.shelf.dir, i.node.String())
	if err := durable.MakeDirs(dir, 0o700); err != nil {
		return err
	}
	name := filepath.Join(dir, i.offer.Sum.String()+partSuffix)
	begun, _ := filepath.Glob(filepath.Join(dir, "*"+partSuffix)) // the pattern is right
	for _, other := range begun {
		if other != name {
			if err := os.Remove(other); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	var err error
	if i.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	i.offset, err = io.Copy(i.sum, io.LimitReader(i.file, i.offer.Size))
	if err == nil {
		_, err = i.file.Seek(i.offset, io.SeekStart)
	}
	if err != nil {
		return errors.Join(err, i.file.Close())
	}
	return nil
}

// Offset is from which byte on the backup is still to come.
func (i *Incoming) Offset() int64 { return i.offset }

// Write takes what comes next.
func (i *Incoming) Write(b []byte) (int, error) {
	if int64(len(b)) > i.offer.Size-i.offset {
		return 0, model.Errorf(model.KindInvalid, "more comes of the backup than was offered")
	}
	n, err := i.file.Write(b)
	i.sum.Write(b[:n])
	i.offset += int64(n)
	if err != nil {
		err = RoomError(&model.Error{Kind: model.KindInternal, Err: err}, "keep a backup", err)
	}
	return n, err
}

// Stop ends the taking; what has come stays for another try.
func (i *Incoming) Stop() { _ = i.end() }

func (i *Incoming) end() error {
	i.shelf.mu.Lock()
	delete(i.shelf.taking, i.node)
	i.shelf.mu.Unlock()
	return i.file.Close()
}

// Finish puts the backup on the shelf, where it is whole and of the node that it came from, and lets the oldest go.
func (i *Incoming) Finish() (Kept, error) {
	kept, err := i.finish()
	if err != nil {
		_ = os.Remove(i.file.Name()) // another try begins anew
	}
	return kept, errors.Join(err, i.end())
}

func (i *Incoming) finish() (Kept, error) {
	if i.offset != i.offer.Size || Sum(i.sum.Sum(nil)) != i.offer.Sum {
		return Kept{}, model.Errorf(model.KindCorrupt, "what came of the backup is not what was offered")
	}
	if err := durable.Sync(i.file); err != nil {
		return Kept{}, err
	}
	header, err := ReadHeader(i.file.Name())
	if err != nil {
		return Kept{}, err
	}
	if header.Node != i.node {
		return Kept{}, model.Errorf(model.KindDenied, "the backup is of the node %s", header.Node.Short())
	}
	before := i.shelf.list(i.node)
	number := uint64(1)
	if len(before) > 0 {
		number = before[len(before)-1].number + 1
	}
	dir := filepath.Dir(i.file.Name())
	kept := Kept{Header: header, Sum: i.offer.Sum, Size: i.offset, number: number}
	kept.file = filepath.Join(dir, fmt.Sprintf("%d-%s%s", number, kept.Sum, keptSuffix))
	if err := os.Rename(i.file.Name(), kept.file); err != nil {
		return Kept{}, err
	}
	if err := durable.SyncDir(dir); err != nil {
		return Kept{}, err
	}
	if info, err := os.Stat(kept.file); err == nil {
		kept.Came = model.TimeOf(info.ModTime())
	}
	for len(before) > i.shelf.keep-1 {
		_ = os.Remove(before[0].file) // one too many does no harm, and goes the next time
		before = before[1:]
	}
	return kept, nil
}

// Drop forgets all backups of a node.
func (s *Shelf) Drop(node model.NodeID) error {
	return os.RemoveAll(filepath.Join(s.dir, node.String()))
}
