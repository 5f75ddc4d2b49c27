package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// place is on which processor a process runs and how much it counts there.
type place struct {
	cpu  int  // -1 for any
	real bool // it does not wait for anybody else there
}

// anywhere is where a process runs of which nothing is said.
var anywhere = place{cpu: -1}

func (p place) arguments() []string {
	return []string{"-cpu", strconv.Itoa(p.cpu), "-real=" + strconv.FormatBool(p.real)}
}

// take puts this process there: all threads that it has, whose children are there as well.
func (p place) take() error {
	if p == anywhere {
		return nil
	}
	if p.cpu >= 0 {
		runtime.GOMAXPROCS(1) // as it would be, had the process been started there; a second one would spin and wait for the first
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(max(p.cpu, 0))
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if p.cpu >= 0 {
			if err := unix.SchedSetaffinity(id, &set); err != nil {
				return fmt.Errorf("running on processor %d: %w", p.cpu, err)
			}
		}
		if p.real {
			if err := unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 10}, 0); err != nil {
				return fmt.Errorf("taking a real-time priority, which needs root: %w", err)
			}
		}
	}
	return nil
}

// give puts another process there, before it has done much.
func (p place) give(pid int) error {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(p.cpu)
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil {
			return fmt.Errorf("running process %d on processor %d: %w", pid, p.cpu, err)
		}
	}
	return nil
}
