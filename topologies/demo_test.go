package topologies

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// demo runs a demonstration as a program with a folder of its own for temporary files.
func demo(t *testing.T, out *os.File) (cmd *exec.Cmd, temporary string) {
	t.Helper()
	temporary = t.TempDir()
	cmd = exec.Command(os.Args[0], "demo", "-")
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary, "TERM=xterm")
	cmd.Stderr = os.Stderr
	if out != nil {
		cmd.Stdin, cmd.Stdout = out, out
	}
	return cmd, temporary
}

// checkGone: no process works in the folder, and nothing is left there.
func checkGone(t *testing.T, temporary string) {
	t.Helper()
	left, err := os.ReadDir(temporary)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if where, err := os.Readlink(link); err == nil && strings.HasPrefix(where, temporary) {
			t.Errorf("%s is still in %s", link, where)
		}
	}
}

// TestDemo: without a terminal it shows five refreshes in which both probes' values move, and ends well.
func TestDemo(t *testing.T) {
	cmd, temporary := demo(t, nil)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	checkGone(t, temporary)
	if frames := regexp.MustCompile(`(?m)^three-tier, seen at hq .* \(\d of 5\)$`).FindAll(out, -1); len(frames) != 5 {
		t.Errorf("%d refreshes", len(frames))
	}
	if bytes.Contains(out, []byte("\x1b")) {
		t.Error("control sequences, and no terminal")
	}
	shown := regexp.MustCompile(`(?m)^ +cpu_percent +(\S+) % +(\S+) +(\S+)s  (\S+Z)$`).FindAllSubmatch(out, -1)
	if len(shown) != 10 {
		t.Fatalf("cpu_percent is shown %d times:\n%s", len(shown), out)
	}
	for probe := range 2 {
		times := map[string]bool{}
		for i := probe; i < len(shown); i += 2 {
			times[string(shown[i][4])] = true
			if string(shown[i][2]) != "good" {
				t.Errorf("quality: %s", shown[i][0])
			}
		}
		if len(times) < 3 {
			t.Errorf("probe %d: source times stand still: %v", probe, times)
		}
	}
}

// TestDemoTerminal: on a terminal it is redrawn until somebody ends it, by whatever means.
func TestDemoTerminal(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(cmd *exec.Cmd, terminal *os.File) error
	}{
		{"Ctrl-C", func(_ *exec.Cmd, terminal *os.File) error { _, err := terminal.Write([]byte{3}); return err }},
		{"SIGTERM", func(cmd *exec.Cmd, _ *os.File) error { return cmd.Process.Signal(syscall.SIGTERM) }},
		{"closed terminal", func(_ *exec.Cmd, terminal *os.File) error { return terminal.Close() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			terminal, inside := openTerminal(t)
			cmd, temporary := demo(t, inside)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = inside.Close() // the program has it
			shown := &collector{}
			go func() { _, _ = io.Copy(shown, terminal) }()
			for until := time.Now().Add(30 * time.Second); strings.Count(shown.String(), "seen at hq") < 3; sleep(t.Context(), 20*time.Millisecond) {
				if time.Now().After(until) {
					t.Fatalf("it is not redrawn:\n%s", shown.String())
				}
			}
			began := time.Now()
			if err := end.do(cmd, terminal); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("it ends with %v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s to end", took)
			}
			checkGone(t, temporary)
			text := shown.String()
			if !strings.Contains(text, otherPage+home) || !strings.Contains(text, green) {
				t.Errorf("it does not look like a terminal's page: %.200q", text)
			}
			if !strings.Contains(text, "\nmeanwhile: banyan --net ") {
				t.Errorf("it does not tell, on a line of its own, how to look at it elsewhere: %.300q", text)
			}
			if end.name != "closed terminal" && !strings.Contains(text, firstPage) {
				t.Error("the terminal is not as it was before")
			}
		})
	}
}

// TestDemoEarlyEnd: it is ended while it starts.
func TestDemoEarlyEnd(t *testing.T) {
	for _, after := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			cmd, temporary := demo(t, nil)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			sleep(t.Context(), after)
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); err != nil && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM) {
				t.Errorf("it ends with %v", err) // before it listens to signals, one ends it
			}
			checkGone(t, temporary)
		})
	}
}

// TestDemoReaderLeaves: `banyan demo | head -3` cleans up as well.
func TestDemoReaderLeaves(t *testing.T) {
	cmd, temporary := demo(t, nil)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = out.Close() // that is the test
	_ = cmd.Wait()  // an error of writing is a right answer
	checkGone(t, temporary)
}

type collector struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (c *collector) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

func (c *collector) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// openTerminal makes a pseudo-terminal, see pty(7).
func openTerminal(t *testing.T) (outside, inside *os.File) {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	var number, locked int32
	size := [4]uint16{50, 120}
	for request, with := range map[uintptr]unsafe.Pointer{
		syscall.TIOCSPTLCK: unsafe.Pointer(&locked), syscall.TIOCGPTN: unsafe.Pointer(&number), syscall.TIOCSWINSZ: unsafe.Pointer(&size),
	} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, outside.Fd(), request, uintptr(with)); errno != 0 {
			t.Fatal(errno)
		}
	}
	inside, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = outside.Close() }) // mostly it is closed already
	return outside, inside
}

func TestClip(t *testing.T) {
	for _, test := range []struct {
		line  string
		width int
		want  string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"ärger", 2, "är"}, {green + "abc" + plain, 3, green + "abc" + plain},
		{green + "abcd" + plain, 3, green + "abc" + plain}, {"", 0, ""},
	} {
		if got := clip(test.line, test.width); got != test.want {
			t.Errorf("%q at %d: %q, want %q", test.line, test.width, got, test.want)
		}
	}
}
