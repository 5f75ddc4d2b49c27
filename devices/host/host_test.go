package host

import (
	"context"
	"math"
	"os"
	"runtime"
	"testing"
	"time"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
)

func TestDriver(t *testing.T) { devicetest.Run(t, Driver{}) }

func polled(t *testing.T) *devicetest.Recorder {
	t.Helper()
	d, err := Driver{}.Open(devices.Settings{"disks": model.Bool(true), "interfaces": model.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	record := devicetest.NewRecorder(schema)
	if err := d.Poll(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	return record
}

func TestReadsThisMachine(t *testing.T) {
	record := polled(t)
	number := func(name string) float64 {
		u := record.Named(name)
		if u.Quality != model.QualityGood {
			t.Errorf("%s is %s", name, u.Quality)
		}
		if u.Value.Type() == model.TypeInt64 {
			return float64(u.Value.Int64())
		}
		return u.Value.Float64()
	}
	for name, limits := range map[string][2]float64{
		"cpu_percent": {0, 100}, "load1": {0, 1e5}, "memory_used_percent": {0.1, 100}, "memory_total": {1 << 24, 1 << 50},
		"memory_available": {1, number("memory_total")}, "swap_used_percent": {0, 100}, "processes": {1, 1e7},
	} {
		if v := number(name); v < limits[0] || v > limits[1] {
			t.Errorf("%s is %v", name, v)
		}
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got := record.Named("hostname").Value.Text(); got != name {
		t.Errorf("hostname is %q", got)
	}
	if got := record.Named("os").Value.Text(); got != runtime.GOOS {
		t.Errorf("os is %q", got)
	}
	boot, up := record.Named("boot_time").Value.Time().Std(), record.Named("uptime").Value.Duration()
	if off := time.Since(boot) - up; up <= 0 || off.Abs() > time.Minute {
		t.Errorf("started at %s, %s ago", boot, up)
	}
	if folder := record.At("interfaces"); folder == nil || len(folder.Children()) == 0 {
		t.Error("there are no interfaces")
	}
	for _, segment := range record.At("disks").Children() {
		d := record.At("disks", segment)
		if total, used := d.Named("total").Value.Int64(), d.Named("used").Value.Int64(); used < 0 || used > total {
			t.Errorf("disk %s, %s: %d of %d bytes are used", segment, d.Label(), used, total)
		}
	}
}

// TestLoadShows keeps one core busy: cpu_percent rises to about that core's share.
func TestLoadShows(t *testing.T) {
	d := &device{}
	if _, err := d.cpuPercent(t.Context()); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		math.Sqrt(float64(end.Nanosecond()))
	}
	busy := time.Now()
	percent, err := d.cpuPercent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.previous.at.Before(busy) {
		t.Error("the next poll would measure from before this one")
	}
	if least := 50 / float64(runtime.NumCPU()); percent < least {
		t.Errorf("with one of %d cores busy cpu_percent is %.1f", runtime.NumCPU(), percent)
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct{ busy, total, want float64 }{
		{5, 20, 25}, {0, 20, 0}, {20, 20, 100}, {-1, 20, 0}, {21, 20, 100}, {0, 0, 0}, {1, -1, 0}, {math.NaN(), math.NaN(), 0},
	} {
		if got := share(cpuTime{busy: 100, total: 1000}, cpuTime{busy: 100 + c.busy, total: 1000 + c.total}); got != c.want {
			t.Errorf("%v of %v is %v %%, expected %v", c.busy, c.total, got, c.want)
		}
	}
}

// TestThingsComeAndGo: names that give the same segment, one that disappears, and one that takes the segment that became free.
func TestThingsComeAndGo(t *testing.T) {
	var names []string
	f := &found{Rows: devices.Rows{Segment: "disks", Label: "Disks"}, schema: diskSchema, read: func(context.Context) ([]thing, error) {
		var things []thing
		for _, name := range names {
			one := thing{name: name}
			one.batch.add(diskTotal, model.Int64(int64(len(name))), nil)
			things = append(things, one)
		}
		return things, nil
	}}
	record := devicetest.NewRecorder(schema)
	poll := func(now ...string) []string {
		names = now
		if err := f.poll(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		return record.At("disks").Children()
	}
	if got := poll("/a/b", "/a-b", "/"); len(got) != 3 || record.At("disks", "root").Label() != "/" || record.At("disks", "a-b").Label() != "/a-b" {
		t.Errorf("children %v", got)
	}
	if got := poll("/a/b", "/", "/a_b", "/b-a"); len(got) != 4 {
		t.Errorf("children %v", got)
	}
	if got := poll("/b/a"); len(got) != 1 || record.At("disks", "b-a").Label() != "/b/a" {
		t.Errorf("a new thing in the place of an old one: children %v", got)
	}
	if got := poll("/"); len(got) != 1 {
		t.Errorf("children %v", got)
	}
	if got := poll("/", "/a/b"); len(got) != 2 || record.At("disks", "a-b").Label() != "/a/b" {
		t.Errorf("children %v", got)
	}
	if got := poll(); len(got) != 0 {
		t.Errorf("children %v", got)
	}
	for _, c := range record.Complaints() {
		t.Error(c)
	}
}

func TestCounterName(t *testing.T) {
	for device, want := range map[string]string{"/dev/no-such-disk1": "no-such-disk1", "C:": "C:", "tank/data": "tank/data"} {
		if got := counterName(device); got != want {
			t.Errorf("%s is counted as %s", device, got)
		}
	}
}
