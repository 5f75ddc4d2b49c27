package exec

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"banyan/model"
)

// maxOutput bounds what a program prints; who prints more is ended.
const maxOutput = 64 << 10

// maxComplaint bounds what is shown of what a program says about its failure.
const maxComplaint = 200

// lastWords is how long what was printed is waited for after the program has ended: it is in the pipe already, unless a child that was
// left behind holds the other end.
const lastWords = 100 * time.Millisecond

// killWithin bounds the hunt for children that were left behind, so that it ends before the node counts the device as hanging. killPause is between
// two looks: longer than it takes to become another program.
const (
	killWithin = 150 * time.Millisecond
	killPause  = 5 * time.Millisecond
)

// mark is the environment variable by which children are found that left the program's process group. Its value is another one for each run.
const mark = "BANYAN_EXEC_RUN"

// result is how a run ended.
type result struct {
	ended  bool // by itself
	code   int
	output []byte
}

// run runs the program in a process group and a working directory of its own, which both are gone when it returns.
func run(ctx context.Context, o *options) (result, error) {
	if !supported {
		return result{}, model.Errorf(model.KindUnsupported, "programs are run on Linux only")
	}
	dir, err := os.MkdirTemp("", "banyan-exec-")
	if err != nil {
		return result{}, fmt.Errorf("there is no room for a working directory: %w", errors.Unwrap(err))
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cmd := exec.Command(o.program, o.arguments...)
	name := mark + "=" + rand.Text()
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + dir, "TMPDIR=" + dir, "LANG=C.UTF-8"}, append(o.environment, name)...)
	cmd.SysProcAttr = attributes()
	// The kernel ends the program with the thread that started it, so that thread has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, complaints := &sink{most: maxOutput, full: make(chan struct{})}, &sink{most: 4 << 10, last: true}
	close1, err := out.from(&cmd.Stdout)
	if err != nil {
		return result{}, err
	}
	defer close1()
	close2, err := complaints.from(&cmd.Stderr)
	if err != nil {
		return result{}, err
	}
	defer close2()
	if err := cmd.Start(); err != nil {
		return result{}, startError(err)
	}
	out.started()
	complaints.started()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		awaitEnd(cmd.Process.Pid)
	}()
	itself := false
	select {
	case <-ended:
		itself = true
	case <-out.full:
		err = fmt.Errorf("it printed more than %d bytes and was killed", maxOutput)
	case <-ctx.Done():
		err = model.Errorf(model.KindTimeout, "the program had not ended and was killed")
	}
	end(cmd.Process.Pid, name)
	<-ended
	exit := cmd.Wait()
	if !itself {
		return result{}, err
	}
	out.wait(lastWords)
	complaints.wait(lastWords)
	return judge(cmd, out, complaints, exit)
}

// judge says what a program's end means.
func judge(cmd *exec.Cmd, out, complaints *sink, err error) (result, error) {
	r := result{ended: true, code: cmd.ProcessState.ExitCode(), output: out.taken()}
	select {
	case <-out.full:
		return r, fmt.Errorf("it printed more than %d bytes", maxOutput)
	default:
	}
	if err == nil {
		return r, nil
	}
	text := cmd.ProcessState.String() // "exit status 3", "signal: killed"
	if said := lastLine(complaints.taken()); said != "" {
		text += ": " + said
	}
	return r, errors.New(text)
}

// startError tells why a program could not be started, without the path.
func startError(err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return errors.New("the program cannot be started: it is neither for this machine nor a script with #! in its first line")
	case errors.Is(err, syscall.ENOENT):
		return errors.New("the program cannot be started: what its first line names behind #! does not exist")
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		return fmt.Errorf("the program cannot be started: %w", no)
	}
	return errors.New("the program cannot be started")
}

// end kills the process group, and whoever has left it but bears the run's mark. The program has not been reaped yet, so that the group's
// number cannot be another's by now.
func end(group int, name string) {
	_ = syscall.Kill(-group, syscall.SIGKILL)
	killed := map[int]bool{}
	// Each round finds who was forked meanwhile by whom it killed. A process that is just becoming another program shows no environment for
	// a moment, hence a second look.
	for clean, until := 0, time.Now().Add(killWithin); clean < 2 && time.Now().Before(until); {
		if killMarked(name, killed) {
			clean = 0
			continue
		}
		if clean++; clean < 2 {
			time.Sleep(killPause)
		}
	}
}

// killMarked kills who bears the mark, and the group that he is in, at one blow: who forks all the time cannot be caught one by one. It answers whether
// there was anybody who had not been killed already, and who may only need a moment to die.
func killMarked(name string, killed map[int]bool) (found bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || killed[pid] {
			continue
		}
		environment, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil || !bytes.Contains(environment, []byte(name)) {
			continue
		}
		found, killed[pid] = true, true
		if group, err := syscall.Getpgid(pid); err == nil && group > 1 && group != syscall.Getpgrp() {
			_ = syscall.Kill(-group, syscall.SIGKILL)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return found
}

// sink takes what a program prints.
type sink struct {
	most int
	last bool          // keep the end instead of the beginning
	full chan struct{} // closed when there is more than most; nil where that is fine

	theirs *os.File
	ours   *os.File
	done   chan struct{}

	mu   sync.Mutex // guards text
	text []byte
}

// from makes the pipe. What closes it is called after everything.
func (s *sink) from(to *io.Writer) (func(), error) {
	var err error
	if s.ours, s.theirs, err = os.Pipe(); err != nil {
		return nil, errors.New("this node has no file descriptor left: raise its limit (LimitNOFILE)")
	}
	*to, s.done = s.theirs, make(chan struct{})
	go s.read()
	return func() { s.theirs.Close(); s.ours.Close(); <-s.done }, nil
}

// started lets go of the program's end of the pipe.
func (s *sink) started() { s.theirs.Close() }

func (s *sink) read() {
	defer close(s.done)
	chunk := make([]byte, 4<<10)
	for {
		n, err := s.ours.Read(chunk)
		s.mu.Lock()
		s.text = append(s.text, chunk[:n]...)
		over := len(s.text) > s.most
		switch {
		case over && s.last:
			s.text = append(s.text[:0], s.text[len(s.text)-s.most:]...)
		case over:
			s.text = s.text[:s.most]
		}
		s.mu.Unlock()
		if over && s.full != nil {
			close(s.full)
			return
		}
		if err != nil {
			return
		}
	}
}

// wait waits for the end of what is printed, but not for long.
func (s *sink) wait(most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
	}
}

func (s *sink) taken() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.text)
}

// lastLine is the last line with something in it, as text that can be shown.
func lastLine(text []byte) string {
	all := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(text), ".")), "\n")
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.TrimSpace(all[len(all)-1]))
	if runes := []rune(line); len(runes) > maxComplaint {
		return string(runes[:maxComplaint]) + "..."
	}
	return line
}
