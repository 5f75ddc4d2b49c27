package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"banyan/fault/disk"
)

// onDisk does something on a disk that loses what is not fsynced, lets the power go, and looks at what is left.
func onDisk(t *testing.T, seed uint64, plan disk.Plan, do func(dir string) error, look func(dir string)) {
	t.Helper()
	d, dir := disk.New(seed), t.TempDir()
	mount := func() func() error {
		unmount, err := d.Mount(dir)
		if err != nil {
			t.Fatal(err)
		}
		return unmount
	}
	unmount := mount()
	d.Set(plan)
	did := do(dir)
	if err := unmount(); err != nil {
		t.Fatal(err)
	}
	d.Cut()
	unmount = mount()
	if did == nil {
		look(dir)
	}
	if err := unmount(); err != nil {
		t.Fatal(err)
	}
}

// ways are the functions that make a file, in directories that are made for it.
var ways = map[string]func(path string, data []byte) error{
	"replace": func(path string, data []byte) error { return Replace(path, data, 0o600) },
	"create":  func(path string, data []byte) error { return Create(path, data, 0o600) },
}

// TestDoneOutlivesACut: what was done without an error is there after each of 20 cuts, in directories that were made for it. It turns red for the planted
// faults names-not-kept and rename-without-fsync.
func TestDoneOutlivesACut(t *testing.T) {
	const content = "a key, or a word that is shown once"
	for name, write := range ways {
		for seed := range uint64(20) {
			onDisk(t, seed, disk.Plan{}, func(dir string) error {
				if err := MakeDirs(filepath.Join(dir, "a", "b", "c"), 0o700); err != nil {
					return err
				}
				return write(filepath.Join(dir, "a", "b", "c", "key"), []byte(content))
			}, func(dir string) {
				if got, err := os.ReadFile(filepath.Join(dir, "a", "b", "c", "key")); string(got) != content {
					t.Errorf("%s, seed %d: after the cut there is %q, %v", name, seed, got, err)
				}
			})
		}
	}
}

// TestOldOrNew: a cut before any step of replacing a file leaves the old content or the new one.
func TestOldOrNew(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(40) {
		d, dir := disk.New(seed), t.TempDir()
		unmount, err := d.Mount(dir)
		if err == nil {
			err = Replace(filepath.Join(dir, "key"), []byte("old content"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		d.Set(disk.Plan{CutBefore: d.Steps() + 1 + int(seed)%6})
		err = Replace(filepath.Join(dir, "key"), []byte("new"), 0o600)
		if err := unmount(); err != nil {
			t.Fatal(err)
		}
		d.Cut()
		left := t.TempDir()
		if err := d.CopyTo("/", left); err != nil {
			t.Fatal(err)
		}
		got, _ := os.ReadFile(filepath.Join(left, "key"))
		if string(got) != "old content" && string(got) != "new" || err == nil && string(got) != "new" {
			t.Errorf("seed %d: replacing said %v, and left is %q", seed, err, got)
		}
		met[string(got)]++
	}
	if len(met) != 2 {
		t.Errorf("met %v: this proves nothing", met)
	}
}

// TestEachStepFails: where any step fails, the caller hears of it, or it is done and outlives a cut. It turns red for the planted fault fsync-tried-again.
func TestEachStepFails(t *testing.T) {
	for name, write := range ways {
		failed := 0
		for at := 1; ; at++ {
			reached, did := false, false
			for seed := range uint64(8) { // an fsync that fails keeps some of it at times
				steps := 0
				plan := disk.Plan{Each: func(disk.Step) syscall.Errno {
					if steps++; steps == at {
						reached = true
						return syscall.EIO
					}
					return 0
				}}
				onDisk(t, seed, plan, func(dir string) error {
					err := MakeDirs(filepath.Join(dir, "a"), 0o700)
					if err == nil {
						err = write(filepath.Join(dir, "a", "key"), []byte("content"))
					}
					did = err == nil
					return err
				}, func(dir string) {
					if got, err := os.ReadFile(filepath.Join(dir, "a", "key")); string(got) != "content" {
						t.Errorf("%s with step %d failing said that it is done: %q, %v", name, at, got, err)
					}
				})
			}
			if !reached {
				break
			}
			if !did {
				failed++
			}
		}
		if failed < 5 {
			t.Errorf("%s was told of %d steps that failed", name, failed)
		}
	}
}

// TestCreateIsOnce: a file that is there is not touched, and nothing is left beside it.
func TestCreateIsOnce(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "key")
	if err := Create(name, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Create(name, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if got, _ := os.ReadFile(name); string(got) != "first" || len(entries) != 1 || err != nil {
		t.Errorf("%q among %v, %v", got, entries, err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
