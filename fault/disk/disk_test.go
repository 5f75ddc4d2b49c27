package disk

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// machine is a disk that is mounted.
type machine struct {
	*testing.T
	*Disk
	dir     string
	unmount func() error
}

func start(t *testing.T, seed uint64) *machine {
	t.Helper()
	m := &machine{t, New(seed), t.TempDir(), nil}
	m.on()
	t.Cleanup(m.off)
	return m
}

func (m *machine) on() {
	m.Helper()
	var err error
	if m.unmount, err = m.Mount(m.dir); err != nil {
		m.Fatal(err)
	}
}

func (m *machine) off() {
	m.Helper()
	if m.unmount == nil {
		return
	}
	if err := m.unmount(); err != nil {
		m.Error(err)
	}
	m.unmount = nil
}

func (m *machine) cut() {
	m.Helper()
	m.off()
	m.Cut()
	m.on()
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// write writes a file and, where it is told to, keeps it and its name.
func (m *machine) write(name string, content []byte, sync, syncName bool) {
	m.Helper()
	f, err := os.Create(m.path(name))
	m.must(err)
	_, err = f.Write(content)
	m.must(err)
	if sync {
		m.must(f.Sync())
	}
	m.must(f.Close())
	if syncName {
		m.must(syncDir(filepath.Dir(m.path(name))))
	}
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// TestWhatACutTakes: what was kept is there after each of many cuts, and of what was not each part is missing at some time.
func TestWhatACutTakes(t *testing.T) {
	m := start(t, 1)
	whole := bytes.Repeat([]byte("0123456789abcdef"), 1024)
	met := map[string]bool{}
	for round := range 60 {
		kept, bare, renamed := fmt.Sprintf("kept%d", round), fmt.Sprintf("bare%d", round), fmt.Sprintf("renamed%d", round)
		m.write(kept, whole, true, true)
		m.write(bare, whole, false, true)
		m.write("new", whole, false, false)
		m.must(os.Rename(m.path("new"), m.path(renamed)))
		m.write("unnamed", whole, true, false)
		m.cut()
		if got, err := os.ReadFile(m.path(kept)); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("round %d: what was kept is not: %v, %d bytes", round, err, len(got))
		}
		for what, name := range map[string]string{"bytes": bare, "renamed": renamed, "name": "unnamed"} {
			got, err := os.ReadFile(m.path(name))
			switch {
			case err != nil:
				met[what+" gone"] = true
			case bytes.Equal(got, whole):
				met[what+" there"] = true
			case len(got) == len(whole):
				met[what+" damaged"] = true
			default:
				met[what+" short"] = true
			}
		}
		_ = os.Remove(m.path("unnamed"))
		_ = os.Remove(m.path("new"))
	}
	for _, want := range []string{
		"bytes there", "bytes damaged", "bytes short", "renamed there", "renamed gone", "renamed damaged", "renamed short", "name there", "name gone",
	} {
		if !met[want] {
			t.Errorf("in no round: %s; met %v", want, met)
		}
	}
	if met["bytes gone"] || met["name damaged"] || met["name short"] {
		t.Errorf("what was kept was lost: %v", met)
	}
}

// TestFailedSyncForgets: after an fsync that failed the next one succeeds and keeps nothing of what the first one was for.
func TestFailedSyncForgets(t *testing.T) {
	lost := 0
	for seed := range uint64(20) {
		m := start(t, seed)
		m.write("a", nil, true, true)
		m.Set(Plan{Each: func(s Step) syscall.Errno {
			if s.Op == OpSync && s.Name == "a" {
				return syscall.EIO
			}
			return 0
		}})
		f, err := os.OpenFile(m.path("a"), os.O_WRONLY, 0)
		m.must(err)
		_, err = f.WriteString("word")
		m.must(err)
		if err := f.Sync(); err == nil {
			t.Fatal("the fsync did not fail")
		}
		m.Set(Plan{})
		m.must(f.Sync())
		m.must(f.Close())
		if got, err := os.ReadFile(m.path("a")); string(got) != "word" {
			t.Errorf("programs do not see what they wrote: %q, %v", got, err)
		}
		m.cut()
		if got, _ := os.ReadFile(m.path("a")); string(got) != "word" {
			lost++
		}
		m.off()
	}
	if lost == 0 || lost == 20 {
		t.Errorf("lost in %d of 20 cuts", lost)
	}
}

// TestPlannedCut: from the step of the plan on nothing comes to the disk, and nothing is said to be kept.
func TestPlannedCut(t *testing.T) {
	m := start(t, 3)
	m.write("a", []byte("before"), true, true)
	steps := m.Steps()
	m.Set(Plan{CutBefore: steps + 3})
	m.must(os.WriteFile(m.path("a"), []byte("after"), 0o600)) // a truncate and a write
	select {
	case <-m.Dark():
		t.Fatal("the power went too early")
	default:
	}
	if err := syncDir(m.dir); err == nil {
		t.Error("a step without power succeeded")
	}
	<-m.Dark()
	if err := os.WriteFile(m.path("b"), nil, 0o600); err == nil {
		t.Error("a file was made without power")
	}
	m.cut()
	if _, err := os.Stat(m.path("b")); !os.IsNotExist(err) {
		t.Errorf("it is there: %v", err)
	}
}

// TestRoom: a full disk says so, takes what fits, and has room again.
func TestRoom(t *testing.T) {
	m := start(t, 4)
	m.SetRoom(64 << 10)
	err := os.WriteFile(m.path("a"), make([]byte, 100_000), 0o600)
	if info, _ := os.Stat(m.path("a")); err == nil || info.Size() != 64<<10 {
		t.Errorf("100,000 bytes on a disk of 64 KiB: %v, %d are there", err, info.Size())
	}
	if err := os.WriteFile(m.path("b"), nil, 0o600); err == nil {
		t.Error("a file was made on a full disk")
	}
	var there syscall.Statfs_t
	if err := syscall.Statfs(m.dir, &there); err != nil || there.Bavail != 0 {
		t.Errorf("a full disk has %d blocks, %v", there.Bavail, err)
	}
	m.must(os.Remove(m.path("a")))
	m.write("b", make([]byte, 60_000), true, true)
	if m.Taken() != 60<<10 {
		t.Errorf("%d bytes are taken", m.Taken())
	}
}

// TestNames: renames, links and directories are as programs expect them.
func TestNames(t *testing.T) {
	m := start(t, 5)
	m.must(os.MkdirAll(m.path("a/b"), 0o700))
	m.write("a/x", []byte("x"), false, false)
	m.must(os.Link(m.path("a/x"), m.path("a/y")))
	m.must(os.Remove(m.path("a/x")))
	m.must(os.Rename(m.path("a/y"), m.path("a/b/z")))
	if err := os.Link(m.path("a/b/z"), m.path("a/b/z")); !os.IsExist(err) {
		t.Errorf("a link over a file: %v", err)
	}
	if err := os.Remove(m.path("a")); err == nil {
		t.Error("a directory with something in it was removed")
	}
	out := t.TempDir()
	m.must(m.CopyTo("a", out))
	if got, err := os.ReadFile(filepath.Join(out, "b", "z")); string(got) != "x" {
		t.Errorf("copied: %q, %v", got, err)
	}
	m.must(os.RemoveAll(m.path("a")))
	if entries, err := os.ReadDir(m.dir); len(entries) != 0 || err != nil {
		t.Errorf("left are %v, %v", entries, err)
	}
	if err := m.CopyTo("a", out); !os.IsNotExist(err) {
		t.Errorf("copying what is not there: %v", err)
	}
	if info, err := os.Stat(m.dir); err != nil || info.Mode().Perm() != fs.FileMode(0o755) {
		t.Errorf("%v, %v", info, err)
	}
}
