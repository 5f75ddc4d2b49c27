package siege

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What an attack may cost.
const (
	MostCores  = 1.0
	MostGrowth = 64 << 20
)

// mostWait is how long honest people may wait. Everyday the attackers, the honest and the tests of other packages share the machine with the node.
func mostWait() time.Duration {
	if full() {
		return time.Second
	}
	return 5 * time.Second
}

// Honest is what somebody beside the attack does; it ends with the answer, or with an error.
type Honest struct {
	Name  string
	Every time.Duration
	Do    func(ctx context.Context) error
}

// Figures are what was seen while an attack lasted.
type Figures struct {
	Attack string
	Lasted time.Duration
	Cores  float64 // of processor, used by the node
	Growth int64   // bytes that its peak of resident memory is above what it was
	Sent   uint64
	Cut    uint64
	Waits  map[string]Waits
}

// Waits are how long honest people waited.
type Waits struct {
	Asked, Failed int
	P50, P99      time.Duration
	Problem       string // the last one
}

// Broken is what does not hold, "" when all does; mostCores is how much of the processor may be used, 0 for any.
func (f *Figures) Broken(mostCores float64) string {
	var broken []string
	if mostCores > 0 && f.Cores > mostCores {
		broken = append(broken, fmt.Sprintf("%.2f cores", f.Cores))
	}
	if f.Growth > MostGrowth {
		broken = append(broken, fmt.Sprintf("%d MiB more", f.Growth>>20))
	}
	for name, w := range f.Waits {
		if w.Failed > 0 {
			broken = append(broken, fmt.Sprintf("%s failed %d of %d times: %s", name, w.Failed, w.Asked, w.Problem))
		}
		if w.P99 > mostWait() {
			broken = append(broken, fmt.Sprintf("%s took %s", name, w.P99.Round(time.Millisecond)))
		}
	}
	return strings.Join(broken, "; ")
}

// Measure attacks for a time, and looks at the process of the node and at honest people meanwhile.
func Measure(ctx context.Context, pid int, lasts time.Duration, honest []Honest, target *Target, name string, attack func(context.Context, *Target)) (Figures, error) {
	f := Figures{Attack: name, Waits: map[string]Waits{}}
	before, err := resident(pid, "VmRSS")
	if err != nil {
		return f, err
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil { // the peak begins here
		return f, err
	}
	target.Sent.Store(0)
	target.Cut.Store(0)
	used, err := worked(pid)
	if err != nil {
		return f, err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	var work sync.WaitGroup
	var mu sync.Mutex
	for _, h := range honest {
		work.Go(func() {
			w := h.watch(ctx)
			mu.Lock()
			defer mu.Unlock()
			f.Waits[h.Name] = w
		})
	}
	work.Go(func() { attack(ctx, target) })
	work.Wait()
	f.Lasted = time.Since(began)
	after, err := worked(pid)
	if err != nil {
		return f, err
	}
	peak, err := resident(pid, "VmHWM")
	f.Cores, f.Growth = (after-used).Seconds()/f.Lasted.Seconds(), peak-before
	f.Sent, f.Cut = target.Sent.Load(), target.Cut.Load()
	return f, err
}

// watch does what honest people do until ctx ends. What was begun before that is finished.
func (h *Honest) watch(ctx context.Context) Waits {
	var w Waits
	var took []time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		one, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		err := h.Do(one)
		cancel()
		w.Asked++
		if err != nil {
			w.Failed++
			w.Problem = err.Error()
		}
		took = append(took, time.Since(began))
		pause(ctx, h.Every)
	}
	slices.Sort(took)
	if n := len(took); n > 0 {
		w.P50, w.P99 = took[n/2], took[min(n-1, n*99/100)]
	}
	return w
}

// worked is the processor time of a process.
func worked(pid int) (time.Duration, error) {
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
	for _, field := range fields[11:13] { // in user mode and in the kernel, hundredths of a second
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return time.Duration(total) * 10 * time.Millisecond, nil
}

// resident is a figure of a process's memory, bytes.
func resident(pid int, what string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, is := strings.CutPrefix(line, what+":"); is {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", pid, what)
}

// String is a line of a table.
func (f Figures) String() string {
	line := fmt.Sprintf("%-58s %5.2f cores %+5d MiB  %9d sent %5d cut ", f.Attack, f.Cores, f.Growth>>20, f.Sent, f.Cut)
	for _, name := range slices.Sorted(maps.Keys(f.Waits)) {
		w := f.Waits[name]
		line += fmt.Sprintf(" %s %d/%d ms", name, w.P50.Milliseconds(), w.P99.Milliseconds())
		if w.Failed > 0 {
			line += fmt.Sprintf(" (%d of %d failed)", w.Failed, w.Asked)
		}
	}
	return line
}
