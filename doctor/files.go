package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// File is one whose permissions matter.
type File struct {
	Path   string
	Most   fs.FileMode // permissions that it may have
	Needed bool        // without it the node does not start
}

// Files looks whether files are there, are the node's, and are closed to those who must not read them. owner is the user as whom the node runs, -1
// where that is not known.
func Files(files []File, owner int) []Finding {
	var found []Finding
	for _, f := range files {
		name := filepath.Base(f.Path)
		info, err := os.Stat(f.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && f.Needed:
			found = append(found, Found("files", Failed, "restore it from a backup of this node, or look whether the directory is right", "%s is not there", f.Path))
			continue
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			found = append(found, Found("files", Failed, "run this as the user of the node, or as root", "%s cannot be looked at: %v", f.Path, err))
			continue
		}
		if more := info.Mode().Perm() &^ f.Most; more != 0 {
			found = append(found, Found("files", Failed, fmt.Sprintf("chmod %o %s", f.Most, f.Path), "others may read or change %s: its permissions are %o", name, info.Mode().Perm()))
		}
		if system, ok := info.Sys().(*syscall.Stat_t); ok && owner >= 0 && int(system.Uid) != owner {
			found = append(found, Found("files", Failed, fmt.Sprintf("chown it to the user %d", owner), "%s belongs to the user %d, and the node is the user %d", name, system.Uid, owner))
		}
	}
	if len(found) == 0 {
		found = append(found, Good("files", "keys and database belong to the node and are closed to others"))
	}
	return found
}
