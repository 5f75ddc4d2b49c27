package topologies

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// processID names one process for good: its number is given to others later, when it started is not.
type processID struct {
	PID     int    `json:"pid,omitempty"`
	Started string `json:"started,omitempty"` // boot and ticks since then, as the kernel counts them
}

// identify finds out which process has a number now. A process that ended and whose parent has not looked yet counts as gone.
func identify(pid int) (processID, bool) {
	if pid <= 0 {
		return processID{}, false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return processID{}, false
	}
	// The name, in parentheses, may hold anything. Behind it come field 3, the state, and so on; 22 is the time of the start: proc_pid_stat(5).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, start = 0, 19
	if len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return processID{}, false
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return processID{}, false
	}
	return processID{PID: pid, Started: strings.TrimSpace(string(boot)) + "/" + fields[start]}, true
}

// alive reports whether this very process runs.
func (p processID) alive() bool {
	now, there := identify(p.PID)
	return there && now == p
}

// hold takes a handle on the process, which stays the handle of this one when its number is given to another.
func (p processID) hold() (*os.Process, bool) {
	if p.PID <= 0 {
		return nil, false
	}
	process, err := os.FindProcess(p.PID)
	if err != nil {
		return nil, false
	}
	if !p.alive() {
		_ = process.Release() // nothing was held
		return nil, false
	}
	return process, true
}

// looking is how often it is looked whether a process has ended: nobody tells about one that is not a child.
const looking = 10 * time.Millisecond

// end asks the processes to end, all at once, and ends by force those that still run when patience is over.
func end(processes []processID, patience time.Duration) error {
	var work sync.WaitGroup
	problems := make([]error, len(processes))
	for i, p := range processes {
		work.Go(func() { problems[i] = p.end(patience) })
	}
	work.Wait()
	return errors.Join(problems...)
}

func (p processID) end(patience time.Duration) error {
	process, there := p.hold()
	if !there {
		return nil
	}
	defer process.Release() //nolint:errcheck // it only gives back the handle
	send := func(signal os.Signal) error {
		if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		return nil
	}
	// One that stands still would not hear the first.
	if err := errors.Join(send(syscall.SIGTERM), send(syscall.SIGCONT)); err != nil {
		return err
	}
	if p.gone(patience) {
		return nil
	}
	if err := send(syscall.SIGKILL); err != nil {
		return err
	}
	const killing = 2 * time.Second
	if !p.gone(killing) {
		return errors.New("process " + strconv.Itoa(p.PID) + " does not end")
	}
	return nil
}

// gone waits until the process has ended, or for a while at most.
func (p processID) gone(within time.Duration) bool {
	for until := time.Now().Add(within); p.alive(); time.Sleep(looking) {
		if time.Now().After(until) {
			return false
		}
	}
	return true
}

// offspring is a process that was started here.
type offspring struct {
	processID
	done chan struct{} // closed when it has ended
	err  error         // how; set before done is closed
}

// nursery starts processes. Those of a nursery that is not detached die with it, and with the process that it is in, however that dies.
type nursery struct {
	detached bool
	orders   chan func()
}

// newNursery makes a nursery, which must be closed. The kernel ends a child when the thread ends that started it, so that one thread
// is kept for starting.
func newNursery(detached bool) *nursery {
	n := &nursery{detached: detached, orders: make(chan func())}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		for order := range n.orders {
			order()
		}
	}()
	return n
}

// close ends the nursery; what was not ended before is killed unless it is detached.
func (n *nursery) close() { close(n.orders) }

// start runs a command in a session of its own, where no terminal reaches it, with its output at the end of a file.
func (n *nursery) start(command []string, dir, output string) (*offspring, error) {
	log, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !n.detached {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	started := make(chan error)
	n.orders <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	c := &offspring{done: make(chan struct{})}
	c.processID, _ = identify(cmd.Process.Pid) // not waited for yet, so that the number is its own
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
