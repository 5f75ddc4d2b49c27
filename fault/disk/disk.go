package disk

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Disk is a disk. It outlives the programs that use it, and its mounts.
type Disk struct {
	mu     sync.Mutex // guards all below
	random *rand.Rand
	nodes  map[uint64]*node // by number, the root is 1
	last   uint64
	naming []naming // of names, since each was kept, in order
	room   int64    // bytes; 0 for no end
	taken  int64

	plan  Plan
	steps int
	dark  chan struct{} // closed when the power is gone
}

// node is a file or a directory. What is kept is what a cut leaves at least.
type node struct {
	number  uint64
	mode    uint32
	changed time.Time
	links   uint32

	names, keptNames map[string]*node // of a directory

	data, kept []byte   // of a file
	changes    []change // that made data of kept, in order, but for those that a failed fsync has forgotten
}

func (n *node) isDir() bool { return n.names != nil }

// change is a write, or where data is nil a new length.
type change struct {
	at   int64
	data []byte
}

// naming changes names in one go.
type naming []struct {
	in   *node
	name string
	to   *node // nil: the name goes
}

// New makes an empty disk. What a cut leaves follows from the seed and from what was done before.
func New(seed uint64) *Disk {
	d := &Disk{random: rand.New(rand.NewPCG(seed, 7)), nodes: map[uint64]*node{}, dark: make(chan struct{})}
	root := d.add(syscall.S_IFDIR | 0o755)
	root.links = 2
	return d
}

func (d *Disk) add(mode uint32) *node {
	d.last++
	n := &node{number: d.last, mode: mode, changed: time.Now()}
	if mode&syscall.S_IFMT == syscall.S_IFDIR {
		n.names, n.keptNames = map[string]*node{}, map[string]*node{}
	}
	d.nodes[n.number] = n
	return n
}

func (d *Disk) root() *node { return d.nodes[1] }

// rename applies a naming to what programs see, and remembers that it is not kept.
func (d *Disk) rename(names naming) {
	for _, e := range names {
		if e.to != nil {
			e.to.links++
		}
	}
	for _, e := range names {
		if before := e.in.names[e.name]; before != nil {
			before.links--
			if before.links == 0 && !before.isDir() {
				d.taken -= blocks(len(before.data))
			}
		}
		set(e.in.names, e.name, e.to)
		e.in.changed = time.Now()
	}
	d.naming = append(d.naming, names)
}

func set(names map[string]*node, name string, to *node) {
	if to == nil {
		delete(names, name)
	} else {
		names[name] = to
	}
}

// resize makes room for so many bytes in a file, or gives it back.
func (d *Disk) resize(n *node, size int) bool {
	more := blocks(size) - blocks(len(n.data))
	if d.room > 0 && more > 0 && d.taken+more > d.room {
		return false
	}
	d.taken += more
	n.data = stretch(n.data, size)
	return true
}

// blocks is what a file of so many bytes takes.
func blocks(size int) int64 { return (int64(size) + 4095) &^ 4095 }

// stretch cuts bytes off or puts zeros behind.
func stretch(data []byte, size int) []byte {
	if size <= len(data) {
		return data[:size]
	}
	had := len(data)
	if size > cap(data) {
		data = append(make([]byte, 0, size+size/4), data...)
	}
	data = data[:size]
	clear(data[had:])
	return data
}

// write puts bytes into a file, as many as there is room for.
func (d *Disk) write(n *node, at int64, data []byte) (written int) {
	if end := int(at) + len(data); end > len(n.data) {
		for !d.resize(n, end) {
			fits := (int(at)+len(data)-1)/4096*4096 - int(at) // without the last block
			if fits <= 0 {
				return 0
			}
			data, end = data[:fits], int(at)+fits
			if end <= len(n.data) {
				break
			}
		}
	}
	copy(n.data[at:], data)
	n.changes = append(n.changes, change{at, append([]byte{}, data...)})
	n.changed = time.Now()
	return len(data)
}

func (d *Disk) truncate(n *node, size int) bool {
	if !d.resize(n, size) {
		return false
	}
	n.changes = append(n.changes, change{at: int64(size)})
	n.changed = time.Now()
	return true
}

// SetRoom says how many bytes the disk has room for in files, 0 for no end. What lies there stays.
func (d *Disk) SetRoom(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = bytes
}

// Taken is how many bytes files take.
func (d *Disk) Taken() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken
}

// CopyTo writes all that is on the disk below a path to a directory, as programs see it.
func (d *Disk) CopyTo(below, dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.root()
	for _, name := range split(below) {
		if n = n.names[name]; n == nil {
			return &os.PathError{Op: "copy", Path: below, Err: fs.ErrNotExist}
		}
	}
	return n.copyTo(dir)
}

func (n *node) copyTo(name string) error {
	if !n.isDir() {
		return os.WriteFile(name, n.data, fs.FileMode(n.mode&0o777))
	}
	if err := os.MkdirAll(name, fs.FileMode(n.mode&0o777)); err != nil {
		return err
	}
	for entry, below := range n.names {
		if err := below.copyTo(filepath.Join(name, entry)); err != nil {
			return err
		}
	}
	return nil
}

func split(name string) []string {
	var parts []string
	for dir := path.Clean("/" + name); dir != "/"; dir = path.Dir(dir) {
		parts = append([]string{path.Base(dir)}, parts...)
	}
	return parts
}

// nameOf is a path by which a node can be found, for people who read what failed.
func (d *Disk) nameOf(n *node) string {
	if found, ok := d.root().find(n); ok {
		return found
	}
	return "(no name)"
}

func (n *node) find(wanted *node) (string, bool) {
	if n == wanted {
		return "", true
	}
	for name, below := range n.names {
		if found, ok := below.find(wanted); ok {
			return path.Join(name, found), true
		}
	}
	return "", false
}
