package backup

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"banyan/model"
)

// PutFile writes a file that has its name when it is whole and on the disk, and else does not. Who writes at the same time is refused.
func PutFile(name string, write func(*os.File) error) error {
	temporary := name + ".tmp"
	f, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(f.Close(), &model.Error{Kind: model.KindConflict, Detail: temporary + " is being written already", Err: err})
	}
	err = f.Truncate(0)
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err == nil {
		err = write(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(temporary, name) // while it is locked
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary), f.Close())
	}
	return errors.Join(f.Close(), syncDirectory(filepath.Dir(name)))
}

// syncDirectory makes names in a directory durable.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// RoomError says of an error that there was no room on the disk, where that was the cause.
func RoomError(known *model.Error, op string, cause error) error {
	told := *known
	if told.Op == "" {
		told.Op = op
	}
	if errors.Is(cause, syscall.ENOSPC) || errors.Is(cause, syscall.EDQUOT) {
		told.Kind, told.Detail, told.Err = model.KindExhausted, "there is no room on the disk", cause
		told.Remedy = "make room and try again; nothing was left behind"
	}
	return &told
}
