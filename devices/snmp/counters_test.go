package snmp

import (
	"math"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
	"pgregory.net/rapid"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
)

// world is a device with a clock of its own, and our clock, which both stand still until the test moves them.
type world struct {
	*agent
	d      *device
	record *devicetest.Recorder
	wall   time.Time
	uptime uint64 // hundredths of a second
}

func newWorld(t *testing.T, uptime uint64, objects ...gosnmp.SnmpPDU) *world {
	w := &world{agent: newAgent(t, append(system("counting", "1.3.6.1.4.1.99999.3", uint32(uptime)), objects...)...), wall: time.Unix(1_800_000_000, 0), uptime: uptime}
	w.d = generic(t, w.agent, nil)
	w.d.session.now = func() time.Time { return w.wall }
	w.record = devicetest.NewRecorder(w.d.Shape())
	w.poll(t)
	return w
}

// pass moves both clocks.
func (w *world) pass(d time.Duration) {
	w.wall = w.wall.Add(d)
	w.restartedFor(w.uptime + uint64(d/(10*time.Millisecond)))
}

// restartedFor sets the device's clock.
func (w *world) restartedFor(uptime uint64) {
	w.uptime = uptime
	w.put(timeticks("1.3.6.1.2.1.1.3.0", uint32(uptime)))
}

func (w *world) poll(t *testing.T) {
	t.Helper()
	if err := pollWithin(t, w.d, w.record, 10*time.Second); err != nil {
		t.Fatal(err)
	}
}

// port is the only interface.
func port(in32 uint32, speed uint32) []gosnmp.SnmpPDU {
	return []gosnmp.SnmpPDU{text(ifDescr+".1", "port"), gauge("1.3.6.1.2.1.2.2.1.5.1", speed), count32(ifInOctets+".1", in32)}
}

func (w *world) rate() devices.Update { return w.record.At("interfaces", "port").Named("in_rate") }

func (w *world) expect(t *testing.T, want float64) {
	t.Helper()
	got := w.rate()
	if got.Quality != model.QualityGood || math.Abs(got.Value.Float64()-want) > 0.001*want+0.001 {
		t.Errorf("the rate is %s, %s, expected %v", got.Value, got.Quality, want)
	}
}

func (w *world) expectNone(t *testing.T) {
	t.Helper()
	if got := w.rate(); got.Quality != qualityFirst || !got.Value.IsNone() {
		t.Errorf("the rate is %s, %s, expected none", got.Value, got.Quality)
	}
}

func TestRates(t *testing.T) {
	w := newWorld(t, 1000, port(4_294_960_000, 100_000_000)...)
	w.expectNone(t)
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 4_294_965_000))
	w.poll(t)
	w.expect(t, 500)
	if got := w.record.At("interfaces", "port").Named("in_utilization").Value.Float64(); math.Abs(got-0.004) > 1e-6 {
		t.Errorf("500 B/s of 100 Mbit/s are %v %%", got)
	}
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 704)) // it wrapped: 2296 and 704
	w.poll(t)
	w.expect(t, 300)
	w.pass(500 * time.Millisecond)
	w.put(count32(ifInOctets+".1", 9_000))
	w.poll(t) // too soon for another rate
	w.expect(t, 300)
	w.pass(9500 * time.Millisecond)
	w.put(count32(ifInOctets+".1", 10_704))
	w.poll(t)
	w.expect(t, 1000)
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 100)) // more than half of the range: reset, not wrapped
	w.poll(t)
	w.expectNone(t)
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 2_100))
	w.poll(t)
	w.expect(t, 200)
}

// TestResetOfUnknownSpeed: where nobody knows the speed, a counter that fell by more than half of its range was reset.
func TestResetOfUnknownSpeed(t *testing.T) {
	w := newWorld(t, 1000, port(1_000_000_000, 0)...)
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 100))
	w.poll(t)
	w.expectNone(t)
	w.put(count32(ifInOctets+".1", 4_000_000_000))
	w.pass(10 * time.Second)
	w.poll(t)
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 5_032_704)) // 300,000,000 further
	w.poll(t)
	w.expect(t, 30_000_000)
}

// TestWrapThatIsTooFast: a counter that fell would have had to count faster than the interface can.
func TestWrapThatIsTooFast(t *testing.T) {
	w := newWorld(t, 1000, port(4_000_000_000, 10_000_000)...)
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 5))
	w.poll(t)
	w.expectNone(t)
	// 10 Gbit/s wrap a counter of 32 bits in 3.4 s.
	w.put(gauge("1.3.6.1.2.1.2.2.1.5.1", 4_000_000_000))
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 1_000_005))
	w.poll(t)
	if got := w.rate(); got.Quality != qualityRange || got.Value.Float64() != 100_000 {
		t.Errorf("a rate that may have wrapped unseen is %s, %s", got.Value, got.Quality)
	}
}

func TestCounterOf64BitsFalls(t *testing.T) {
	hc := "1.3.6.1.2.1.31.1.1.1.6.1"
	w := newWorld(t, 1000, append(port(7, 1e9), count64(hc, math.MaxUint64-10))...)
	w.pass(10 * time.Second)
	w.put(count64(hc, 100))
	w.poll(t)
	w.expectNone(t)
	w.pass(10 * time.Second)
	w.put(count64(hc, 1100))
	w.poll(t)
	w.expect(t, 100)
	// The device drops the large counters: those of 32 bits are another count, and come with the next poll.
	w.drop(oid("." + hc))
	for range 2 {
		w.pass(10 * time.Second)
		w.poll(t)
	}
	w.expectNone(t)
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 57))
	w.poll(t)
	w.expect(t, 5)
}

func TestDiscontinuity(t *testing.T) {
	discontinuity := "1.3.6.1.2.1.31.1.1.1.19.1"
	w := newWorld(t, 100_000, append(port(7_000, 1e9), timeticks(discontinuity, 0))...)
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 9_000), timeticks(discontinuity, 100_500)) // it began anew and is further than before already
	w.poll(t)
	w.expectNone(t)
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 19_000))
	w.poll(t)
	w.expect(t, 1000)
}

// TestDevicesOwnTime: an answer that was long on its way does not change the rate, and a clock that stands still is not believed.
func TestDevicesOwnTime(t *testing.T) {
	w := newWorld(t, 1000, port(0, 1e7)...)
	w.pass(10 * time.Second)
	w.wall = w.wall.Add(1500 * time.Millisecond)
	w.put(count32(ifInOctets+".1", 10_000))
	w.poll(t)
	w.expect(t, 1000)
	w.wall = w.wall.Add(98500 * time.Millisecond) // and the device's clock stands still
	w.put(count32(ifInOctets+".1", 108_500))
	w.poll(t)
	w.expect(t, 1000)
	if got := w.record.Named("restarts").Value.Int64(); got != 0 {
		t.Errorf("a clock that stands still counts as %d restarts", got)
	}
}

func TestRestart(t *testing.T) {
	w := newWorld(t, 500_000, port(1_000_000, 1e9)...)
	boot := w.record.Named("boot_time").Value.Time().Std()
	if want := w.wall.Add(-5000 * time.Second); !boot.Equal(want) {
		t.Errorf("the boot time is %s, expected %s", boot, want)
	}
	w.pass(10 * time.Second)
	w.restartedFor(300) // three seconds ago
	w.put(count32(ifInOctets+".1", 1_000_500))
	w.poll(t)
	w.expectNone(t)
	if got := w.record.Named("restarts").Value.Int64(); got != 1 {
		t.Errorf("%d restarts were noticed", got)
	}
	if boot = w.record.Named("boot_time").Value.Time().Std(); !boot.Equal(w.wall.Add(-3 * time.Second)) {
		t.Errorf("the boot time is %s", boot)
	}
	// It was away for an hour, and has been running again for longer than before.
	w.wall = w.wall.Add(time.Hour)
	w.restartedFor(3000)
	w.poll(t)
	if got := w.record.Named("restarts").Value.Int64(); got != 2 {
		t.Errorf("%d restarts were noticed", got)
	}
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 1_000_600))
	w.poll(t)
	w.expect(t, 10)
}

func TestUptimeWraps(t *testing.T) {
	w := newWorld(t, tickWrap-500, port(0, 1e9)...)
	boot := w.record.Named("boot_time").Value
	w.pass(10 * time.Second)
	w.put(count32(ifInOctets+".1", 5_000))
	w.poll(t)
	w.expect(t, 500)
	if got := w.record.Named("restarts").Value.Int64(); got != 0 {
		t.Errorf("the wrap counts as %d restarts", got)
	}
	if got, want := w.record.Named("uptime").Value.Duration(), tickDuration(tickWrap+500); got != want {
		t.Errorf("the uptime is %s, expected %s", got, want)
	}
	if got := w.record.Named("boot_time").Value; !got.Equal(boot) {
		t.Errorf("the boot time moved from %s to %s", boot, got)
	}
}

// TestEngineTime: what SNMP-FRAMEWORK-MIB tells of wraps before the first poll, and of a restart that the uptime does not show.
func TestEngineTime(t *testing.T) {
	const engineBoots, engineTime = "1.3.6.1.6.3.10.2.1.2.0", "1.3.6.1.6.3.10.2.1.3.0"
	w := newWorld(t, 1000, append(port(0, 1e9), number(engineBoots, 7), number(engineTime, 2*tickWrap/100+10))...)
	if got, want := w.record.Named("uptime").Value.Duration(), tickDuration(2*tickWrap+1000); got != want {
		t.Errorf("the uptime is %s, expected %s", got, want)
	}
	w.pass(10 * time.Second)
	w.put(number(engineBoots, 8), number(engineTime, 0))
	w.poll(t)
	if got := w.record.Named("restarts").Value.Int64(); got != 1 {
		t.Errorf("%d restarts were noticed", got)
	}
	for low, c := range map[uint32]struct {
		engine int64
		want   uint64
	}{0: {0, 0}, 500: {5, 0}, 501: {42_949_677, tickWrap}, 502: {20_000_000, 0}, 503: {-5, 0}, 504: {1 << 40, 0}, math.MaxUint32: {1, 0}} {
		if got := wrapsIn(low, c.engine); got != c.want {
			t.Errorf("an uptime of %d with %d s of the engine has wrapped by %d, expected %d", low, c.engine, got, c.want)
		}
	}
}

// TestRatesAreNeverAbsurd: whatever counters and clocks do, a rate is not negative, and not more than the counter can have counted.
func TestRatesAreNeverAbsurd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c counter
		var k clock
		wall := time.Unix(1_800_000_000, 0)
		kind := rapid.SampledFrom([]form{counter32, counter64, unsigned}).Draw(t, "form")
		for range rapid.IntRange(2, 20).Draw(t, "polls") {
			passed := time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, "passed"))
			wall = wall.Add(passed)
			low := rapid.Uint32().Draw(t, "uptime")
			restarts := k.restarts
			restarted := k.observe(low, int64(rapid.Uint32().Draw(t, "engine")), int64(rapid.IntRange(0, 2).Draw(t, "boots")), wall)
			if restarted != (k.restarts > restarts) || uint32(k.ticks) != low {
				t.Fatalf("uptime %d became %d ticks; restarted: %v", low, k.ticks, restarted)
			}
			r := reading{form: kind, number: rapid.Uint64().Draw(t, "value")}
			if r.form != counter64 {
				r.number &= math.MaxUint32
			}
			most := rapid.SampledFrom([]float64{0, 1e3, 1e9}).Draw(t, "most")
			rate, quality := c.next(r, k.at(reading{form: ticks, number: uint64(low)}, wall), most)
			if rate < 0 || math.IsNaN(rate) || math.IsInf(rate, 0) || c.rated != (quality != qualityFirst) {
				t.Fatalf("the rate is %v, %s", rate, quality)
			}
			if r.form == counter32 && c.rated && rate > math.MaxUint32/0.5 {
				t.Fatalf("a counter of 32 bits rises by %v a second", rate)
			}
		}
	})
}
