package simulator_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/devices/simulator"
	"banyan/model"
)

func TestDriver(t *testing.T) { devicetest.Run(t, simulator.Driver{}) }

func open(t testing.TB, given devices.Settings) devices.Streamer {
	t.Helper()
	settings, err := devices.Resolve(devices.Complete(simulator.Driver{}.Schema()), given)
	if err != nil {
		t.Fatal(err)
	}
	d, err := simulator.Driver{}.Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	return d.(devices.Streamer)
}

// counts checks that a counter never leaves out a count, and counts the updates.
type counts struct {
	devicetest.Recorder
	t     *testing.T
	seen  map[int]uint64
	total int
	each  func() // after each batch; may be nil
}

func (c *counts) Child(string, string, *model.Schema) (devices.Publisher, error) { return c, nil }

func (c *counts) PublishScalars(first int, _ model.Time, bits []uint64) {
	for i, b := range bits {
		n := uint64(math.Float64frombits(b))
		if n != c.seen[first+i]+1 {
			c.t.Errorf("point %d went from %d to %d", first+i, c.seen[first+i], n)
		}
		c.seen[first+i] = n
		c.total++
	}
	if c.each != nil {
		c.each()
	}
}

func TestStreamKeepsItsRateAndMissesNoCount(t *testing.T) {
	for _, rate := range []int64{1, 1000, 20_000} {
		synctest.Test(t, func(t *testing.T) {
			d := open(t, devices.Settings{"points": model.Int64(700), "group_size": model.Int64(700), "rate": model.Int64(rate)})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			c := &counts{t: t, seen: map[int]uint64{}}
			if err := d.Stream(ctx, c); err != nil {
				t.Fatal(err)
			}
			if want := int(10 * rate); c.total < want-int(rate)/500-1 || c.total > want {
				t.Errorf("streamed %d updates in 10 s at %d a second", c.total, rate)
			}
			if points := min(700, c.total); len(c.seen) != points {
				t.Errorf("%d of %d points were updated", len(c.seen), points)
			}
		})
	}
}

func TestStreamAtFullSpeedMissesNoCount(t *testing.T) {
	d := open(t, devices.Settings{"points": model.Int64(2500), "group_size": model.Int64(1000), "rate": model.Int64(-1)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	groups := &grouped{t: t, most: 100, cancel: cancel}
	if err := d.Stream(ctx, groups); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{34_000, 33_000, 16_500} { // a hundred batches in turn
		if got := groups.children[i].total; got != want {
			t.Errorf("group %d was updated %d times, expected %d", i, got, want)
		}
	}
}

// grouped counts for each child by itself and ends the stream after some batches.
type grouped struct {
	devicetest.Recorder
	t        *testing.T
	children []*counts
	most     int
	cancel   context.CancelFunc
}

func (g *grouped) Child(string, string, *model.Schema) (devices.Publisher, error) {
	c := &counts{t: g.t, seen: map[int]uint64{}, each: func() {
		if g.most--; g.most == 0 {
			g.cancel()
		}
	}}
	g.children = append(g.children, c)
	return c, nil
}

func TestPollsAndStreamShareCounters(t *testing.T) {
	d := open(t, devices.Settings{"points": model.Int64(1)})
	record := devicetest.NewRecorder(simulator.Driver{}.Schema())
	for range 2 {
		if err := d.Poll(t.Context(), record); err != nil {
			t.Fatal(err)
		}
	}
	if got := record.All()["group-000:p000"].Value.Float64(); got != 2 {
		t.Errorf("after two polls the counter is at %v", got)
	}
	if _, err := d.Call(t.Context(), 0, nil, record); err != nil {
		t.Fatal(err)
	}
	if err := d.Poll(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if got := record.All()["group-000:p000"].Value.Float64(); got != 1 {
		t.Errorf("one poll after a reset the counter is at %v", got)
	}
}

func TestModesStayWithinStep(t *testing.T) {
	for mode, least := range map[string]float64{"sine": -3, "random": 0} {
		d := open(t, devices.Settings{"points": model.Int64(1000), "mode": model.String(mode), "step": model.Float64(3)})
		record := devicetest.NewRecorder(simulator.Driver{}.Schema())
		if err := d.Poll(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		distinct := map[float64]bool{}
		group := record.At("group-000")
		for i := range 1000 {
			u, ok := group.Last(i)
			v := u.Value.Float64()
			if !ok || v < least || v > 3 {
				t.Fatalf("%s: point %d is %v", mode, i, v)
			}
			distinct[v] = true
		}
		if len(distinct) < 400 {
			t.Errorf("%s: a thousand points have %d values", mode, len(distinct))
		}
	}
}

func TestSameSeedSameValues(t *testing.T) {
	values := func(seed int64) [3]float64 {
		d := open(t, devices.Settings{"points": model.Int64(3), "mode": model.String("random"), "seed": model.Int64(seed)})
		record := devicetest.NewRecorder(simulator.Driver{}.Schema())
		if err := d.Poll(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		var v [3]float64
		for i := range v {
			u, _ := record.At("group-000").Last(i)
			v[i] = u.Value.Float64()
		}
		return v
	}
	if values(7) != values(7) || values(7) == values(8) {
		t.Errorf("seed 7: %v and %v, seed 8: %v", values(7), values(7), values(8))
	}
}

func TestHangEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, devices.Settings{"hang": model.Bool(true)})
		record := devicetest.NewRecorder(simulator.Driver{}.Schema())
		work := map[string]func(context.Context) error{
			"poll":  func(ctx context.Context) error { return d.Poll(ctx, record) },
			"call":  func(ctx context.Context) error { _, err := d.Call(ctx, 1, nil, record); return err },
			"write": func(ctx context.Context) error { return d.Write(ctx, 9, model.Float64(1), record) },
		}
		for what, do := range work {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			began := time.Now()
			if err := do(ctx); model.KindOf(err) != model.KindTimeout || time.Since(began) != 3*time.Second {
				t.Errorf("%s ended after %s: %v", what, time.Since(began), err)
			}
			cancel()
		}
	})
}

func TestFailRatio(t *testing.T) {
	d := open(t, devices.Settings{"fail_ratio": model.Float64(0.25)})
	failed := 0
	for range 1000 {
		if err := d.Poll(t.Context(), devicetest.NewRecorder(simulator.Driver{}.Schema())); err != nil {
			if model.KindOf(err) != model.KindUnavailable {
				t.Fatal(err)
			}
			failed++
		}
	}
	if failed < 200 || failed > 300 {
		t.Errorf("%d of 1000 polls failed", failed)
	}
}

func TestWriteComesBack(t *testing.T) {
	d := open(t, nil)
	record := devicetest.NewRecorder(simulator.Driver{}.Schema())
	if err := d.Write(t.Context(), 9, model.Float64(21.5), record); err != nil {
		t.Fatal(err)
	}
	if got := record.Named("setpoint").Value.Float64(); got != 21.5 {
		t.Errorf("setpoint is %v", got)
	}
	if err := d.Write(t.Context(), 0, model.Bool(false), record); err == nil {
		t.Error("all_bool was written")
	}
}

func TestEchoEveryType(t *testing.T) {
	d := open(t, nil)
	given := []model.Argument{
		{Name: "int64", Value: model.Int64(math.MaxInt64)},
		{Name: "float64", Value: model.Float64(math.NaN())},
		{Name: "ref", Value: model.RefOutside()},
		{Name: "table", Value: model.TableValue(&model.Table{Columns: []model.Column{{Name: "n", Type: model.TypeBool}}, Rows: [][]model.Value{{{}}}})},
	}
	got, err := d.Call(t.Context(), 1, given, devicetest.NewRecorder(simulator.Driver{}.Schema()))
	if err != nil || len(got) != len(given) {
		t.Fatal(got, err)
	}
	for i := range given {
		if !got[i].Value.Equal(given[i].Value) {
			t.Errorf("%s came back as %s", given[i].Name, got[i].Value)
		}
	}
}

func TestMillionPoints(t *testing.T) {
	d := open(t, devices.Settings{"points": model.Int64(simulator.MaxPoints)})
	c := &million{}
	if err := d.Poll(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if c.children != 1000 || c.updates != simulator.MaxPoints {
		t.Errorf("%d updates of points in %d children", c.updates, c.children)
	}
}

// million counts and keeps nothing.
type million struct{ children, updates int }

func (m *million) Publish([]devices.Update) {}
func (m *million) Keep([]string)            {}
func (m *million) PublishScalars(_ int, _ model.Time, bits []uint64) {
	m.updates += len(bits)
}
func (m *million) Child(string, string, *model.Schema) (devices.Publisher, error) {
	m.children++
	return m, nil
}

// BenchmarkStream is what the simulator itself costs of an update, at the highest rate.
func BenchmarkStream(b *testing.B) {
	d := open(b, devices.Settings{"points": model.Int64(100_000), "rate": model.Int64(-1)})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	until := &limited{left: b.N, cancel: cancel}
	b.ResetTimer()
	if err := d.Stream(ctx, until); err != nil {
		b.Fatal(err)
	}
}

type limited struct {
	million
	left   int
	cancel context.CancelFunc
}

func (l *limited) Child(string, string, *model.Schema) (devices.Publisher, error) { return l, nil }
func (l *limited) PublishScalars(_ int, _ model.Time, bits []uint64) {
	if l.left -= len(bits); l.left <= 0 {
		l.cancel()
	}
}
