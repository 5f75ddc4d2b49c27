package disk

import (
	"fmt"
	"io"
	"log"
	"os"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Mount shows a disk as a directory, to this process and all others, until unmount is called. It needs root and /dev/fuse, and no program beside.
// Each mount begins with empty caches in the kernel, as a machine that was started. Programs must be gone before unmount: it cuts them off.
func (d *Disk) Mount(dir string) (unmount func() error, err error) {
	if err := ready(); err != nil {
		return nil, err
	}
	server, err := fuse.NewServer(&view{fuse.NewDefaultRawFileSystem(), d}, dir, &fuse.MountOptions{
		DirectMountStrict: true, FsName: "banyan-disk", Name: "banyan", DisableXAttrs: true, AllowOther: true, DisableReadDirPlus: true,
		MaxWrite: 1 << 20, Logger: log.New(io.Discard, "", 0),
	})
	if err != nil {
		return nil, fmt.Errorf("mounting a disk for tests at %s: %w", dir, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve()
	}()
	if err := server.WaitMount(); err != nil {
		return nil, err
	}
	return func() error {
		// By force: the name alone is not enough where somebody's namespace of mounts was copied from this one meanwhile, and holds it.
		if err := syscall.Unmount(dir, syscall.MNT_FORCE|syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting the disk at %s: %w", dir, err)
		}
		<-ended
		return nil
	}, nil
}

// ready says what is missing to mount a disk.
func ready() error {
	if os.Getuid() != 0 {
		return fmt.Errorf("a disk for tests is mounted by root only: run the test as root")
	}
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("a disk for tests needs FUSE (modprobe fuse; in a container the device /dev/fuse as well): %w", err)
	}
	return device.Close()
}

// view is a disk as the kernel asks for it.
type view struct {
	fuse.RawFileSystem
	disk *Disk
}

// for as long as the disk is mounted nobody but the kernel changes it.
const forGood = 1 << 30

// the calls of the kernel that ask about one node by its number.
func (v *view) on(number uint64, op Op, act func(n *node, failed syscall.Errno) syscall.Errno) fuse.Status {
	return v.at(number, "", op, act)
}

// at is on for an operation on a name in a directory.
func (v *view) at(number uint64, name string, op Op, act func(n *node, failed syscall.Errno) syscall.Errno) fuse.Status {
	label := func() string {
		label := v.disk.nameOf(v.disk.nodes[number])
		if name != "" {
			label += "/" + name
		}
		return label
	}
	return fuse.Status(v.disk.do(op, label, func(failed syscall.Errno) syscall.Errno {
		n := v.disk.nodes[number]
		if n == nil {
			return syscall.ESTALE
		}
		return act(n, failed)
	}))
}

func (n *node) attributes(out *fuse.Attr) {
	out.Ino, out.Mode, out.Nlink = n.number, n.mode, n.links
	out.Size, out.Blocks, out.Blksize = uint64(len(n.data)), uint64(blocks(len(n.data))/512), 4096
	at := n.changed
	out.SetTimes(&at, &at, &at)
}

func (n *node) entry(out *fuse.EntryOut) {
	out.NodeId, out.Generation = n.number, 1
	out.EntryValid, out.AttrValid = forGood, forGood
	n.attributes(&out.Attr)
}

func (v *view) String() string { return "banyan-disk" }

func (v *view) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return v.on(in.NodeId, "", func(dir *node, _ syscall.Errno) syscall.Errno {
		n := dir.names[name]
		if n == nil {
			return syscall.ENOENT
		}
		n.entry(out)
		return 0
	})
}

func (v *view) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return v.on(in.NodeId, "", func(n *node, _ syscall.Errno) syscall.Errno {
		out.AttrValid = forGood
		n.attributes(&out.Attr)
		return 0
	})
}

func (v *view) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	size, cuts := in.GetSize()
	op := Op("")
	if cuts {
		op = OpTruncate
	}
	return v.on(in.NodeId, op, func(n *node, failed syscall.Errno) syscall.Errno {
		if failed != 0 {
			return failed
		}
		if mode, ok := in.GetMode(); ok {
			n.mode = n.mode&syscall.S_IFMT | mode&0o7777
		}
		if at, ok := in.GetMTime(); ok {
			n.changed = at
		}
		if cuts && !v.disk.truncate(n, int(size)) {
			return syscall.ENOSPC
		}
		out.AttrValid = forGood
		n.attributes(&out.Attr)
		return 0
	})
}

func (v *view) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (v *view) StatFs(_ <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return v.on(in.NodeId, "", func(*node, syscall.Errno) syscall.Errno {
		room := v.disk.room
		if room == 0 {
			room = 1 << 40
		}
		out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
		out.Blocks, out.Files, out.Ffree = uint64(room/4096), 1<<20, 1<<20
		out.Bfree = uint64(max(0, room-v.disk.taken) / 4096)
		out.Bavail = out.Bfree
		return 0
	})
}
