package exec

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
)

// script writes a program and returns its path.
func script(t testing.TB, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDriver(t *testing.T) {
	dir := t.TempDir()
	all := script(t, dir, "room", `cat <<END
temperature=21.5
door_open=false
motions=9007199254740993
name=north
uptime=1h
since=2026-01-02T03:04:05Z
END`)
	two := script(t, dir, "two", "echo temperature=21.5; echo motions=9007199254740993")
	t.Run("sample", func(t *testing.T) { devicetest.Run(t, located{New(dir), all, two}) })
}

// located is the driver, with the program of a case where the test has put it: the case names one that has to be refused, or /exec/room.
type located struct {
	Driver
	all, two string
}

func (l located) Open(s devices.Settings) (devices.Device, error) {
	moved := devices.Settings{}
	for name, v := range s {
		moved[name] = v
	}
	switch s["program"].Text() {
	case "/var/lib/banyan/exec/room":
		moved["program"] = model.String(l.all)
	case "/exec/room":
		moved["program"] = model.String(l.two)
	}
	return l.Driver.Open(moved)
}

func with(program, points string, more ...any) devices.Settings {
	s := devices.Settings{"program": model.String(program), "points": model.String(points)}
	for i := 0; i < len(more); i += 2 {
		switch v := more[i+1].(type) {
		case string:
			s[more[i].(string)] = model.String(v)
		case time.Duration:
			s[more[i].(string)] = model.Duration(v)
		}
	}
	return s
}

// TestPrograms holds what each way of behaving gives. That the timeout is kept is what devicetest.Poll checks.
func TestPrograms(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	dir := t.TempDir()
	number := 0
	of := func(text string) string {
		number++
		return script(t, dir, strconv.Itoa(number), text)
	}
	odd := filepath.Join(dir, "odd")
	if err := os.WriteFile(odd, []byte("neither this nor that"), 0o755); err != nil {
		t.Fatal(err)
	}
	lost := filepath.Join(dir, "lost")
	if err := os.WriteFile(lost, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	short := 300 * time.Millisecond
	for _, c := range []struct {
		name     string
		settings devices.Settings
		state    string
		text     string
		shows    map[string]string
	}{
		{"lines", with(of("echo a=1; echo; echo ' b = x = y '"), "a:int64\nb:string"), "ok", "", map[string]string{"a": `"1"`, "b": `"x = y"`, "exit_code": `"0"`}},
		{"JSON", with(of(`echo '{"values": {"a": 1.5, "b": true, "c": 90}}'`), "a:float64:V\nb:bool\nc:duration"), "ok", "", map[string]string{"a": "1.5", "b": "true", "c": `"1m30s"`}},
		{"not known", with(of(`echo '{"values": {"a": null}}'`), "a:float64"), "ok", "", map[string]string{"a": "null"}},
		{"missing", with(of("echo a=1"), "a:int64\nb:bool"), "failed", `"b": it is not printed`, map[string]string{"a": `"1"`}},
		{"not declared", with(of("echo a=1; echo z=2"), "a:int64"), "failed", `"z": it is printed and not among the points`, map[string]string{"a": `"1"`}},
		{"wrong type", with(of("echo a=hot; echo b=2"), "a:int64\nb:int64"), "failed", `"a": what is printed is no int64`, map[string]string{"b": `"2"`}},
		{"twice", with(of("echo a=1; echo a=2"), "a:int64"), "failed", `"a": it is printed twice`, nil},
		{"broken JSON", with(of(`echo '{"values": {"a": 1'`), "a:int64"), "failed", "is not {", nil},
		{"nothing", with(of("true"), "a:int64"), "failed", "it printed nothing", nil},
		{"bytes", with(of(`printf 'a=\377'`), "a:string"), "failed", "not UTF-8", nil},
		{"code", with(of("echo a=1; echo first >&2; printf 'no\\033 sensor\\n' >&2; exit 3"), "a:int64"), "failed", "exit status 3: no  sensor", map[string]string{"exit_code": `"3"`, "a": "null"}},
		{"signal", with(of("kill -9 $$"), "a:int64"), "failed", "signal: killed", map[string]string{"exit_code": `"-1"`}},
		{"hangs", with(of("sleep 60"), "a:int64", "timeout", short), "no-response", "no response within 300ms: the program had not ended and was killed", nil},
		{"will not be ended", with(of("trap '' TERM INT HUP; sleep 60; sleep 60"), "a:int64", "timeout", short), "no-response", "was killed", nil},
		{"flood", with(of("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done"), "a:int64"), "failed", "more than 65536 bytes", nil},
		{"complains for ever", with(of("i=0; while [ $i -lt 20000 ]; do echo complaint $i >&2; i=$((i+1)); done; echo a=1"), "a:int64"), "ok", "", nil},
		{"standard input is empty", with(of("cat; echo a=1"), "a:int64"), "ok", "", nil},
		{"a child holds the output", with(of("sleep 60 & echo a=1"), "a:int64"), "ok", "", map[string]string{"a": `"1"`}},
		{"no shell", with(of(`echo "a=$#$1"`), "a:string", "arguments", "$(id) ; `id` *\nx\n"), "ok", "", map[string]string{"a": "\"2$(id) ; `id` *\""}},
		{"environment", with(of(`echo a=$(env | cut -d= -f1 | grep -v '^_$\|PWD' | sort | tr '\n' ' ')$KEY`), "a:string", "environment", "ROOM=north", "secret_environment", "KEY=swordfish"), "ok", "",
			map[string]string{"a": `"BANYAN_EXEC_RUN HOME KEY LANG PATH ROOM TMPDIR swordfish"`}},
		{"own folder", with(of(`touch here; echo a=$(ls -A | wc -l)$([ "$PWD" = "$HOME" ] && echo same)`), "a:string"), "ok", "", map[string]string{"a": `"1same"`}},
		{"no program at all", with(odd, "a:int64"), "failed", "neither for this machine nor a script", nil},
		{"no interpreter", with(lost, "a:int64"), "failed", "does not exist", nil},
		{"away", with(filepath.Join(dir, "away"), "a:int64"), "failed", "the program does not exist", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := workingDirectories(t)
			p := devicetest.Poll(t, New(dir), c.settings)
			if p.State != c.state || !strings.Contains(p.Text, c.text) || (c.text == "") != (p.Text == "") {
				t.Errorf("the state is %s, %q; expected %s, %q", p.State, p.Text, c.state, c.text)
			}
			for name, want := range c.shows {
				if got := string(p.Named(name).Value.JSON()); got != want {
					t.Errorf("%s is %s, expected %s", name, got, want)
				}
			}
			if strings.Contains(p.Text, dir) {
				t.Errorf("the text names a folder of this machine: %q", p.Text)
			}
			if n := workingDirectories(t); n != before {
				t.Errorf("%d working directories are left", n-before)
			}
		})
	}
	if left := running(t, dir); len(left) > 0 {
		t.Errorf("there still run %v", left)
	}
}

func workingDirectories(t *testing.T) int {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(os.TempDir(), "banyan-exec-*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// running are the processes that bear a text in their command line or environment.
func running(t *testing.T, text string) []string {
	t.Helper()
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, at := range all {
		if filepath.Base(at) == strconv.Itoa(os.Getpid()) {
			continue
		}
		for _, file := range []string{"cmdline", "environ"} {
			if b, err := os.ReadFile(filepath.Join(at, file)); err == nil && strings.Contains(string(b), text) {
				found = append(found, at)
				break
			}
		}
	}
	return found
}

// TestNothingIsLeftBehind: some eighty children, half of them in sessions of their own, one without environment, and children that go on forking while they are killed, all
// end with the run: after a success and after a timeout.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	dir := t.TempDir()
	sign := "LEFT_BEHIND_" + strconv.Itoa(os.Getpid())
	text := `
i=0; while [ $i -lt 30 ]; do sleep 600 & setsid sleep 600 >/dev/null 2>&1 & i=$((i+1)); done
fork() { n=$1; [ $n -gt 0 ] && { (fork $((n-1))) & (fork $((n-1))) & sleep 600; }; }
fork 4 >/dev/null 2>&1 &
setsid sh -c 'while :; do sleep 600 & sleep 0.01; done' >/dev/null 2>&1 &
env -i sh -c "sleep 600; : $SIGN" >/dev/null 2>&1 &
sleep 0.2; echo a=1`
	for _, end := range []string{"", "; sleep 600"} {
		program := script(t, dir, "bomb", text+end)
		p := devicetest.Poll(t, New(dir), with(program, "a:int64", "environment", "SIGN="+sign, "timeout", 3*time.Second))
		if (p.State == "ok") != (end == "") {
			t.Errorf("%s, %q", p.State, p.Text)
		}
		left := running(t, sign)
		for tries := 0; len(left) > 0 && tries < 100; tries++ { // who was killed takes a moment to die on a busy machine
			time.Sleep(10 * time.Millisecond)
			left = running(t, sign)
		}
		if len(left) > 0 {
			t.Errorf("%d processes are left behind", len(left))
			for _, at := range left {
				pid, _ := strconv.Atoi(filepath.Base(at))
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// TestPathTricks: what may not run does not, each time for the right reason, and leaves no trace of having run.
func TestPathTricks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("files of other users can be made by root only")
	}
	base := t.TempDir()
	trace := filepath.Join(base, "trace")
	text := "touch " + trace + "; echo a=1"
	outside := script(t, filepath.Join(base, "outside"), "program", text)
	chmod := func(file string, mode os.FileMode) {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	chown := func(file string, user int) {
		if err := os.Lchown(file, user, 0); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, at string) {
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, text string
		prepare    func(dir string) (program string)
	}{
		{"right", "", func(dir string) string { return script(t, dir, "program", text) }},
		{"right, in a folder", "", func(dir string) string { return script(t, dir, "sub/program", text) }},
		{"link", "the program is a symbolic link", func(dir string) string { link(outside, dir+"/program"); return dir + "/program" }},
		{"link to a folder", "is a symbolic link", func(dir string) string { link(filepath.Dir(outside), dir+"/sub"); return dir + "/sub/program" }},
		{"folder", "the program is no file", func(dir string) string { script(t, dir, "sub/program", text); return dir + "/sub" }},
		{"file as folder", "is no folder", func(dir string) string { return script(t, dir, "program", text) + "/x" }},
		{"pipe", "the program is no file", func(dir string) string {
			if err := syscall.Mkfifo(dir+"/program", 0o755); err != nil {
				t.Fatal(err)
			}
			return dir + "/program"
		}},
		{"others may write it", "can be written by its group or by others", func(dir string) string { p := script(t, dir, "program", text); chmod(p, 0o757); return p }},
		{"its group may write it", "can be written by its group or by others", func(dir string) string { p := script(t, dir, "program", text); chmod(p, 0o775); return p }},
		{"others may write its folder", "the folder sub can be written", func(dir string) string {
			p := script(t, dir, "sub/program", text)
			chmod(filepath.Dir(p), 0o777)
			return p
		}},
		{"others may write the folder of programs", "the folder exec of the node's directory can be written", func(dir string) string {
			p := script(t, dir, "program", text)
			chmod(dir, 0o777)
			return p
		}},
		{"another owner", "belongs neither to root nor to the node's user", func(dir string) string { p := script(t, dir, "program", text); chown(p, 12345); return p }},
		{"another owner of its folder", "belongs neither", func(dir string) string {
			p := script(t, dir, "sub/program", text)
			chown(filepath.Dir(p), 12345)
			return p
		}},
		{"not executable", "cannot be executed", func(dir string) string { p := script(t, dir, "program", text); chmod(p, 0o644); return p }},
		{"as somebody else", "would run as somebody else", func(dir string) string { p := script(t, dir, "program", text); chmod(p, 0o755|os.ModeSetuid); return p }},
		{"no folder", "the folder exec of the node's directory does not exist", func(dir string) string { os.RemoveAll(dir); return dir + "/program" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(base, strings.ReplaceAll(c.name, " ", "-"))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(trace)
			p := devicetest.Poll(t, New(dir), with(c.prepare(dir), "a:int64"))
			if c.text == "" && p.State != "ok" || c.text != "" && (p.State != "failed" || !strings.Contains(p.Text, c.text)) {
				t.Errorf("%s, %q; expected %q", p.State, p.Text, c.text)
			}
			if _, err := os.Stat(trace); (err == nil) != (c.text == "") {
				t.Errorf("whether it ran: %v", err)
			}
		})
	}
}

// TestPlaces: no more programs run at once than there are places, and who gets none in time is told.
func TestPlaces(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	dir := t.TempDir()
	driver := New(dir)
	program := script(t, dir, "slow", "sleep 0.4; echo a=1")
	open := func() devices.Device {
		settings, err := devices.Resolve(devices.Complete(schema), with(program, "a:int64"))
		if err != nil {
			t.Fatal(err)
		}
		d, err := driver.Open(settings)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	began := time.Now()
	var polls sync.WaitGroup
	for range concurrency + 1 {
		polls.Go(func() {
			if err := open().Poll(ctx, &devicetest.Recorder{}); err != nil {
				t.Error(err)
			}
		})
	}
	polls.Wait()
	if took := time.Since(began); took < 800*time.Millisecond {
		t.Errorf("%d programs of 0.4 s took %s", concurrency+1, took)
	}
	for range concurrency {
		driver.places <- struct{}{}
	}
	brief, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if err := open().Poll(brief, &devicetest.Recorder{}); model.KindOf(err) != model.KindTimeout || !strings.Contains(err.Error(), "it had not its turn") {
		t.Errorf("without a place: %v", err)
	}
}

func TestNothingRunsWithoutAFolder(t *testing.T) {
	p := devicetest.Poll(t, New(""), with("/bin/true", "a:int64"))
	if p.State != "failed" || !strings.Contains(p.Text, "no program runs here") {
		t.Errorf("%s, %q", p.State, p.Text)
	}
}

// TestWhatRunsIsLocal: a setting that decides what runs can be set at the node itself only.
func TestWhatRunsIsLocal(t *testing.T) {
	for _, s := range schema.Settings {
		if s.Local == (s.Name == "points") || s.Local && s.Right != model.RightAdminister {
			t.Errorf("%s: local %v, right %s", s.Name, s.Local, s.Right)
		}
	}
}

func FuzzRead(f *testing.F) {
	points, err := parsePoints("a:int64\nb:float64\nc:bool\nd:string\ne:duration\nf:time")
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		"a=1\nb=2.5\nc=true\nd=x\ne=1s\nf=2026-01-02T03:04:05Z", `{"values": {"a": 1, "b": 2, "c": true, "d": "x", "e": 1.5, "f": "2026-01-02T03:04:05Z"}}`,
		`{"values": {"a": null, "a": 1}}`, `{"values": {"a": {}}}`, `{"values": {}} x`, "a", "=", "{", `{"values": [1]}`, `{"values": {"e": 1e300}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, output []byte) {
		values, err := read(output, points)
		for _, p := range points {
			v, there := values[p.name]
			if there && !v.IsNone() && v.Type() != p.kind {
				t.Errorf("%s is a %s", p.name, v.Type())
			}
			if !there && err == nil {
				t.Errorf("%s is missing, and nobody says so: %q", p.name, output)
			}
		}
		if len(values) > len(points) {
			t.Errorf("there are values %v", values)
		}
		if err != nil && len(err.Error()) > 4096 {
			t.Errorf("the error has %d bytes", len(fmt.Sprint(err)))
		}
	})
}
