package disk

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
)

// Op is what a program asks of a disk and what can fail.
type Op string

// The operations. A read is no step, as it changes nothing and the kernel decides how many there are; it can fail all the same.
const (
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpSync     Op = "fsync"
	OpSyncDir  Op = "fsync of a directory"
	OpCreate   Op = "create"
	OpMkdir    Op = "mkdir"
	OpRename   Op = "rename"
	OpLink     Op = "link"
	OpRemove   Op = "remove"
)

// Step is one operation, counted from 1 since the last Cut or Restart. A read has the number of the step before it.
type Step struct {
	Number int
	Op     Op
	Name   string // path on the disk
}

// String is for people.
func (s Step) String() string { return fmt.Sprintf("step %d, %s of %s", s.Number, s.Op, s.Name) }

// Plan is what is to happen until the next Cut or Restart.
type Plan struct {
	// CutBefore is the step before which the power goes, 0 for none.
	CutBefore int
	// Each is told every step before it is done, and by an error makes it fail. A write that fails is done in part, and an fsync that fails
	// forgets what it should have kept. It must be quick, and may not use the disk. Of what is read it sees what the kernel's cache does not have.
	Each func(Step) syscall.Errno
}

// Set sets the plan. Steps count on.
func (d *Disk) Set(plan Plan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plan = plan
}

// Steps is how many steps were done since the last Cut or Restart.
func (d *Disk) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps
}

// Dark is closed when the power has gone by the plan. From then on nothing comes to the disk, and whoever asks it for something is told that it failed:
// what a program confirms after that must have been kept before. Kill the programs, and then Cut.
func (d *Disk) Dark() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dark
}

// PullThePlug lets the power go now.
func (d *Disk) PullThePlug() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.goDark()
}

func (d *Disk) goDark() {
	if !d.isDark() {
		close(d.dark)
	}
}

// do does an operation on a node as a step, or, where op is empty, as something that neither counts nor fails. act is told the error with which the plan
// lets it fail, 0 for none. Without power nothing is done any more.
func (d *Disk) do(op Op, name func() string, act func(failed syscall.Errno) syscall.Errno) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	failed := syscall.Errno(0)
	if op != "" && !d.isDark() {
		if op != OpRead {
			d.steps++
		}
		step := Step{d.steps, op, name()}
		if op != OpRead && d.plan.CutBefore == d.steps {
			d.goDark()
		} else if d.plan.Each != nil {
			failed = d.plan.Each(step)
		}
	}
	if d.isDark() {
		return syscall.EIO
	}
	return act(failed)
}

func (d *Disk) isDark() bool {
	select {
	case <-d.dark:
		return true
	default:
		return false
	}
}

func sorted(names map[string]*node) []string { return slices.Sorted(maps.Keys(names)) }
