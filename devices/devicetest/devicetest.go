// Package devicetest is the suite that every driver passes, and a recorder to publish to in tests.
//
// It owns what a driver's folder has to hold and how a device has to behave by itself. It does not test what a driver reads: that is what
// the driver's own tests and its cases under testdata are for.
package devicetest

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v4"

	"banyan/devices"
	"banyan/model"
)

// slack is how long a device may take for what it has to do at once, on a busy machine.
const slack = 5 * time.Second

// Run tests a driver in its own folder:
//
//	README.md    names every setting, variable and function that the driver declares
//	sample.yaml  "kind" and settings, as they stand in a topology file; names every setting of the driver; a device opens with it
//	testdata/X/settings.yaml with one of
//	  published.txt   lines "NAME JSON", "CHILD/CHILD:NAME JSON", with * for any value: what one poll publishes, among other things
//	  refused.txt     the setting's name in the first line, then a piece of the message: Check refuses
//
// Settings that are instead of those of sample.yaml and of the cases that publish are for what differs from one run of the test to the
// next, such as the address where the test has put up a peer. They do not take part in what sample.yaml and the cases have to show.
func Run(t *testing.T, driver devices.Driver, instead ...devices.Settings) {
	t.Helper()
	before := goleak.IgnoreCurrent() // of a peer that the test has put up
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	s := &suite{driver: driver, own: driver.Schema(), schema: devices.Complete(driver.Schema()), instead: instead}
	t.Run("schema", s.declares)
	t.Run("readme", s.isDescribed)
	sample := s.read(t, "sample.yaml")
	t.Run("sample", func(t *testing.T) { s.sampleIsComplete(t, sample) })
	t.Run("poll", func(t *testing.T) { s.polls(t, sample) })
	t.Run("cancel", func(t *testing.T) { s.endsWithContext(t, sample) })
	t.Run("shape", func(t *testing.T) { s.keepsItsShape(t, sample) })
	t.Run("children", func(t *testing.T) { s.childrenAreGuarded(t, sample) })
	t.Run("close", func(t *testing.T) { s.closes(t, sample) })
	t.Run("manager", func(t *testing.T) { s.runsManaged(t, sample) })
	cases, err := filepath.Glob("testdata/*/settings.yaml")
	if err != nil || len(cases) == 0 {
		t.Errorf("there are no cases in testdata: %v", err)
	}
	for _, file := range cases {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) { s.passes(t, filepath.Dir(file), s.read(t, file)) })
	}
}

type suite struct {
	driver      devices.Driver
	own, schema *model.Schema
	instead     []devices.Settings
}

func (s *suite) declares(t *testing.T) {
	if err := s.schema.Validate(); err != nil {
		t.Fatal(err)
	}
	if s.own.Kind != s.driver.Kind() || s.own.Description == "" {
		t.Errorf("the schema is of the kind %q, described as %q; the driver is %q", s.own.Kind, s.own.Description, s.driver.Kind())
	}
	described := func(sort, name, text string) {
		if text == "" || !strings.HasSuffix(text, ".") {
			t.Errorf("%s %s: the description %q is no sentence", sort, name, text)
		}
	}
	for _, e := range s.own.Settings {
		described("setting", e.Name, e.Description)
		if e.Right == model.RightNone || e.Right == model.RightView {
			t.Errorf("setting %s can be set by who has the right %s", e.Name, e.Right)
		}
	}
	for _, e := range s.own.Variables {
		described("variable", e.Name, e.Description)
	}
	for _, e := range s.own.Functions {
		described("function", e.Name, e.Description)
	}
	guarded(t, s.own)
}

// guarded checks that nobody acts on a device, or on what it has found, who may only look at it.
func guarded(t *testing.T, schema *model.Schema) {
	t.Helper()
	for _, e := range schema.Variables {
		if e.Writable && e.Right <= model.RightView {
			t.Errorf("%s: variable %s can be set by who has the right %s", schema.Kind, e.Name, e.Right)
		}
	}
	for _, e := range schema.Functions {
		if e.Right <= model.RightView {
			t.Errorf("%s: function %s can be called by who has the right %s", schema.Kind, e.Name, e.Right)
		}
	}
}

func (s *suite) isDescribed(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range s.own.Settings {
		names = append(names, e.Name)
	}
	for _, e := range s.own.Variables {
		names = append(names, e.Name)
	}
	for _, e := range s.own.Functions {
		names = append(names, e.Name)
	}
	for _, name := range names {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("README.md does not name `%s`", name)
		}
	}
}

// read reads settings from YAML as a topology file has them: kind, and each setting by name.
func (s *suite) read(t *testing.T, file string) devices.Settings {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var nodes map[string]yaml.Node
	if err := yaml.Unmarshal(raw, &nodes); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if kind := nodes["kind"]; kind.Value != s.driver.Kind() {
		t.Fatalf("%s: kind is %q", file, kind.Value)
	}
	delete(nodes, "kind")
	settings := devices.Settings{}
	for name, node := range nodes {
		i := s.schema.SettingIndex(name)
		if i < 0 {
			t.Fatalf("%s: there is no setting %s", file, name)
		}
		if settings[name], err = model.ParseText(s.schema.Settings[i].Type, node.Value); err != nil {
			t.Fatalf("%s: %s: %v", file, name, err)
		}
	}
	return settings
}

// there are settings with those that the test gives instead.
func (s *suite) there(given devices.Settings) devices.Settings {
	given = maps.Clone(given)
	for _, instead := range s.instead {
		maps.Copy(given, instead)
	}
	return given
}

func (s *suite) open(t *testing.T, given devices.Settings) devices.Device {
	t.Helper()
	resolved, err := devices.Resolve(s.schema, s.there(given))
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.driver.Open(resolved)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

func (s *suite) sampleIsComplete(t *testing.T, sample devices.Settings) {
	for _, e := range s.own.Settings {
		if _, there := sample[e.Name]; !there {
			t.Errorf("sample.yaml does not show the setting %s", e.Name)
		}
	}
	s.open(t, sample)
}

// polls polls three times: what is published is declared, fresh, complete, and each time the same variables.
func (s *suite) polls(t *testing.T, sample devices.Settings) {
	d := s.open(t, sample)
	shape := s.shapeOf(d)
	record := NewRecorder(shape)
	var before map[string]devices.Update
	for range 3 {
		began := model.TimeOf(time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), slack)
		err := d.Poll(ctx, record)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		after := model.TimeOf(time.Now())
		all := record.All()
		for name, u := range all {
			if u.Source < began || u.Source > after {
				t.Errorf("%s has the source time %s: the poll went from %s to %s, or did not publish it", name, u.Source, began, after)
			}
		}
		for name := range before {
			if _, there := all[name]; !there {
				t.Errorf("%s was published by the first poll only", name)
			}
		}
		before = all
	}
	for i, v := range shape.Variables {
		if _, there := record.Last(i); !there {
			t.Errorf("%s is not published", v.Name)
		}
	}
	for _, c := range record.Complaints() {
		t.Error(c)
	}
}

// endsWithContext polls and calls with a context that has ended.
func (s *suite) endsWithContext(t *testing.T, sample devices.Settings) {
	d := s.open(t, sample)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	within := func(what string, work func()) {
		began := time.Now()
		work()
		if took := time.Since(began); took > slack {
			t.Errorf("%s took %s although its context had ended", what, took)
		}
	}
	shape := s.shapeOf(d)
	record := NewRecorder(shape)
	within("poll", func() { _ = d.Poll(ctx, record) })
	for i, f := range shape.Functions {
		var arguments []model.Argument
		for _, p := range f.Parameters {
			if !p.Optional {
				arguments = append(arguments, model.Argument{Name: p.Name, Value: someValue(p.Type)})
			}
		}
		within(f.Name, func() { _, _ = d.Call(ctx, i, arguments, record) })
	}
	for i, v := range shape.Variables {
		if v.Writable {
			within(v.Name, func() { _ = d.Write(ctx, i, someValue(v.Type), record) })
		}
	}
	if stream, ok := d.(devices.Streamer); ok {
		within("stream", func() { _ = stream.Stream(ctx, record) })
	}
}

// someValue is a value that is long where length is time.
func someValue(t model.Type) model.Value {
	switch t {
	case model.TypeDuration:
		return model.Duration(time.Hour)
	case model.TypeTable:
		return model.TableValue(&model.Table{})
	case model.TypeString:
		return model.String("some")
	case model.TypeBytes:
		return model.Bytes([]byte("some"))
	case model.TypeRef:
		return model.Ref(model.Address{})
	}
	return model.Scalar(t, 1)
}

func (s *suite) closes(t *testing.T, sample devices.Settings) {
	for _, polled := range []bool{false, true} {
		d := s.open(t, sample)
		if polled {
			if err := d.Poll(t.Context(), NewRecorder(s.shapeOf(d))); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(d.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	}
}

func (s *suite) manager(t *testing.T, record *Recorder) *devices.Manager {
	t.Helper()
	m, err := devices.New(devices.Config{Drivers: []devices.Driver{s.driver}, Sink: func(model.ContextID) devices.Sink { return record }})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// runsManaged runs the device as a node does.
func (s *suite) runsManaged(t *testing.T, sample devices.Settings) {
	record := NewRecorder(s.schema)
	m := s.manager(t, record)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()
	id := model.ContextID{Number: 1}
	if err := m.Reconcile([]devices.Spec{{ID: id, Path: model.MustPath("/devices/test"), Kind: s.driver.Kind(), Settings: s.there(sample)}}); err != nil {
		t.Fatal(err)
	}
	began := model.TimeOf(time.Now())
	callCtx, stop := context.WithTimeout(ctx, slack)
	defer stop()
	poll, err := m.PollNow(callCtx, id)
	if err != nil {
		t.Fatal(err)
	}
	if poll.Began < began || record.Named(devices.VariableState).Value.Text() != devices.StateOK {
		t.Errorf("poll_now at %s: %+v, state %s", began, poll, record.Named(devices.VariableState).Value)
	}
	for _, c := range record.Complaints() {
		t.Error(c)
	}
}

// passes tries one case of testdata.
func (s *suite) passes(t *testing.T, folder string, given devices.Settings) {
	if refused, err := os.ReadFile(filepath.Join(folder, "refused.txt")); err == nil {
		name, text, _ := strings.Cut(strings.TrimSpace(string(refused)), "\n")
		err = s.manager(t, nil).Check(s.driver.Kind(), given)
		var e *model.Error
		if !errors.As(err, &e) || e.Kind != model.KindInvalid || e.Name != name || !strings.Contains(e.Error(), text) {
			t.Errorf("got %v, expected that %s is refused with %q", err, name, text)
		}
		return
	}
	published, err := os.ReadFile(filepath.Join(folder, "published.txt"))
	if err != nil {
		t.Fatal("neither published.txt nor refused.txt")
	}
	d := s.open(t, given)
	record := NewRecorder(s.shapeOf(d))
	if err := d.Poll(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	all := record.All()
	for line := range strings.Lines(string(published)) {
		name, want, _ := strings.Cut(strings.TrimSpace(line), " ")
		u, there := all[name]
		if got := string(u.Value.JSON()); !there || want != "*" && got != want {
			t.Errorf("%s is %s (published: %v), expected %s", name, got, there, want)
		}
	}
	if t.Failed() {
		t.Logf("published were %s", strings.Join(slices.Sorted(maps.Keys(all)), " "))
	}
}
