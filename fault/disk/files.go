package disk

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

func (v *view) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return v.make(in.NodeId, OpCreate, name, syscall.S_IFREG|in.Mode&^in.Umask&0o7777, &out.EntryOut)
}

func (v *view) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return v.make(in.NodeId, OpMkdir, name, syscall.S_IFDIR|in.Mode&^in.Umask&0o7777, out)
}

func (v *view) make(in uint64, op Op, name string, mode uint32, out *fuse.EntryOut) fuse.Status {
	return v.at(in, name, op, func(dir *node, failed syscall.Errno) syscall.Errno {
		switch {
		case failed != 0:
			return failed
		case dir.names[name] != nil:
			return syscall.EEXIST
		case v.disk.room > 0 && v.disk.taken >= v.disk.room:
			return syscall.ENOSPC
		}
		n := v.disk.add(mode)
		if n.isDir() {
			n.links++
		}
		v.disk.rename(naming{{dir, name, n}})
		n.entry(out)
		return 0
	})
}

func (v *view) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return fuse.OK
}

func (v *view) Read(_ <-chan struct{}, in *fuse.ReadIn, buffer []byte) (fuse.ReadResult, fuse.Status) {
	count := 0
	status := v.on(in.NodeId, OpRead, func(n *node, failed syscall.Errno) syscall.Errno {
		if failed == 0 && in.Offset < uint64(len(n.data)) {
			count = copy(buffer, n.data[in.Offset:])
		}
		return failed
	})
	return fuse.ReadResultData(buffer[:count]), status
}

// mapped is the flag of a write of the kernel's own, of a page that a program has mapped into its memory. No program waits for it, so that it is no step.
const mapped = 1

func (v *view) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	op, written := OpWrite, 0
	if in.WriteFlags&mapped != 0 {
		op = ""
	}
	status := v.on(in.NodeId, op, func(n *node, failed syscall.Errno) syscall.Errno {
		if failed != 0 {
			v.disk.write(n, int64(in.Offset), data[:v.disk.random.IntN(len(data)+1)])
			return failed
		}
		if written = v.disk.write(n, int64(in.Offset), data); written == 0 && len(data) > 0 {
			return syscall.ENOSPC
		}
		return 0
	})
	return uint32(written), status
}

func (v *view) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (v *view) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return v.on(in.NodeId, OpSync, func(n *node, failed syscall.Errno) syscall.Errno {
		if failed != 0 {
			v.disk.forget(n)
			return failed
		}
		n.sync()
		return 0
	})
}

func (v *view) OpenDir(_ <-chan struct{}, _ *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	return fuse.OK
}

func (v *view) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return v.on(in.NodeId, OpSyncDir, func(dir *node, failed syscall.Errno) syscall.Errno {
		if failed != 0 {
			return failed // its names may be kept by the next one
		}
		v.disk.syncNames(dir)
		return 0
	})
}

func (v *view) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return v.on(in.NodeId, "", func(dir *node, _ syscall.Errno) syscall.Errno {
		for i, name := range sorted(dir.names) {
			n := dir.names[name]
			if uint64(i) >= in.Offset && !out.AddDirEntry(fuse.DirEntry{Name: name, Mode: n.mode, Ino: n.number, Off: uint64(i) + 1}) {
				break
			}
		}
		return 0
	})
}

func (v *view) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return v.remove(in.NodeId, name, false)
}

func (v *view) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return v.remove(in.NodeId, name, true)
}

func (v *view) remove(in uint64, name string, directory bool) fuse.Status {
	return v.at(in, name, OpRemove, func(dir *node, failed syscall.Errno) syscall.Errno {
		n := dir.names[name]
		switch {
		case failed != 0:
			return failed
		case n == nil:
			return syscall.ENOENT
		case directory && len(n.names) > 0:
			return syscall.ENOTEMPTY
		}
		v.disk.rename(naming{{dir, name, nil}})
		return 0
	})
}

func (v *view) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	return v.at(in.NodeId, from, OpRename, func(dir *node, failed syscall.Errno) syscall.Errno {
		n, into := dir.names[from], v.disk.nodes[in.Newdir]
		switch {
		case failed != 0:
			return failed
		case n == nil || into == nil:
			return syscall.ENOENT
		case in.Flags != 0:
			return syscall.EINVAL
		}
		if before := into.names[to]; before != nil && len(before.names) > 0 {
			return syscall.ENOTEMPTY
		}
		v.disk.rename(naming{{dir, from, nil}, {into, to, n}})
		return 0
	})
}

func (v *view) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return v.at(in.NodeId, name, OpLink, func(dir *node, failed syscall.Errno) syscall.Errno {
		n := v.disk.nodes[in.Oldnodeid]
		switch {
		case failed != 0:
			return failed
		case n == nil:
			return syscall.ENOENT
		case dir.names[name] != nil:
			return syscall.EEXIST
		}
		v.disk.rename(naming{{dir, name, n}})
		n.entry(out)
		return 0
	})
}
