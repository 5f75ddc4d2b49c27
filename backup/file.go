package backup

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"banyan/durable"
	"banyan/model"
)

const temporarySuffix = ".tmp"

// PutFile writes a file that has its name when it is whole and on the disk, and else does not. Who writes at the same time is refused.
func PutFile(name string, write func(*os.File) error) error {
	temporary := name + temporarySuffix
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
		err = durable.Sync(f)
	}
	if err == nil {
		err = os.Rename(temporary, name) // while it is locked
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary), f.Close())
	}
	return errors.Join(f.Close(), durable.SyncDir(filepath.Dir(name)))
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

// Sweep removes what PutFile left of files whose names match a pattern, when it was cut off with its process. What is being written stays.
func Sweep(pattern string) {
	left, _ := filepath.Glob(pattern + temporarySuffix) // a bad pattern finds nothing
	for _, name := range left {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.Remove(name)
		}
		_ = f.Close()
	}
}
