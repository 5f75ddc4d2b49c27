package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDocs does what the documentation says: each page from top to bottom, in a shell of its own, on a network of its own where every port is free.
//
//   - Of a block called `console` each line that begins with "$ " is done, up to the next one; the lines behind it are what it prints, where "..."
//     stands for any text, and alone on a line for any lines. It succeeds, unless the last line begins with "banyan:".
//   - A block called by a language and a file's name (`yaml meter.yaml`) is that file.
//   - A comment that begins with "test" holds commands that readers need not see.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		source, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		steps := stepsOf(string(source))
		if len(steps) == 0 {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(page), ".md"), func(t *testing.T) {
			sh := startShell(t)
			for _, s := range steps {
				if !sh.do(t, s) {
					t.Fatalf("%s:%d: the page does not go on from here", page, s.line)
				}
			}
		})
	}
}

// step is a command of a page, or a file.
type step struct {
	line    int
	command string
	prints  []string
	checked bool   // what it prints is compared
	file    string // to be written instead
	content string
}

// stepsOf reads a page.
func stepsOf(page string) []step {
	var steps []step
	var hidden, block []string
	form := "" // of the block that is read; "hidden" within a comment
	begun := 0
	for i, line := range strings.Split(page, "\n") {
		switch {
		case form == "" && strings.HasPrefix(line, "<!-- test"):
			form, begun, hidden = "hidden", i+1, nil
		case form == "hidden" && strings.HasPrefix(line, "-->"):
			steps = append(steps, step{line: begun, command: strings.Join(hidden, "\n")})
			form = ""
		case form == "hidden":
			hidden = append(hidden, line)
		case form == "" && strings.HasPrefix(line, "```"):
			form, begun, block = strings.TrimPrefix(line, "```")+" ", i+1, nil
		case form != "" && strings.HasPrefix(line, "```"):
			language, file, _ := strings.Cut(strings.TrimSpace(form), " ")
			if language == "console" {
				steps = append(steps, commands(block, begun)...)
			} else if file != "" {
				steps = append(steps, step{line: begun, file: file, content: strings.Join(block, "\n") + "\n"})
			}
			form = ""
		case form != "":
			block = append(block, line)
		}
	}
	return steps
}

// commands are those of a console block.
func commands(block []string, begun int) []step {
	var steps []step
	for i, line := range block {
		if command, is := strings.CutPrefix(line, "$ "); is {
			steps = append(steps, step{line: begun + i + 1, command: command, checked: true})
			continue
		}
		if len(steps) == 0 {
			continue
		}
		last := &steps[len(steps)-1]
		if strings.HasSuffix(last.command, "\\") && len(last.prints) == 0 {
			last.command += "\n" + line
			continue
		}
		last.prints = append(last.prints, line)
	}
	return steps
}

// shell is a bash in namespaces of its own: its processes end with it.
type shell struct {
	in  io.Writer
	out *bufio.Reader
}

func startShell(t *testing.T) *shell {
	t.Helper()
	dir := t.TempDir()
	program, err := exec.LookPath("banyan") // TestMain's copy: a link would lead to the tests, and those are what its nodes would run
	if err != nil {
		t.Fatal(err)
	}
	run := []string{"unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "--noprofile", "--norc"}
	if os.Geteuid() != 0 {
		run = append([]string{"unshare", "--user", "--map-root-user"}, run[1:]...)
	}
	bash := exec.Command(run[0], run[1:]...)
	bash.Dir = dir
	bash.Env = []string{
		"HOME=" + dir, "PATH=" + filepath.Dir(program) + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "BANYAN_CONFIG=" + filepath.Join(dir, "config"), "TERM=dumb", "LC_ALL=C.UTF-8",
	}
	in, err := bash.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	bash.Stdout, bash.Stderr = write, write
	if err := bash.Start(); err != nil {
		t.Fatalf("a shell in namespaces of its own, by unshare of the package util-linux: %v", err)
	}
	_ = write.Close()
	t.Cleanup(func() {
		_ = in.Close()
		_ = bash.Process.Kill()
		_ = bash.Wait()
		_ = out.Close()
	})
	s := &shell{in: in, out: bufio.NewReader(out)}
	s.do(t, step{command: "ip link set lo up"})
	return s
}

const endMark = "--- end of the command ---"

// do does one step and compares.
func (s *shell) do(t *testing.T, step step) bool {
	t.Helper()
	if step.file != "" {
		step.command = fmt.Sprintf("mkdir -p \"$(dirname '%s')\"; cat >'%s' <<'END OF FILE'\n%sEND OF FILE", step.file, step.file, step.content)
	}
	if _, err := fmt.Fprintf(s.in, "{ %s\n} </dev/null; code=$?; echo; echo '%s' $code\n", step.command, endMark); err != nil {
		t.Fatal(err)
	}
	printed, code := s.read(t, step)
	fails := step.checked && len(step.prints) > 0 && strings.HasPrefix(step.prints[len(step.prints)-1], "banyan:")
	if (code != "0") != fails {
		t.Errorf("line %d: %s\nended with %s and printed\n%s", step.line, step.command, code, printed)
		return false
	}
	if step.checked && !matches(step.prints, printed) {
		t.Errorf("line %d: %s\nprinted\n%s\nthe page says\n%s", step.line, step.command, printed, strings.Join(step.prints, "\n"))
	}
	return true
}

func (s *shell) read(t *testing.T, step step) (printed, code string) {
	t.Helper()
	late := time.AfterFunc(2*time.Minute, func() { panic("line " + fmt.Sprint(step.line) + " of a page does not end: " + step.command) })
	defer late.Stop()
	var lines []string
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			t.Fatalf("line %d: %s\nended the shell (%v) and printed\n%s", step.line, step.command, err, strings.Join(lines, "\n"))
		}
		line = strings.TrimRight(line, " \n")
		if end, is := strings.CutPrefix(line, endMark+" "); is {
			return strings.TrimRight(strings.Join(lines, "\n"), "\n"), end
		}
		lines = append(lines, line)
	}
}

// matches compares what was printed with what a page says.
func matches(want []string, printed string) bool {
	var pattern strings.Builder
	pattern.WriteString(`\A`)
	for _, line := range want {
		line = strings.TrimRight(line, " ")
		if line == "..." {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		parts := strings.Split(line, "...")
		for i := range parts {
			// Columns move with what stands in them.
			parts[i] = regexp.MustCompile(`\\? {2,}`).ReplaceAllString(regexp.QuoteMeta(parts[i]), ` {2,}`)
		}
		pattern.WriteString(strings.Join(parts, ".*") + `\n`)
	}
	pattern.WriteString(`\z`)
	if printed != "" {
		printed += "\n"
	}
	return regexp.MustCompile(pattern.String()).MatchString(printed)
}

func TestDocsMatch(t *testing.T) {
	for _, c := range []struct {
		want    string
		printed string
		fits    bool
	}{
		{"12.5 %  good  ...", "12.5 %  good  0.3s", true}, {"12.5 %  good  ...", "13 %  good  0.3s", false}, {"a\n...\nd", "a\nb\nc\nd", true}, {"a\n...\nd", "a\nd", true},
		{"a", "a\nb", false}, {"", "", true}, {"", "x", false}, {"a  b", "a      b", true}, {"a  b", "a b", false}, {"...", "", true},
	} {
		var want []string
		if c.want != "" {
			want = strings.Split(c.want, "\n")
		}
		if got := matches(want, c.printed); got != c.fits {
			t.Errorf("%q fits %q: %v", c.printed, c.want, got)
		}
	}
}
