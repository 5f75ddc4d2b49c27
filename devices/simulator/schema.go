package simulator

import (
	"time"

	"banyan/devices"
	"banyan/model"
)

// The driver's variables, by their index in the schema.
const (
	variableBool = iota
	variableInt64
	variableFloat64
	variableString
	variableBytes
	variableTime
	variableDuration
	variableRef
	variableTable
	variableSetpoint
	variableUpdates
)

// The driver's functions, by their index in the schema.
const (
	functionReset = iota
	functionEcho
	functionSleep
)

var schema = &model.Schema{
	Kind:        Kind,
	Description: "A device that exists in memory only, for tests, demonstrations and benchmarks.",
	Settings: []model.Setting{
		configure("points", model.Int64(0), "", "How many points there are, 0 to 1000000; they are the variables of child contexts."),
		configure("group_size", model.Int64(maxGroup), "", "How many points one child context has, 1 to 1000."),
		configure("mode", model.String(modeCounter), "", "How points move: counter adds step with each update, sine and random stay within step."),
		configure("step", model.Float64(1), "", "What a counter adds; the amplitude of a sine; the upper bound of a random value."),
		configure("period", model.Duration(time.Minute), "", "How long one turn of a sine takes, 1ms or more."),
		configure("seed", model.Int64(1), "", "The same seed makes the same random values and failures."),
		configure("rate", model.Int64(0), "1/s", "Updates a second that are streamed, over all points together; 0 is none (points move with each poll), -1 is as fast as possible."),
		configure("hang", model.Bool(false), "", "Polls, calls and writes take until they are cancelled."),
		configure("fail_ratio", model.Float64(0), "", "The share of polls that fail, 0 to 1."),
	},
	Variables: []model.Variable{
		variableBool:     {Name: "all_bool", Type: model.TypeBool, Description: "True."},
		variableInt64:    {Name: "all_int64", Type: model.TypeInt64, Description: "A number that a JSON number cannot hold."},
		variableFloat64:  {Name: "all_float64", Type: model.TypeFloat64, Description: "A number with decimals."},
		variableString:   {Name: "all_string", Type: model.TypeString, Description: "Text with characters of several scripts."},
		variableBytes:    {Name: "all_bytes", Type: model.TypeBytes, Description: "Bytes that are not text."},
		variableTime:     {Name: "all_time", Type: model.TypeTime, Description: "An instant with nanoseconds."},
		variableDuration: {Name: "all_duration", Type: model.TypeDuration, Description: "A duration."},
		variableRef:      {Name: "all_ref", Type: model.TypeRef, Description: "A reference to the node's devices."},
		variableTable:    {Name: "all_table", Type: model.TypeTable, Description: "A table with a column of every type and a row without values."},
		variableSetpoint: {Name: "setpoint", Type: model.TypeFloat64, Writable: true, Right: model.RightOperate, Description: "What was written to it last."},
		variableUpdates:  {Name: "updates", Type: model.TypeInt64, Description: "How many updates of points were published since the device was started."},
	},
	Functions: []model.Function{
		functionReset: {Name: "reset", Right: model.RightOperate, Idempotent: true, Description: "Sets all points back to zero."},
		functionEcho: {Name: "echo", Right: model.RightOperate, Idempotent: true, Description: "Answers what it is given.",
			Parameters: everyType(), Results: everyType()},
		functionSleep: {Name: "sleep", Right: model.RightOperate, Idempotent: true, Description: "Answers after a while.",
			Parameters: []model.Field{{Name: "duration", Type: model.TypeDuration, Description: "How long."}}},
	},
}

func configure(name string, standard model.Value, unit, description string) model.Setting {
	return model.Setting{Name: name, Type: standard.Type(), Unit: unit, Description: description, Default: standard, Right: model.RightConfigure}
}

// everyType is an optional field of each type, called as the type is.
func everyType() []model.Field {
	var fields []model.Field
	for t := model.TypeBool; t <= model.TypeTable; t++ {
		fields = append(fields, model.Field{Name: t.String(), Type: t, Optional: true, Description: "Any value."})
	}
	return fields
}

// The instant that all_time shows: with nanoseconds, none of which may be lost on the way.
const someInstant = model.Time(1_767_323_045_678_901_234)

var everyCell = []model.Value{
	model.Bool(true), model.Int64(1<<53 + 1), model.Float64(-0.1), model.String("Gr\u00fc\u00dfe, \u4e16\u754c \U0001F333"),
	model.Bytes([]byte{0, 1, 254, 255}), model.Instant(someInstant), model.Duration(90*time.Second + time.Nanosecond),
	model.Ref(model.Address{Path: model.MustPath("/devices")}),
}

var someTable = func() *model.Table {
	t := &model.Table{Rows: [][]model.Value{everyCell, make([]model.Value, len(everyCell))}}
	for _, v := range everyCell {
		t.Columns = append(t.Columns, model.Column{Name: v.Type().String(), Type: v.Type()})
	}
	return t
}()

// own is the batch of the device's own variables. The caller holds mu.
func (d *device) own(now model.Time) []devices.Update {
	values := [...]model.Value{
		variableTable:    model.TableValue(someTable),
		variableSetpoint: model.Float64(d.setpoint),
		variableUpdates:  model.Int64(d.points.done()),
	}
	copy(values[:], everyCell)
	batch := make([]devices.Update, len(values))
	for i, v := range values {
		batch[i] = devices.Update{Variable: i, Value: v, Source: now}
	}
	return batch
}
