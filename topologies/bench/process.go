package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// children are the processes that were started, for whoever interrupts the benchmark.
var children struct {
	mu  sync.Mutex // guards all
	all []*os.Process
}

// tidily lets all directories lie in one that is gone when clean is called, or when the benchmark is interrupted.
func tidily() (clean func(), err error) {
	dir, err := os.MkdirTemp("", "banyan-bench-")
	if err != nil {
		return nil, err
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return nil, err
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-end
		children.mu.Lock() // nothing is started any more
		for _, child := range children.all {
			_ = child.Kill()
			_, _ = child.Wait()
		}
		_ = os.RemoveAll(dir)
		os.Exit(130)
	}()
	return func() { _ = os.RemoveAll(dir) }, nil
}

// process is a child of the benchmark that is measured from outside.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	input io.WriteCloser
}

// start runs this program again in a role.
func start(role string, arguments ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startProgram(os.Stderr, self, append([]string{"-role", role}, arguments...)...)
}

func startProgram(complaints io.Writer, program string, arguments ...string) (*process, error) {
	cmd := exec.Command(program, arguments...)
	cmd.Stderr = complaints
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	children.mu.Lock()
	children.all = append(children.all, cmd.Process)
	children.mu.Unlock()
	return &process{cmd: cmd, lines: bufio.NewScanner(pipe), input: input}, nil
}

// tell writes a line to the process.
func (p *process) tell(line string) error {
	_, err := io.WriteString(p.input, line+"\n")
	return err
}

// line is the next line that the process prints.
func (p *process) line() (string, error) {
	if p.lines.Scan() {
		return p.lines.Text(), nil
	}
	return "", errors.Join(fmt.Errorf("%s ended early", p.cmd.Path), p.lines.Err())
}

// result decodes the next line.
func (p *process) result(into any) error {
	line, err := p.line()
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(line), into)
}

// stop ends the process and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		_ = p.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-done
	}
}

// cpu is the processor time that a process has used.
func cpu(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has too few fields", pid)
	}
	total := int64(0)
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return time.Duration(total) * 10 * time.Millisecond, nil
}

// cpuOf is the processor time of several processes together.
func cpuOf(pids ...int) (time.Duration, error) {
	total := time.Duration(0)
	for _, pid := range pids {
		used, err := cpu(pid)
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// freeAddress is a port of this machine that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}

// waitForEnd waits until the process is told to stop.
func waitForEnd() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	<-end
}

// reachable waits until something listens at an address.
func reachable(address string) error {
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("nobody listens on %s", address)
}
