// Package host is the driver of the machine on which the node runs: its load, its memory, its disks and its network interfaces.
//
// It owns what is read and under which names. It reads through gopsutil, starts no program, and needs no privilege.
package host

import (
	"context"
	"math"
	"os"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"

	"banyan/devices"
	"banyan/model"
)

// Kind is the driver's kind.
const Kind = "host"

// leastSpan is the shortest time that cpu_percent is measured over: the system counts in hundredths of a second.
const leastSpan = 200 * time.Millisecond

// Driver is the driver.
type Driver struct{}

var _ devices.Driver = Driver{}

// Kind is "host".
func (Driver) Kind() string { return Kind }

// Schema declares the device; disks and interfaces are in children.
func (Driver) Schema() *model.Schema { return schema }

// Open makes the device. Nothing is read before the first poll.
func (Driver) Open(settings devices.Settings) (devices.Device, error) {
	d := &device{}
	if settings["disks"].Bool() {
		d.found = append(d.found, &found{Rows: devices.Rows{Segment: "disks", Label: "Disks"}, schema: diskSchema, read: readDisks})
	}
	if settings["interfaces"].Bool() {
		d.found = append(d.found, &found{Rows: devices.Rows{Segment: "interfaces", Label: "Network interfaces"}, schema: interfaceSchema, read: readInterfaces})
	}
	return d, nil
}

type device struct {
	found []*found

	mu       sync.Mutex // guards what is below
	previous cpuTime
	info     *host.InfoStat // what does not change while the system runs
}

// Poll reads everything once. What cannot be read on this machine is published as bad, without a value; the poll fails only
// when ctx ends.
func (d *device) Poll(ctx context.Context, publish devices.Publisher) error {
	b := make(batch, 0, len(schema.Variables))
	percent, err := d.cpuPercent(ctx)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	b.add(variableCPUPercent, model.Float64(percent), err)
	b.readLoad(ctx)
	b.readMemory(ctx)
	b.readSystem(ctx, d)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	publish.Publish(b)
	return d.pollFound(ctx, publish)
}

func (d *device) pollFound(ctx context.Context, publish devices.Publisher) error {
	segments := make([]string, 0, len(d.found))
	for _, f := range d.found {
		if err := f.poll(ctx, publish); err != nil {
			return err
		}
		segments = append(segments, f.Segment)
	}
	publish.Keep(segments)
	return nil
}

// Call refuses: there are no functions but the common ones.
func (d *device) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return nil, model.Errorf(model.KindUnsupported, "a host has no such function")
}

// Write refuses: nothing is writable.
func (d *device) Write(context.Context, int, model.Value, devices.Publisher) error {
	return model.Errorf(model.KindUnsupported, "a host has no writable variable")
}

// Close does nothing: there is nothing to give back.
func (d *device) Close() error { return nil }

// batch collects readings, each with the time at which it was added, right after it was read.
type batch []devices.Update

// add adds a reading, or, when there was an error, that there is none.
func (b *batch) add(variable int, v model.Value, err error) {
	u := devices.Update{Variable: variable, Value: v, Source: model.TimeOf(time.Now())}
	if err != nil {
		u.Value, u.Quality = model.Value{}, model.Quality{Level: model.Bad, Reason: model.ReasonFailed}
	}
	*b = append(*b, u)
}

// count makes an int64 of a counter; no counter of these reaches its end.
func count(n uint64) model.Value { return model.Int64(int64(min(n, math.MaxInt64))) }

func (b *batch) readLoad(ctx context.Context) {
	average, err := load.AvgWithContext(ctx)
	if err != nil {
		average = &load.AvgStat{}
	}
	b.add(variableLoad1, model.Float64(average.Load1), err)
	b.add(variableLoad5, model.Float64(average.Load5), err)
	b.add(variableLoad15, model.Float64(average.Load15), err)
}

func (b *batch) readMemory(ctx context.Context) {
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		memory = &mem.VirtualMemoryStat{}
	}
	b.add(variableMemoryUsedPercent, model.Float64(memory.UsedPercent), err)
	b.add(variableMemoryTotal, count(memory.Total), err)
	b.add(variableMemoryAvailable, count(memory.Available), err)
	swap, err := mem.SwapMemoryWithContext(ctx)
	if err != nil {
		swap = &mem.SwapMemoryStat{}
	}
	b.add(variableSwapUsedPercent, model.Float64(swap.UsedPercent), err)
	b.add(variableSwapTotal, count(swap.Total), err)
}

func (b *batch) readSystem(ctx context.Context, d *device) {
	uptime, err := host.UptimeWithContext(ctx)
	b.add(variableUptime, model.Duration(time.Duration(min(uptime, math.MaxInt32))*time.Second), err)
	boot, err := host.BootTimeWithContext(ctx)
	b.add(variableBootTime, model.Instant(model.TimeOf(time.Unix(int64(min(boot, math.MaxInt32)), 0))), err)
	processes, err := process.PidsWithContext(ctx)
	b.add(variableProcesses, model.Int64(int64(len(processes))), err)
	name, err := os.Hostname()
	b.add(variableHostname, model.String(name), err)
	info, err := d.system(ctx)
	b.add(variableOS, model.String(info.OS), err)
	b.add(variablePlatform, model.String(info.Platform+" "+info.PlatformVersion), err)
	b.add(variableKernel, model.String(info.KernelVersion), err)
	b.add(variableArchitecture, model.String(info.KernelArch), err)
}

// system reads once what does not change while the system runs: it takes some twenty files.
func (d *device) system(ctx context.Context) (*host.InfoStat, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.info != nil {
		return d.info, nil
	}
	info, err := host.InfoWithContext(ctx)
	if err != nil || info == nil {
		return &host.InfoStat{}, err
	}
	d.info = info
	return info, nil
}

// cpuTime is what all cores together did since the system started, in seconds.
type cpuTime struct {
	at          time.Time
	busy, total float64
}

func readCPU(ctx context.Context) (cpuTime, error) {
	all, err := cpu.TimesWithContext(ctx, false)
	if err != nil {
		return cpuTime{}, err
	}
	if len(all) == 0 {
		return cpuTime{}, model.Errorf(model.KindUnsupported, "the system tells no CPU times")
	}
	t := all[0]
	// Guest time is in user time already, and guest nice in nice. Waiting for a disk is being idle, as top and others see it.
	busy := t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal
	return cpuTime{at: time.Now(), busy: busy, total: busy + t.Idle + t.Iowait}, nil
}

// cpuPercent is the share of busy time since the poll before; the first poll, and one that follows too closely, waits a moment.
func (d *device) cpuPercent(ctx context.Context) (float64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.previous.at.IsZero() {
		first, err := readCPU(ctx)
		if err != nil {
			return 0, err
		}
		d.previous = first
	}
	if wait := leastSpan - time.Since(d.previous.at); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	now, err := readCPU(ctx)
	if err != nil {
		return 0, err
	}
	percent := share(d.previous, now)
	d.previous = now
	return percent, nil
}

// share is busy time in percent between two readings, never outside of 0 to 100: idle and waiting counters can step back.
func share(from, to cpuTime) float64 {
	total, busy := to.total-from.total, to.busy-from.busy
	if !(total > 0) {
		return 0
	}
	return min(100, max(0, 100*busy/total))
}
