package exec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"banyan/model"
)

func absolute(dir string) string {
	if dir == "" {
		return ""
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	return full
}

// mayRun looks at the folder, at each folder on the way to the program, and at the program: nobody but root and the node's user may
// be able to change any of them, and none may be a link to somewhere else. Since that holds, what was looked at is also what runs.
func (o *options) mayRun(dir string) error {
	if dir == "" {
		return model.Errorf(model.KindUnsupported, "no program runs here: there is no folder for them")
	}
	inside, err := filepath.Rel(dir, o.program)
	if err != nil || !filepath.IsLocal(inside) {
		return model.Errorf(model.KindDenied, "the program does not lie in the folder exec of the node's directory")
	}
	at, what := dir, "the folder exec of the node's directory"
	if err := trusted(at, what, true); err != nil {
		return err
	}
	parts := strings.Split(inside, string(filepath.Separator))
	for i, part := range parts {
		at, what = filepath.Join(at, part), "the folder "+filepath.Join(parts[:i+1]...)
		last := i == len(parts)-1
		if last {
			what = "the program"
		}
		if err := trusted(at, what, !last); err != nil {
			return err
		}
	}
	return nil
}

// trusted checks one step of the way.
func trusted(at, what string, folder bool) error {
	info, err := os.Lstat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refused(what+" does not exist", "")
	case err != nil:
		return refused(what+" cannot be looked at", "")
	case info.Mode()&fs.ModeSymlink != 0:
		return refused(what+" is a symbolic link", "copy there what it points to")
	case folder && !info.IsDir():
		return refused(what+" is no folder", "")
	case !folder && !info.Mode().IsRegular():
		return refused(what+" is no file", "")
	case info.Mode().Perm()&0o022 != 0:
		return refused(what+" can be written by its group or by others", "chmod go-w")
	case !folder && info.Mode().Perm()&0o111 == 0:
		return refused(what+" cannot be executed", "chmod u+x")
	case !folder && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return refused(what+" would run as somebody else", "chmod ug-s")
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return refused(what+" belongs neither to root nor to the node's user", "chown root")
	}
	return nil
}

func refused(detail, remedy string) error {
	return &model.Error{Kind: model.KindDenied, Detail: detail, Remedy: remedy}
}
