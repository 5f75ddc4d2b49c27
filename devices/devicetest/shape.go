package devicetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"banyan/devices"
	"banyan/model"
)

// shapeOf is what the device consists of, without the common entries.
func (s *suite) shapeOf(d devices.Device) *model.Schema {
	if shaper, shaped := d.(devices.Shaper); shaped {
		return shaper.Shape()
	}
	return s.own
}

// keepsItsShape opens a device twice: its shape is valid, that of its kind, and the same both times, since another one is another commit.
func (s *suite) keepsItsShape(t *testing.T, sample devices.Settings) {
	first, shaped := s.open(t, sample).(devices.Shaper)
	if !shaped {
		return
	}
	shape := first.Shape()
	if shape == nil || shape.Kind != s.own.Kind || !devices.SameSettings(shape.Settings, s.own.Settings) {
		t.Fatalf("the shape is not of the kind %s, or has other settings: %+v", s.own.Kind, shape)
	}
	if err := devices.Complete(shape).Validate(); err != nil {
		t.Error(err)
	}
	guarded(t, shape)
	second, _ := s.open(t, sample).(devices.Shaper)
	if again := second.Shape(); !reflect.DeepEqual(shape, again) {
		t.Errorf("opened again the device has another shape: %+v, first it was %+v", again, shape)
	}
}

// childrenAreGuarded polls once and looks at what was found: who can set something in it, and whether the device takes that.
func (s *suite) childrenAreGuarded(t *testing.T, sample devices.Settings) {
	d := s.open(t, sample)
	record := NewRecorder(s.shapeOf(d))
	ctx, cancel := context.WithTimeout(t.Context(), slack)
	defer cancel()
	if err := d.Poll(ctx, record); err != nil {
		t.Fatal(err)
	}
	writer, writes := d.(devices.ChildWriter)
	ended, end := context.WithCancel(t.Context())
	end()
	record.each(nil, func(at []string, schema *model.Schema) {
		guarded(t, schema)
		if len(schema.Settings) > 0 {
			t.Errorf("child %v has settings, which nobody acts by", at)
		}
		for _, v := range schema.Variables {
			if !v.Writable {
				continue
			}
			if !writes {
				t.Errorf("%s of child %v is writable, and the device is no ChildWriter", v.Name, at)
				continue
			}
			began := time.Now()
			_ = writer.WriteChild(ended, at, v.Name, someValue(v.Type), record)
			if took := time.Since(began); took > slack {
				t.Errorf("setting %s of child %v took %s although its context had ended", v.Name, at, took)
			}
		}
	})
	if writes {
		err := writer.WriteChild(ctx, []string{"there-is-no-such-child"}, "x", model.Bool(true), record)
		if model.KindOf(err) != model.KindNotFound {
			t.Errorf("a value for a child that is not there: got %v, expected an error of kind not-found", err)
		}
	}
}

// each calls visit for all children, theirs included.
func (r *Recorder) each(above []string, visit func(at []string, schema *model.Schema)) {
	for _, segment := range r.Children() {
		child, at := r.At(segment), append(above[:len(above):len(above)], segment)
		visit(at, child.schema)
		child.each(at, visit)
	}
}
