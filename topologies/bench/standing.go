package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"
)

// standing writes what stands in a process whenever it is told to: what lies in the heap, which goroutines there are, and of what that which is resident
// consists. At the end of a process half of it is gone. What the processor is used for begins anew where it is told that idling begins.
func standing(ctx context.Context, dir, name string) {
	tell := make(chan os.Signal, 1)
	signal.Notify(tell, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(tell)
	for {
		var told os.Signal
		select {
		case told = <-tell:
		case <-ctx.Done():
			return
		}
		base := filepath.Join(dir, name+".idle")
		pprof.StopCPUProfile()
		if told == syscall.SIGUSR2 {
			if file, err := os.Create(base + ".pprof"); err == nil {
				_ = pprof.StartCPUProfile(file) // the program ends with it
			}
			continue
		}
		_ = writeTo(base+".memory", func(to io.Writer) error { return sortsOfMemory(to) })
		_ = writeTo(base+".goroutines", func(to io.Writer) error { return pprof.Lookup("goroutine").WriteTo(to, 1) })
		runtime.GC() // the profile is as of the newest collection
		_ = writeTo(base+".heap", func(to io.Writer) error { return pprof.WriteHeapProfile(to) })
	}
}

func writeTo(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return write(file)
}

// sortsOfMemory says what the runtime has, by sort, and what the kernel says is resident: what is not the runtime's is the program's file and SQLite's.
func sortsOfMemory(to io.Writer) error {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	mib := func(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
	_, err := fmt.Fprintf(to, "goroutines %d\nheap in use %.1f MiB, of it in objects %.1f, idle and not released %.1f, next collection at %.1f\nstacks %.1f MiB\nthe runtime's own %.1f MiB\n",
		runtime.NumGoroutine(), mib(m.HeapInuse), mib(m.HeapAlloc), mib(m.HeapIdle-m.HeapReleased), mib(m.NextGC), mib(m.StackInuse),
		mib(m.MSpanSys+m.MCacheSys+m.GCSys+m.OtherSys+m.BuckHashSys))
	if err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "Rss") || strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "Threads") {
			if _, err := io.WriteString(to, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// idles tells a process that what is measured begins.
func (p *process) idles() { _ = p.cmd.Process.Signal(syscall.SIGUSR2) }

// stands lets a process write what stands in it, and gives it a moment to.
func (p *process) stands() {
	_ = p.cmd.Process.Signal(syscall.SIGUSR1)
	time.Sleep(2 * time.Second)
}
