package store

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"banyan/model"
)

// lockPatience is how long the lock is waited for: a process that was killed holds it until the last of its threads is out of the kernel, which a write
// to a busy disk delays beyond the moment at which the process looks dead.
const lockPatience = 3 * time.Second

// lockDirectory makes sure that no other process works in dir. The lock goes with the process, however it ends. The file
// holds the number of the process, for whoever is refused.
func lockDirectory(dir string) (*os.File, error) {
	name := filepath.Join(dir, "node.lock")
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", name, err)
	}
	began := time.Now()
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for err != nil && time.Since(began) < lockPatience {
		time.Sleep(20 * time.Millisecond)
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		holder, _ := io.ReadAll(io.LimitReader(file, 32))
		file.Close()
		return nil, &model.Error{
			Kind: model.KindUnavailable, Op: "open", Err: err,
			Detail: fmt.Sprintf("the directory %s is in use by the process %s", dir, strings.TrimSpace(string(holder))),
			Remedy: "stop it, or give this node a directory of its own",
		}
	}
	// Over what stands there, which takes no room on a full disk. The lock holds without the number.
	if _, err := file.WriteAt(fmt.Appendf(nil, "%-11d\n", os.Getpid()), 0); err != nil && !IsFull(err) {
		file.Close()
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	return file, nil
}
