// Package countdown is a driver as small as one can be, for docs/devices.md: it tells how long it is until an instant. It owns no promise of the
// product and is in no program.
package countdown

import (
	"context"
	"time"

	"banyan/devices"
	"banyan/model"
)

// Driver counts down.
type Driver struct{}

var schema = &model.Schema{
	Kind: "countdown", Description: "How long it is until an instant.",
	Settings: []model.Setting{
		{Name: "until", Type: model.TypeTime, Right: model.RightConfigure, Description: "The instant."},
	},
	Variables: []model.Variable{
		variableLeft: {Name: "left", Type: model.TypeDuration, Description: "How long it is until then; 0 afterwards."},
		variableOver: {Name: "over", Type: model.TypeBool, Description: "Whether it has passed."},
	},
}

// The variables by their index in the schema.
const (
	variableLeft = iota
	variableOver
)

// Kind is the word that contexts carry.
func (Driver) Kind() string { return schema.Kind }

// Schema is what all devices of this kind consist of.
func (Driver) Schema() *model.Schema { return schema }

// Open checks settings, and reaches for nothing.
func (Driver) Open(settings devices.Settings) (devices.Device, error) {
	until := settings["until"]
	if until.IsNone() {
		return nil, devices.BadSetting("until", "it is missing")
	}
	return &device{until: until.Time().Std()}, nil
}

type device struct{ until time.Time }

// Poll publishes everything that it reads, each time.
func (d *device) Poll(_ context.Context, publish devices.Publisher) error {
	now := time.Now()
	left := max(d.until.Sub(now), 0)
	publish.Publish([]devices.Update{
		{Variable: variableLeft, Value: model.Duration(left), Source: model.TimeOf(now)},
		{Variable: variableOver, Value: model.Bool(left == 0), Source: model.TimeOf(now)},
	})
	return nil
}

// Call is never called: no function is declared.
func (*device) Call(context.Context, int, []model.Argument, devices.Publisher) ([]model.Argument, error) {
	return nil, model.Errorf(model.KindUnsupported, "a countdown has no functions")
}

// Write is never called: no variable is declared writable.
func (*device) Write(context.Context, int, model.Value, devices.Publisher) error {
	return model.Errorf(model.KindUnsupported, "a countdown has nothing that can be set")
}

// Close has nothing to give back.
func (*device) Close() error { return nil }
