package devices_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a driver whose devices do what the test says. The setting "name" finds the behaviour.
type fake struct {
	mu      sync.Mutex
	devices map[string]*fakeDevice
}

var fakeSchema = &model.Schema{
	Kind:        "fake",
	Description: "For tests.",
	Settings: []model.Setting{
		{Name: "name", Type: model.TypeString, Default: model.String("a"), Right: model.RightConfigure},
		{Name: "bad", Type: model.TypeBool, Default: model.Bool(false), Right: model.RightConfigure},
	},
	Variables: []model.Variable{
		{Name: "reading", Type: model.TypeInt64},
		{Name: "target", Type: model.TypeInt64, Writable: true, Right: model.RightOperate},
	},
	Functions: []model.Function{
		{Name: "work", Right: model.RightOperate, Parameters: []model.Field{{Name: "n", Type: model.TypeInt64}, {Name: "note", Type: model.TypeString, Optional: true}}},
	},
}

func (f *fake) Kind() string          { return "fake" }
func (f *fake) Schema() *model.Schema { return fakeSchema }

func (f *fake) Open(s devices.Settings) (devices.Device, error) {
	if s["bad"].Bool() {
		return nil, devices.BadSetting("bad", "it is")
	}
	d := f.device(s["name"].Text())
	if d.live.Add(1) != 1 {
		panic("two lives of one device at once")
	}
	d.opened.Add(1)
	if d.onStream != nil {
		return streamer{d}, nil
	}
	return d, nil
}

func (f *fake) device(name string) *fakeDevice {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.devices == nil {
		f.devices = map[string]*fakeDevice{}
	}
	if f.devices[name] == nil {
		f.devices[name] = &fakeDevice{}
	}
	return f.devices[name]
}

type fakeDevice struct {
	onPoll   func(ctx context.Context, p devices.Publisher) error
	onCall   func(ctx context.Context) error
	onStream func(ctx context.Context, p devices.Publisher) error

	live, opened, closed, polling atomic.Int32

	mu    sync.Mutex // guards polls, and onPoll once the device runs
	polls []time.Time
}

// does gives the device another behaviour from its next poll on.
func (d *fakeDevice) does(poll func(ctx context.Context, p devices.Publisher) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onPoll = poll
}

func (d *fakeDevice) Poll(ctx context.Context, p devices.Publisher) error {
	if d.polling.Add(1) != 1 {
		panic("a poll overlaps another")
	}
	defer d.polling.Add(-1)
	d.mu.Lock()
	d.polls = append(d.polls, time.Now())
	n, poll := len(d.polls), d.onPoll
	d.mu.Unlock()
	if poll != nil {
		if err := poll(ctx, p); err != nil {
			return err
		}
	}
	p.Publish([]devices.Update{{Variable: 0, Value: model.Int64(int64(n)), Source: model.TimeOf(time.Now())}})
	return nil
}

func (d *fakeDevice) Call(ctx context.Context, _ int, arguments []model.Argument, _ devices.Publisher) ([]model.Argument, error) {
	if d.onCall != nil {
		if err := d.onCall(ctx); err != nil {
			return nil, err
		}
	}
	return arguments, nil
}

func (d *fakeDevice) Write(_ context.Context, variable int, v model.Value, p devices.Publisher) error {
	p.Publish([]devices.Update{{Variable: variable, Value: v, Source: model.TimeOf(time.Now())}})
	return nil
}

func (d *fakeDevice) Close() error {
	d.closed.Add(1)
	d.live.Add(-1)
	return nil
}

func (d *fakeDevice) polled() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]time.Time(nil), d.polls...)
}

type streamer struct{ *fakeDevice }

func (s streamer) Stream(ctx context.Context, p devices.Publisher) error { return s.onStream(ctx, p) }

// node is a manager that runs in a bubble of fake time.
type node struct {
	*devices.Manager
	t       *testing.T
	driver  *fake
	records map[uint64]*devicetest.Recorder
	cancel  context.CancelFunc
	ended   chan error
}

func run(t *testing.T, config devices.Config) *node {
	t.Helper()
	n := &node{t: t, driver: &fake{}, records: map[uint64]*devicetest.Recorder{}, ended: make(chan error, 1)}
	schema := devices.Complete(fakeSchema)
	config.Drivers = []devices.Driver{n.driver}
	config.Sink = func(id model.ContextID) devices.Sink {
		if n.records[id.Number] == nil {
			n.records[id.Number] = devicetest.NewRecorder(schema)
		}
		return n.records[id.Number]
	}
	if config.Random == nil {
		config.Random = func() float64 { return 0.5 }
	}
	m, err := devices.New(config)
	if err != nil {
		t.Fatal(err)
	}
	n.Manager = m
	ctx, cancel := context.WithCancel(t.Context())
	n.cancel = cancel
	go func() { n.ended <- m.Run(ctx) }()
	return n
}

func (n *node) stop() error {
	n.cancel()
	return <-n.ended
}

func (n *node) want(specs ...devices.Spec) {
	n.t.Helper()
	if err := n.Reconcile(specs); err != nil {
		n.t.Fatal(err)
	}
	synctest.Wait()
}

func (n *node) state(id uint64) string {
	return n.records[id].Named(devices.VariableState).Value.Text()
}

func (n *node) polls(id uint64) int64 {
	return n.records[id].Named(devices.VariablePolls).Value.Int64()
}

// pass lets time pass, and what happens in it end.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func id(n uint64) model.ContextID { return model.ContextID{Number: n} }

func spec(n uint64, name string, interval time.Duration) devices.Spec {
	return devices.Spec{ID: id(n), Path: model.MustPath("/devices/" + name), Kind: "fake", Settings: devices.Settings{
		"name": model.String(name), devices.SettingPollInterval: model.Duration(interval), devices.SettingTimeout: model.Duration(time.Second),
	}}
}

// ignore hangs without listening to its context, until release is closed.
func ignore(release <-chan struct{}) func(context.Context, devices.Publisher) error {
	return func(context.Context, devices.Publisher) error { <-release; return nil }
}

func obey(ctx context.Context, _ devices.Publisher) error { <-ctx.Done(); return ctx.Err() }

func wantKind(t *testing.T, what string, err error, kind model.ErrorKind, text string) {
	t.Helper()
	if err == nil || model.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v (%s), expected %s with %q", what, err, model.KindOf(err), kind, text)
	}
}

func TestPollsKeepTheirGrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		began := time.Now()
		d := n.driver.device("a")
		d.does(func(context.Context, devices.Publisher) error {
			if len(d.polled()) == 3 {
				time.Sleep(900 * time.Millisecond) // runs past two instants of the grid
			}
			return nil
		})
		n.want(spec(1, "a", 400*time.Millisecond))
		pass(2500 * time.Millisecond)
		var at []time.Duration
		for _, p := range d.polled() {
			at = append(at, p.Sub(began))
		}
		if got, want := fmt.Sprint(at), "[200ms 600ms 1s 2.2s]"; got != want {
			t.Errorf("polls at %s, expected %s", got, want)
		}
		if n.state(1) != devices.StateOK || n.polls(1) != 4 {
			t.Errorf("state %s after %d polls", n.state(1), n.polls(1))
		}
		if err := n.stop(); err != nil || d.closed.Load() != 1 {
			t.Errorf("stop: %v, closed %d times", err, d.closed.Load())
		}
	})
}

func TestFirstPollsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{Random: devicesRandom(), Concurrency: 1000})
		began := time.Now()
		var specs []devices.Spec
		for i := range 200 {
			specs = append(specs, spec(uint64(i), fmt.Sprint("d", i), time.Hour))
		}
		n.want(specs...)
		pass(2 * time.Second)
		buckets := map[time.Duration]int{}
		for i := range 200 {
			polls := n.driver.device(fmt.Sprint("d", i)).polled()
			if len(polls) == 0 {
				t.Fatalf("device %d is not polled within 2 s", i)
			}
			buckets[polls[0].Sub(began)/(200*time.Millisecond)]++
		}
		for bucket, count := range buckets {
			if count > 30 {
				t.Errorf("%d of 200 first polls fall into tenth %d", count, bucket)
			}
		}
		pass(time.Hour) // the second polls are spread over the whole interval
		early := 0
		for i := range 200 {
			polls := n.driver.device(fmt.Sprint("d", i)).polled()
			if len(polls) < 2 {
				t.Fatalf("device %d was polled %d times in an hour", i, len(polls))
			}
			if polls[1].Sub(began) < 6*time.Minute {
				early++
			}
		}
		if early > 40 {
			t.Errorf("%d of 200 second polls fall into the first tenth of the hour", early)
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// devicesRandom runs through a fixed sequence that fills the interval evenly.
func devicesRandom() func() float64 {
	var n atomic.Int64
	return func() float64 {
		x := float64(n.Add(1)) * 0.6180339887498949
		return x - float64(int64(x))
	}
}

func TestPollNowIsOnePollMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		d := n.driver.device("a")
		n.want(spec(1, "a", time.Hour))
		pass(10 * time.Second)
		if n.polls(1) != 1 {
			t.Fatalf("%d polls at first", n.polls(1))
		}
		before := model.TimeOf(time.Now())
		results, err := n.Call(t.Context(), id(1), devices.FunctionPollNow, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n.polls(1) != 2 || devices.Argument(results, "polls").Int64() != 2 || devices.Argument(results, "time").Time() < before {
			t.Errorf("poll_now answers %v; polls %d", results, n.polls(1))
		}
		if u, _ := n.records[1].Last(0); u.Source < before || u.Value.Int64() != 2 {
			t.Errorf("after poll_now the reading is %+v", u)
		}

		// While a poll runs, poll_now waits for it and for one more; three who ask at once share that one.
		d.does(func(context.Context, devices.Publisher) error { time.Sleep(500 * time.Millisecond); return nil })
		go func() { _, _ = n.PollNow(t.Context(), id(1)) }()
		pass(100 * time.Millisecond)
		asked := time.Now()
		var askers sync.WaitGroup
		for range 3 {
			askers.Go(func() {
				poll, err := n.PollNow(t.Context(), id(1))
				if err != nil || poll.Polls != 4 || poll.Began < model.TimeOf(asked) || time.Since(asked) != 900*time.Millisecond {
					t.Errorf("after %s: %+v, %v", time.Since(asked), poll, err)
				}
			})
		}
		askers.Wait()
		if n.polls(1) != 4 {
			t.Errorf("%d polls, expected 4", n.polls(1))
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestPollNowLeavesTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		began := time.Now()
		n.want(spec(1, "a", time.Second)) // at 0.5 s, 1.5 s, ...
		pass(1200 * time.Millisecond)
		if _, err := n.PollNow(t.Context(), id(1)); err != nil {
			t.Fatal(err)
		}
		pass(1500 * time.Millisecond)
		var at []time.Duration
		for _, p := range n.driver.device("a").polled() {
			at = append(at, p.Sub(began))
		}
		if got := fmt.Sprint(at); got != "[500ms 1.2s 1.5s 2.5s]" {
			t.Errorf("polls at %s", got)
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestPollNowIsCancelledWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		d := n.driver.device("a")
		n.want(spec(1, "a", time.Hour))
		pass(5 * time.Second)
		var ended time.Time
		d.does(func(ctx context.Context, p devices.Publisher) error {
			defer func() { ended = time.Now() }()
			return obey(ctx, p)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		asked := time.Now()
		_, err := n.PollNow(ctx, id(1))
		wantKind(t, "poll_now", err, model.KindTimeout, "/devices/a:poll_now")
		synctest.Wait()
		if took := ended.Sub(asked); took != 300*time.Millisecond {
			t.Errorf("the poll ended %s after it was asked for", took)
		}
		if n.state(1) != devices.StateOK || n.polls(1) != 2 {
			t.Errorf("a cancelled poll leaves the state %s, polls %d", n.state(1), n.polls(1))
		}
		// Of two who wait for one poll, one may give up without taking it from the other.
		d.does(func(ctx context.Context, _ devices.Publisher) error {
			select {
			case <-time.After(500 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		short, cancelShort := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancelShort()
		var other sync.WaitGroup
		other.Go(func() {
			if _, err := n.PollNow(t.Context(), id(1)); err != nil {
				t.Error(err)
			}
		})
		_, err = n.PollNow(short, id(1))
		wantKind(t, "poll_now", err, model.KindTimeout, "")
		other.Wait()
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestTimeoutMarksNoResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		d := n.driver.device("a")
		n.want(spec(1, "a", 10*time.Second))
		pass(8 * time.Second)
		good, _ := n.records[1].Last(0)
		d.does(obey)
		pass(20 * time.Second)
		quality, since := n.records[1].Failed()
		if n.state(1) != devices.StateNoResponse || quality != model.QualityNoReply {
			t.Errorf("state %s, quality %s", n.state(1), quality)
		}
		if age := time.Since(since.Std()); age < 10*time.Second {
			t.Errorf("two failures in a row: since %s ago, expected the first one", age)
		}
		now, _ := n.records[1].Last(0)
		if !now.Value.Equal(good.Value) || now.Source != good.Source || now.Quality != model.QualityNoReply {
			t.Errorf("the last value was %+v and is %+v", good, now)
		}
		why := n.records[1].Named(devices.VariableLastError)
		if why.Value.Text() != "no response within 1s" || why.Quality != model.QualityGood {
			t.Errorf("last_error is %+v", why)
		}
		d.does(func(context.Context, devices.Publisher) error { return errors.New("register 7 is locked") })
		pass(10 * time.Second)
		if quality, _ := n.records[1].Failed(); n.state(1) != devices.StateFailed || quality.Reason != model.ReasonFailed {
			t.Errorf("state %s, quality %s", n.state(1), quality)
		}
		d.does(func(context.Context, devices.Publisher) error { panic("nil map") })
		_, err := n.PollNow(t.Context(), id(1))
		wantKind(t, "a panic", err, model.KindInternal, "the node's log")
		d.does(nil)
		pass(10 * time.Second)
		if now, _ := n.records[1].Last(0); n.state(1) != devices.StateOK || now.Quality != model.QualityGood {
			t.Errorf("recovered: state %s, reading %+v", n.state(1), now)
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestHungDeviceHoldsUpNobody: one slot, a device that ignores its context, and one that is polled every second.
func TestHungDeviceHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{Concurrency: 1})
		release := make(chan struct{})
		hung := n.driver.device("hung")
		hung.does(ignore(release))
		n.want(spec(1, "hung", time.Second), spec(2, "good", 4*time.Second))
		pass(11 * time.Second)
		if got := len(hung.polled()); got != 1 {
			t.Errorf("the hung device was polled %d times", got)
		}
		if n.state(1) != devices.StateNoResponse || n.Stats().Hanging != 1 {
			t.Errorf("state %s, stats %+v", n.state(1), n.Stats())
		}
		before := n.polls(2)
		pass(time.Minute)
		if got := n.polls(2) - before; got != 15 {
			t.Errorf("the good device was polled %d times in a minute, expected 15", got)
		}
		_, err := n.PollNow(t.Context(), id(1))
		wantKind(t, "poll_now of a hung device", err, model.KindUnavailable, "/devices/hung")

		batches, _ := n.records[1].Counts()
		hung.does(nil)
		close(release)
		synctest.Wait()
		if after, _ := n.records[1].Counts(); after != batches {
			t.Error("a poll that was left behind has published")
		}
		pass(time.Second)
		if n.state(1) != devices.StateOK || n.Stats().Hanging != 0 {
			t.Errorf("after its return: state %s, stats %+v", n.state(1), n.Stats())
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestDarkRackLeavesSlots: devices that time out every time do not delay the others, though they are more than there are slots.
func TestDarkRackLeavesSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 700 * time.Millisecond // out of step with timeouts of 1 s
		n := run(t, devices.Config{Concurrency: 4, Random: devicesRandom()})
		var specs []devices.Spec
		for i := range uint64(20) {
			name := fmt.Sprint("dark", i)
			n.driver.device(name).does(obey)
			specs = append(specs, spec(100+i, name, time.Second))
		}
		n.want(append(specs, spec(1, "good", interval))...)
		pass(30 * time.Second) // every dark one has failed once
		before := n.polls(1)
		pass(time.Minute)
		polls := n.driver.device("good").polled()[before:]
		if len(polls) != 85 && len(polls) != 86 {
			t.Errorf("polled %d times in a minute, expected one each 700ms", len(polls))
		}
		for _, p := range polls {
			if late := p.Sub(polls[0]) % interval; late != 0 {
				t.Errorf("a poll is %s late", late)
			}
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{Concurrency: 3})
		var running, most atomic.Int32
		var specs []devices.Spec
		for i := range uint64(30) {
			name := fmt.Sprint("d", i)
			n.driver.device(name).does(func(context.Context, devices.Publisher) error {
				most.Store(max(most.Load(), running.Add(1)))
				time.Sleep(50 * time.Millisecond)
				running.Add(-1)
				return nil
			})
			specs = append(specs, spec(i, name, time.Second))
		}
		n.want(specs...) // all at the same instant, since the random number is always the same
		pass(10 * time.Second)
		if most.Load() != 3 {
			t.Errorf("%d polls at once, expected 3", most.Load())
		}
		if got := n.polls(29); got != 10 {
			t.Errorf("%d polls in 10 s", got)
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStopIsBoundedAndNamesWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		release := make(chan struct{})
		n.driver.device("hung").does(ignore(release))
		n.driver.device("stream").onStream = ignore(release)
		n.driver.device("slow").does(obey)
		n.want(spec(1, "hung", time.Second), spec(2, "slow", time.Second), spec(3, "good", time.Second), spec(4, "stream", time.Second))
		pass(900 * time.Millisecond)
		began := time.Now()
		err := n.stop()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the stop took %s", took)
		}
		wantKind(t, "stop", err, model.KindTimeout, "2 devices hang and were left behind: /devices/hung poll; /devices/stream stream")
		if n.driver.device("slow").closed.Load() != 1 || n.driver.device("good").closed.Load() != 1 {
			t.Error("a device that listens was not closed")
		}
		_, err = n.PollNow(t.Context(), id(3))
		wantKind(t, "poll_now after the stop", err, model.KindUnavailable, "stopped")
		wantKind(t, "reconcile after the stop", n.Reconcile(nil), model.KindUnavailable, "stopped")
		close(release)
		synctest.Wait()
		if n.driver.device("hung").closed.Load() != 1 {
			t.Error("the hung device was not closed when it returned")
		}
	})
}

func TestReconcile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		a, b := n.driver.device("a"), n.driver.device("b")
		n.want(spec(1, "a", time.Second), spec(2, "b", time.Second))
		pass(3 * time.Second)

		faster := spec(1, "a", 100*time.Millisecond)
		faster.Path = model.MustPath("/devices/renamed")
		n.want(faster, spec(2, "b", time.Second))
		before := n.polls(1)
		pass(2 * time.Second)
		if got := n.polls(1) - before; got != 20 || a.opened.Load() != 1 {
			t.Errorf("%d polls in 2 s of 100ms, opened %d times", got, a.opened.Load())
		}
		_, err := n.Call(t.Context(), id(1), "work", nil)
		wantKind(t, "call", err, model.KindInvalid, "/devices/renamed:work: parameter n (int64) is missing")

		n.want(spec(2, "b", time.Second), spec(3, "c", time.Second))
		if a.closed.Load() != 1 || b.closed.Load() != 0 || b.opened.Load() != 1 {
			t.Errorf("a closed %d times; b opened %d, closed %d times", a.closed.Load(), b.opened.Load(), b.closed.Load())
		}
		_, err = n.PollNow(t.Context(), id(1))
		wantKind(t, "poll_now of a removed device", err, model.KindNotFound, "")

		other := spec(2, "b2", time.Second)
		n.want(other, spec(3, "c", time.Second))
		if b.closed.Load() != 1 || n.driver.device("b2").opened.Load() != 1 {
			t.Error("b did not become b2")
		}

		off := spec(3, "c", time.Second)
		off.Settings[devices.SettingEnabled] = model.Bool(false)
		bad := spec(2, "b2", time.Second)
		bad.Settings["bad"] = model.Bool(true)
		n.want(bad, off)
		for number, want := range map[uint64]string{2: devices.StateMisconfigured, 3: devices.StateDisabled} {
			if n.state(number) != want {
				t.Errorf("device %d is %s, expected %s", number, n.state(number), want)
			}
			_, err = n.PollNow(t.Context(), id(number))
			wantKind(t, "poll_now", err, model.KindUnavailable, "does not run")
		}
		if why := n.records[2].Named(devices.VariableLastError).Value.Text(); why != "bad: it is" {
			t.Errorf("last_error is %q", why)
		}

		err = n.Reconcile([]devices.Spec{
			{ID: id(8), Path: model.MustPath("/devices/x"), Kind: "toaster"},
			{ID: id(3), Path: model.MustPath("/devices/c"), Kind: "fake"},
			{ID: id(3), Path: model.MustPath("/devices/d"), Kind: "fake"},
		})
		if err == nil || !strings.Contains(err.Error(), `/devices/x: no driver for devices of the kind "toaster"`) || !strings.Contains(err.Error(), "wanted twice") {
			t.Errorf("reconcile: %v", err)
		}
		if s := n.Stats(); s.Devices != 1 {
			t.Errorf("stats %+v", s)
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestNextLifeWaitsForTheLast: settings change while the device hangs, then it is removed and made again; the fake driver panics
// when two of its lives overlap, and the panic would show as the state failed.
func TestNextLifeWaitsForTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		release := make(chan struct{})
		d := n.driver.device("a")
		d.does(ignore(release))
		n.want(spec(1, "a", time.Second))
		pass(5 * time.Second)
		changed := spec(1, "a", time.Second)
		changed.Settings["bad"] = model.Bool(false)
		n.want(changed)
		n.want()
		n.want(spec(1, "a", time.Second))
		pass(5 * time.Second)
		if d.opened.Load() != 1 {
			t.Fatalf("opened %d times while it hangs", d.opened.Load())
		}
		d.does(nil)
		close(release)
		pass(5 * time.Second)
		if d.opened.Load() != 2 || d.closed.Load() != 1 || n.state(1) != devices.StateOK {
			t.Errorf("opened %d, closed %d times, state %s", d.opened.Load(), d.closed.Load(), n.state(1))
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestCallAndWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		d := n.driver.device("a")
		n.want(spec(1, "a", time.Hour))
		arguments := []model.Argument{{Name: "n", Value: model.Int64(5)}}
		if got, err := n.Call(t.Context(), id(1), "work", arguments); err != nil || got[0].Value.Int64() != 5 {
			t.Errorf("%v, %v", got, err)
		}
		for what, bad := range map[string][]model.Argument{
			"is a int64, not a bool": {{Name: "n", Value: model.Bool(true)}},
			`no parameter "m"`:       {{Name: "n", Value: model.Int64(1)}, {Name: "m", Value: model.Int64(1)}},
			"given twice":            {{Name: "n", Value: model.Int64(1)}, {Name: "n", Value: model.Int64(2)}},
		} {
			_, err := n.Call(t.Context(), id(1), "work", bad)
			wantKind(t, "call", err, model.KindInvalid, what)
		}
		_, err := n.Call(t.Context(), id(1), "fly", nil)
		wantKind(t, "call", err, model.KindNotFound, "/devices/a:fly: a fake has no such function")
		if err := n.Write(t.Context(), id(1), "target", model.Int64(9)); err != nil || n.records[1].Named("target").Value.Int64() != 9 {
			t.Errorf("write: %v, target %v", err, n.records[1].Named("target"))
		}
		wantKind(t, "write", n.Write(t.Context(), id(1), "reading", model.Int64(9)), model.KindUnsupported, "read only")
		wantKind(t, "write", n.Write(t.Context(), id(1), "target", model.Bool(true)), model.KindInvalid, "not a bool")
		wantKind(t, "write", n.Write(t.Context(), id(1), "state", model.String("ok")), model.KindUnsupported, "read only")
		wantKind(t, "write", n.Write(t.Context(), id(1), "nothing", model.Bool(true)), model.KindNotFound, "no such variable")

		d.onCall = func(ctx context.Context) error { return obey(ctx, nil) }
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		began := time.Now()
		_, err = n.Call(ctx, id(1), "work", arguments)
		cancel()
		wantKind(t, "call", err, model.KindTimeout, "/devices/a:work")
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the call took %s", took)
		}

		release := make(chan struct{})
		d.onCall = func(context.Context) error { return ignore(release)(nil, nil) }
		for i := range 17 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err = n.Call(ctx, id(1), "work", arguments)
			cancel()
			if i < 16 {
				wantKind(t, "call", err, model.KindUnknownFate, "may or may not")
			} else {
				wantKind(t, "call", err, model.KindExhausted, "16 calls")
			}
		}
		if n.Stats().Hanging != 16 {
			t.Errorf("stats %+v", n.Stats())
		}
		close(release)
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestCallWithoutLimit: whose caller sets no limit does not wait for a silent device for ever.
func TestCallWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		n.driver.device("a").onCall = func(ctx context.Context) error { return obey(ctx, nil) }
		n.want(spec(1, "a", time.Hour))
		synctest.Wait()
		began := time.Now()
		late := time.AfterFunc(time.Hour, func() { panic("the call goes on for an hour") })
		_, err := n.Call(context.WithoutCancel(t.Context()), id(1), "work", []model.Argument{{Name: "n", Value: model.Int64(5)}})
		late.Stop()
		wantKind(t, "call", err, model.KindTimeout, "/devices/a:work")
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it took %s", took)
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStopEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		n.driver.device("a").onCall = func(ctx context.Context) error { return obey(ctx, nil) }
		n.want(spec(1, "a", time.Hour))
		var caller sync.WaitGroup
		caller.Go(func() {
			_, err := n.Call(t.Context(), id(1), "work", []model.Argument{{Name: "n", Value: model.Int64(5)}})
			wantKind(t, "call", err, model.KindUnavailable, "stopped")
		})
		synctest.Wait()
		if err := n.stop(); err != nil {
			t.Error(err)
		}
		caller.Wait()
	})
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := run(t, devices.Config{})
		d := n.driver.device("a")
		var starts []time.Duration
		began := time.Now()
		d.onStream = func(ctx context.Context, p devices.Publisher) error {
			starts = append(starts, time.Since(began))
			if len(starts) < 4 {
				return errors.New("the line is busy")
			}
			time.Sleep(time.Second)
			if n.state(1) != devices.StateFailed {
				t.Errorf("state %s before the stream has published", n.state(1))
			}
			p.PublishScalars(0, model.TimeOf(time.Now()), []uint64{7, 8})
			if n.state(1) != devices.StateOK {
				t.Errorf("state %s when the stream has published", n.state(1))
			}
			return obey(ctx, p)
		}
		n.want(spec(1, "a", time.Second))
		pass(2 * time.Second)
		if n.state(1) != devices.StateFailed || n.records[1].Named(devices.VariableLastError).Value.Text() != "the line is busy" {
			t.Errorf("state %s", n.state(1))
		}
		pass(20 * time.Second)
		if got := fmt.Sprint(starts); got != "[0s 1s 3s 7s]" {
			t.Errorf("streams began at %s", got)
		}
		if u, _ := n.records[1].Last(1); u.Value.Int64() != 8 {
			t.Errorf("streamed: %+v", u)
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestCheck(t *testing.T) {
	n := run(t, devices.Config{})
	defer func() { _ = n.stop() }()
	for name, given := range map[string]devices.Settings{
		"bad":           {"bad": model.Bool(true)},
		"poll_interval": {"poll_interval": model.Duration(time.Millisecond)},
		"timeout":       {"timeout": model.Duration(time.Hour)},
		"enabled":       {"enabled": model.String("yes")},
		"colour":        {"colour": model.String("red")},
	} {
		var e *model.Error
		if err := n.Check("fake", given); !errors.As(err, &e) || e.Kind != model.KindInvalid || e.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := n.Check("fake", nil); err != nil {
		t.Error(err)
	}
	wantKind(t, "check", n.Check("toaster", nil), model.KindUnsupported, "toaster")
}
