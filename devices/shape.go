package devices

import (
	"context"
	"errors"
	"slices"

	"banyan/model"
)

// Shaper is a device whose variables and functions depend on its settings, as where a profile says what is read. Without it a device
// has what its driver's schema declares.
type Shaper interface {
	Device

	// Shape is asked once after Open, and is the same at each opening with the same settings: the context is bound to it, and
	// to be bound to another costs a commit. It has the Kind and the Settings of Driver.Schema, may have other variables
	// and functions, and is not changed any more. The indexes in Publish, Write and Call are those of the shape. A shape that
	// is not valid makes the device misconfigured.
	//
	// A device that has to be asked what it is answers nil as long as it does not know: its context keeps the schema that it has, and the device
	// publishes nothing. The poll that finds out, and one that finds that it is something else now, returns ErrReshaped.
	Shape() *model.Schema
}

// ErrReshaped is the answer of a Poll that published nothing since Shape says something else than before: the context is bound to the new shape, and the
// device is polled again at once.
var ErrReshaped = errors.New("the device turned out to consist of something else")

// ChildWriter is a device that takes values for writable variables of its children, those made by Publisher.Child. Without it nobody
// can set anything in the children of a device.
type ChildWriter interface {
	Device

	// WriteChild sets a variable of the child at these segments below the device, declared writable in its schema, to a value of its
	// type. The publisher is the device's own, for this call only: the effect is published to what its Child answers. A child or a
	// variable that the device does not know (any more) is an error of kind not-found.
	WriteChild(ctx context.Context, at []string, variable string, value model.Value, publish Publisher) error
}

// shapeOf is the completed schema of an opened device: that of its kind, or its own shape; nil where that has to be found out.
func (k kind) shapeOf(device Device) (*model.Schema, error) {
	shaper, shaped := device.(Shaper)
	if !shaped {
		return k.schema, nil
	}
	shape := shaper.Shape()
	own := k.driver.Schema()
	switch {
	case shape == nil:
		return nil, nil
	case shape.Kind != own.Kind:
		return nil, model.Errorf(model.KindInvalid, "the %s driver says that the device is a %s", own.Kind, shape.Kind)
	case !SameSettings(shape.Settings, own.Settings):
		return nil, model.Errorf(model.KindInvalid, "the %s driver declares other settings for this device than for its kind", own.Kind)
	}
	whole := Complete(shape)
	if err := whole.Validate(); err != nil {
		return nil, model.Errorf(model.KindInvalid, "what the device consists of cannot be declared: %w", err)
	}
	return whole, nil
}

// SameSettings reports whether two declarations of settings are alike in everything.
func SameSettings(a, b []model.Setting) bool {
	return slices.EqualFunc(a, b, func(x, y model.Setting) bool {
		same := x.Default.Equal(y.Default)
		x.Default, y.Default = model.Value{}, model.Value{}
		return same && x == y
	})
}

// Fits reports whether a context with the schema bound can be run as it is, or awaits a shape, where the schema of its kind is now: it has the same
// settings, and the common variables and functions where the manager looks for them. Both are as they come from their bytes.
func Fits(kind, bound *model.Schema) bool {
	return bound.Kind == kind.Kind && SameSettings(kind.Settings, bound.Settings) && hasCommon(bound)
}

// hasCommon reports whether a schema has all common variables, in order.
func hasCommon(s *model.Schema) bool {
	at := s.VariableIndex(VariableState)
	return at >= 0 && s.FunctionIndex(FunctionPollNow) >= 0 && slices.EqualFunc(s.Variables[at:], commonVariables, func(a, b model.Variable) bool {
		return a.Name == b.Name && a.Type == b.Type
	})
}

// ask polls the device, and once more where that found that it has another shape.
func (l *life) ask(ctx context.Context, publish Publisher) error {
	err := l.device.Poll(ctx, publish)
	if !errors.Is(err, ErrReshaped) {
		return err
	}
	schema, err := l.kind.shapeOf(l.device)
	if err != nil {
		return err
	}
	if schema == nil {
		return model.Errorf(model.KindInternal, "the %s driver has a new shape and does not say which", l.kind.name)
	}
	if err := l.bind(ctx, schema); err != nil {
		return err
	}
	if err := l.device.Poll(ctx, publish); !errors.Is(err, ErrReshaped) {
		return err
	}
	return model.Errorf(model.KindInternal, "the device turns out to be something else at each look")
}
