package devices_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
)

// shaped is a driver whose devices have the variables that the setting "variables" lists.
type shaped struct{ spoil func(*model.Schema) }

var shapedSchema = &model.Schema{
	Kind: "shaped", Description: "For tests.",
	Settings:  []model.Setting{{Name: "variables", Type: model.TypeString, Default: model.String("a,b"), Right: model.RightConfigure}},
	Variables: []model.Variable{{Name: "unshaped", Type: model.TypeBool}},
}

func (shaped) Kind() string          { return "shaped" }
func (shaped) Schema() *model.Schema { return shapedSchema }

func (d shaped) Open(s devices.Settings) (devices.Device, error) {
	shape := *shapedSchema
	shape.Variables = nil
	for name := range strings.SplitSeq(s["variables"].Text(), ",") {
		shape.Variables = append(shape.Variables, model.Variable{Name: name, Type: model.TypeInt64, Writable: true, Right: model.RightOperate})
	}
	shape.Functions = []model.Function{{Name: "count", Right: model.RightOperate, Results: []model.Field{{Name: "n", Type: model.TypeInt64}}}}
	if d.spoil != nil {
		d.spoil(&shape)
	}
	return &shapedDevice{shape: &shape, written: map[string]model.Value{}}, nil
}

type shapedDevice struct {
	fakeDevice
	shape   *model.Schema
	written map[string]model.Value
}

func (d *shapedDevice) Shape() *model.Schema { return d.shape }

func (d *shapedDevice) Poll(_ context.Context, p devices.Publisher) error {
	for i := range d.shape.Variables {
		p.Publish([]devices.Update{{Variable: i, Value: model.Int64(int64(i)), Source: model.TimeOf(time.Now())}})
	}
	child, err := p.Child("x", "X", childSchema)
	if err == nil {
		child.Publish([]devices.Update{{Variable: 0, Value: model.Int64(0), Source: model.TimeOf(time.Now())}})
	}
	return err
}

var childSchema = &model.Schema{Kind: "shaped.child", Variables: []model.Variable{{Name: "target", Type: model.TypeInt64, Writable: true, Right: model.RightOperate}}}

func (d *shapedDevice) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return []model.Argument{{Name: "n", Value: model.Int64(int64(len(d.shape.Variables)))}}, nil
}

func (d *shapedDevice) WriteChild(_ context.Context, at []string, variable string, value model.Value, p devices.Publisher) error {
	if len(at) != 1 || at[0] != "x" {
		return model.Errorf(model.KindNotFound, "there is no child %s", strings.Join(at, "/"))
	}
	child, err := p.Child("x", "X", childSchema)
	if err == nil {
		child.Publish([]devices.Update{{Variable: childSchema.VariableIndex(variable), Value: value, Source: model.TimeOf(time.Now())}})
	}
	return err
}

func (d *shapedDevice) Close() error { return nil }

// bound is a recorder whose binding can fail, and that counts.
type bound struct {
	*devicetest.Recorder
	rebound atomic.Int32
	failure atomic.Pointer[error]
}

func (b *bound) Rebind(ctx context.Context, schema *model.Schema) error {
	if err := b.failure.Load(); err != nil {
		return *err
	}
	b.rebound.Add(1)
	return b.Recorder.Rebind(ctx, schema)
}

// runShaped runs a driver's devices, all of which publish to one recorder.
func runShaped(t *testing.T, driver devices.Driver) (*devices.Manager, *bound, func(variables string)) {
	t.Helper()
	record := &bound{Recorder: devicetest.NewRecorder(devices.Complete(shapedSchema))}
	m, err := devices.New(devices.Config{Drivers: []devices.Driver{driver}, Sink: func(model.ContextID) devices.Sink { return record }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return m, record, func(variables string) {
		s := devices.Spec{ID: id(1), Path: model.MustPath("/devices/s"), Kind: "shaped", Settings: devices.Settings{"variables": model.String(variables)}}
		if err := m.Reconcile([]devices.Spec{s}); err != nil {
			t.Fatal(err)
		}
		pass(30 * time.Second)
	}
}

func TestShapeIsWhatTheDeviceConsistsOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, record, want := runShaped(t, shaped{})
		want("a,b")
		state := func() string { return record.Named(devices.VariableState).Value.Text() }
		schema := record.Schema()
		if schema.VariableIndex("b") != 1 || schema.VariableIndex(devices.VariableState) != 2 || schema.VariableIndex("unshaped") >= 0 || schema.FunctionIndex(devices.FunctionPollNow) != 1 {
			t.Fatalf("bound to %+v", schema)
		}
		if state() != devices.StateOK || record.Named("b").Value.Int64() != 1 {
			t.Errorf("%v", record.All())
		}
		results, err := m.Call(t.Context(), id(1), "count", nil)
		if err != nil || devices.Argument(results, "n").Int64() != 2 {
			t.Errorf("count: %v, %v", results, err)
		}
		wantKind(t, "write to what it has no more", m.Write(t.Context(), id(1), "unshaped", model.Bool(true)), model.KindNotFound, "no such variable")
		before := record.Named(devices.VariablePolls).Value.Int64()

		want("b,c,d")
		if schema = record.Schema(); schema.VariableIndex("b") != 0 || schema.VariableIndex("a") >= 0 || schema.VariableIndex(devices.VariableState) != 3 {
			t.Fatalf("bound to %+v", schema)
		}
		if state() != devices.StateOK || record.Named("d").Value.Int64() != 2 || record.Named(devices.VariablePolls).Value.Int64() > before {
			t.Errorf("%v", record.All())
		}
		if err := m.Write(t.Context(), id(1), "d", model.Int64(1)); err != nil {
			t.Error(err)
		}
		if err := m.WriteChild(t.Context(), id(1), []string{"x"}, "target", model.Int64(7)); err != nil || record.At("x").Named("target").Value.Int64() != 7 {
			t.Errorf("a value for a child: %v, %v", err, record.All())
		}
		wantKind(t, "no such child", m.WriteChild(t.Context(), id(1), []string{"y"}, "target", model.Int64(7)), model.KindNotFound, "/devices/s:target: there is no child y")
		for _, c := range record.Complaints() {
			t.Error(c)
		}
	})
}

// TestRenewOpensAnew: the settings are the same, what they lead to is another.
func TestRenewOpensAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var extra atomic.Bool
		m, record, want := runShaped(t, shaped{spoil: func(s *model.Schema) {
			if extra.Load() {
				s.Variables = append(s.Variables, model.Variable{Name: "extra", Type: model.TypeInt64})
			}
		}})
		want("a")
		extra.Store(true)
		m.Renew(func(kind string, settings devices.Settings) bool {
			return kind == "shaped" && settings["variables"].Text() == "b"
		})
		pass(30 * time.Second)
		if record.Schema().VariableIndex("extra") >= 0 {
			t.Error("a device that was not meant was started anew")
		}
		m.Renew(func(string, devices.Settings) bool { return true })
		pass(30 * time.Second)
		if record.Schema().VariableIndex("extra") != 1 || record.Named("extra").Value.Int64() != 1 {
			t.Errorf("%v", record.All())
		}
	})
}

func TestShapesThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*model.Schema)
		text  string
	}{
		"kind":     {func(s *model.Schema) { s.Kind = "other" }, "says that the device is a other"},
		"settings": {func(s *model.Schema) { s.Settings = nil }, "declares other settings"},
		"default": {func(s *model.Schema) {
			s.Settings = append(s.Settings[:0:0], s.Settings...)
			s.Settings[0].Default = model.String("x")
		}, "declares other settings"},
		"taken name":    {func(s *model.Schema) { s.Variables[0].Name = "state" }, "two entries are called state"},
		"no good name":  {func(s *model.Schema) { s.Variables[0].Name = "a b" }, "cannot be declared"},
		"taken setting": {func(s *model.Schema) { s.Variables[0].Name = "parent" }, "two entries are called parent"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, record, want := runShaped(t, shaped{spoil: c.spoil})
				want("a,b")
				text := record.Named(devices.VariableLastError).Value.Text()
				if record.Named(devices.VariableState).Value.Text() != devices.StateMisconfigured || !strings.Contains(text, c.text) || record.rebound.Load() != 0 {
					t.Errorf("%v, expected %q", record.All(), c.text)
				}
				wantKind(t, "check", m.Check("shaped", nil), model.KindInvalid, c.text)
				wantKind(t, "call", errOf(m.Call(t.Context(), id(1), devices.FunctionPollNow, nil)), model.KindUnavailable, c.text)
			})
		})
	}
}

func errOf[T any](_ T, err error) error { return err }

// TestShapeThatCannotBeKeptNow: with a full disk the device waits, says why, and runs by itself when there is room.
func TestShapeThatCannotBeKeptNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, record, want := runShaped(t, shaped{})
		full := error(model.Errorf(model.KindExhausted, "the disk is full"))
		record.failure.Store(&full)
		want("a,b")
		if s := record.Named(devices.VariableState).Value.Text(); s != devices.StateFailed || record.Named(devices.VariableLastError).Value.Text() != "the disk is full" {
			t.Errorf("%v", record.All())
		}
		record.failure.Store(nil)
		pass(2 * time.Minute)
		if s := record.Named(devices.VariableState).Value.Text(); s != devices.StateOK || record.rebound.Load() != 1 {
			t.Errorf("with room again: %v", record.All())
		}
		never := error(model.Errorf(model.KindInvalid, "too large"))
		record.failure.Store(&never)
		want("b,c")
		if s := record.Named(devices.VariableState).Value.Text(); s != devices.StateMisconfigured {
			t.Errorf("what can never be kept leaves the device %s", s)
		}
	})
}

// learner is a device that finds out in a poll what it consists of, and after some polls that it is something else.
type learner struct {
	shapedDevice
	polls  int
	shapes []*model.Schema
	always bool
}

func (l *learner) Shape() *model.Schema {
	if len(l.shapes) == 0 || l.polls == 0 {
		return nil
	}
	return l.shapes[0]
}

func (l *learner) Poll(_ context.Context, p devices.Publisher) error {
	l.polls++
	if l.polls == 8 {
		l.shapes = l.shapes[1:]
	}
	if l.polls == 1 || l.polls == 8 || l.always {
		return devices.ErrReshaped
	}
	p.Publish([]devices.Update{{Variable: 0, Value: model.Int64(int64(l.polls)), Source: model.TimeOf(time.Now())}})
	return nil
}

type learning struct {
	shaped
	always bool
}

func (d learning) Open(devices.Settings) (devices.Device, error) {
	first, second := *shapedSchema, *shapedSchema
	first.Variables = []model.Variable{{Name: "one", Type: model.TypeInt64}}
	second.Variables = []model.Variable{{Name: "two", Type: model.TypeInt64}, {Name: "more", Type: model.TypeInt64}}
	return &learner{shapes: []*model.Schema{&first, &second}, always: d.always}, nil
}

// TestShapeIsFoundOut: until it is known the context stays as it is, and then it is bound and polled again at once, each time.
func TestShapeIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, record, want := runShaped(t, learning{})
		if err := m.Check("shaped", nil); err != nil {
			t.Fatal(err)
		}
		want("a") // some four polls
		if record.Schema().VariableIndex("one") != 0 || record.rebound.Load() != 1 || record.Named("one").Value.Int64() < 2 {
			t.Fatalf("bound %d times, to %+v: %v", record.rebound.Load(), record.Schema(), record.All())
		}
		pass(90 * time.Second)
		if record.Schema().VariableIndex("two") != 0 || record.rebound.Load() != 2 || record.Named("two").Value.Int64() < 9 || record.Named(devices.VariableState).Value.Text() != devices.StateOK {
			t.Errorf("bound %d times, to %+v: %v", record.rebound.Load(), record.Schema(), record.All())
		}
		for _, c := range record.Complaints() {
			t.Error(c)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		_, record, want := runShaped(t, learning{always: true})
		want("a")
		if s := record.Named(devices.VariableState).Value.Text(); s != devices.StateFailed {
			t.Errorf("a device that is never content with its shape is %s", s)
		}
	})
}
