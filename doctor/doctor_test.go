package doctor

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func want(t *testing.T, what string, f Finding, state State, says string) {
	t.Helper()
	if f.State != state || !strings.Contains(f.Detail, says) {
		t.Errorf("%s: %s, %q; want %s, %q", what, f.State, f.Detail, state, says)
	}
	if (f.State == Warning || f.State == Failed) && f.Remedy == "" || f.State == OK && f.Remedy != "" {
		t.Errorf("%s: %s with the remedy %q", what, f.State, f.Remedy)
	}
}

func TestDisk(t *testing.T) {
	for _, c := range []struct {
		free, size, inodes, all int64
		space, files            State
	}{
		{100 << 30, 200 << 30, 1e6, 1e7, OK, OK},
		{500 << 20, 200 << 30, 1e6, 1e7, Warning, OK},
		{900 << 20, 2 << 30, 1e6, 1e7, OK, OK}, // little, and half of it
		{5 << 30, 200 << 30, 5000, 1e7, Warning, Warning},
		{10 << 20, 200 << 30, 50, 1e7, Failed, Failed},
		{0, 1 << 20, 0, 0, Failed, ""},
	} {
		found := disk("/d", c.free, c.size, c.inodes, c.all)
		want(t, "space", found[0], c.space, "are free for /d")
		if (len(found) == 2) != (c.files != "") {
			t.Errorf("%+v: %v", c, found)
		} else if len(found) == 2 {
			want(t, "inodes", found[1], c.files, "are free")
		}
	}
	want(t, "a real one", Disk(t.TempDir())[0], Disk("/tmp")[0].State, "free for")
	want(t, "none", Disk("/nowhere")[0], Failed, "no such file")
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) File {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return File{path, 0o600, true}
	}
	good, open, bad := write("good", 0o600), write("open", 0o640), write("bad", 0o666)
	want(t, "good", Files([]File{good, {filepath.Join(dir, "none"), 0o600, false}}, os.Getuid())[0], OK, "closed")
	found := Files([]File{good, open, bad, {filepath.Join(dir, "none"), 0o600, true}}, os.Getuid())
	if len(found) != 3 {
		t.Fatal(found)
	}
	want(t, "open", found[0], Failed, "open: its permissions are 640")
	want(t, "bad", found[1], Failed, "bad")
	want(t, "none", found[2], Failed, "is not there")
	if remedy := found[0].Remedy; remedy != "chmod 600 "+open.Path {
		t.Error(remedy)
	}
	want(t, "another user's", Files([]File{good}, os.Getuid()+1)[0], Failed, "belongs to the user")
}

func TestClocks(t *testing.T) {
	want(t, "never set", Clock(time.Unix(0, 0))[0], Failed, "1970")
	for skew, state := range map[time.Duration]State{time.Second: "", -3 * time.Second: Warning, time.Hour: Failed} {
		f, is := Skew("hq", skew)
		if is != (state != "") || is && f.State != state {
			t.Errorf("%s: %v", skew, f)
		}
	}
	var j Jumps
	now := time.Now()
	j.Look(now, now)
	j.Look(now.Add(5*time.Second), now.Add(5*time.Second))
	if found := j.Findings(now); len(found) > 0 {
		t.Error(found)
	}
	j.Look(now.Add(3610*time.Second), now.Add(10*time.Second))
	want(t, "jumped", j.Findings(now)[0], Warning, "by 1h0m0s")
	if found := j.Findings(now.Add(26 * time.Hour)); len(found) > 0 {
		t.Error("it is told for ever")
	}
}

func TestLimits(t *testing.T) {
	want(t, "many", openFiles(50, 65536), OK, "50 are open")
	want(t, "few", openFiles(50, 1024), Warning, "1024")
	want(t, "used up", openFiles(65000, 65536), Failed, "65000")
	want(t, "real", OpenFiles(), OpenFiles().State, "are allowed")
	const none = int64(^uint64(0) >> 1)
	for _, c := range []struct {
		g       group
		program int64
		state   State
	}{
		{group{}, none, OK}, {group{}, 1 << 30, OK}, {group{1 << 20, 1 << 30}, 900 << 20, OK}, {group{1 << 20, 1 << 30}, none, Warning},
		{group{900 << 20, 1 << 30}, 900 << 20, Warning}, {group{1000 << 20, 1 << 30}, 900 << 20, Failed},
	} {
		want(t, "memory", memory(c.g, c.program), c.state, "")
	}
	for text, may := range map[string]bool{"1\t0\n": false, "0\t2147483647\n": true, "100 200": true, "201 300": false, "": false, "a b": false} {
		if pingGroups(text, []int{150, 5}) != may {
			t.Errorf("%q", text)
		}
	}
}

func TestControlGroups(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/b/memory.max": "max\n", "a/b/memory.current": "5\n", "a/memory.max": "100\n", "a/memory.current": "50\n", "memory.max": "1000\n", "cgroup": "1:name=x:/y\n0::/a/b\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if g := cgroup(filepath.Join(root, "cgroup"), root); g != (group{50, 100}) {
		t.Error(g)
	}
	if g := cgroup(filepath.Join(root, "none"), root); g != (group{}) {
		t.Error(g)
	}
}

func TestCertificates(t *testing.T) {
	now := time.Now()
	c := &x509.Certificate{NotBefore: now.Add(-time.Hour), NotAfter: now.Add(48 * time.Hour), DNSNames: []string{"hq"}}
	want(t, "good", Certificate("API", c, now, 24*time.Hour, "renew"), OK, "holds until")
	want(t, "due", Certificate("API", c, now, 72*time.Hour, "renew"), Warning, "in 2 days")
	want(t, "over", Certificate("API", c, now.Add(72*time.Hour), 0, "renew"), Failed, "expired")
	want(t, "early", Certificate("API", c, now.Add(-72*time.Hour), 0, "renew"), Failed, "later than now")
	want(t, "names", Names(c, []string{"hq"}), OK, "hq")
	want(t, "other names", Names(c, []string{"hq", "north"}), Warning, "not for north")
}

func TestWorst(t *testing.T) {
	if Worst(nil) != OK || Worst([]Finding{{State: OK}, {State: Warning}, {State: Unknown}}) != Warning {
		t.Error("worst")
	}
	for bytes, text := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 40: "5 TiB"} {
		if Size(bytes) != text {
			t.Error(Size(bytes))
		}
	}
}
