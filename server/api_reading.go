package server

import (
	"encoding/json"
	"math"

	"banyan/model"
	"banyan/proto/apiv1"

	"google.golang.org/protobuf/types/known/structpb"
)

// toReading is a reading as the API tells it: the same fields with the same words as its JSON form.
func toReading(r model.Reading) *apiv1.Reading {
	out := &apiv1.Reading{
		Path: r.Path.String(), Name: r.Name, Type: r.Sample.Value.Type().String(), Value: toValue(r.Sample.Value), Unit: r.Unit,
		Quality: r.Sample.Quality.Level.String(), Reason: r.Sample.Quality.Reason.String(), Since: r.Since.String(),
		Time: r.Sample.Source.String(), Published: r.Sample.Owner.String(), Received: r.Received.String(), Via: r.Via,
	}
	if r.Setting {
		out.Revision = r.Revision.String()
	}
	return out
}

// toValue is a value in its one JSON form, as protobuf carries JSON.
func toValue(v model.Value) *structpb.Value {
	switch v.Type() {
	case model.TypeNone:
		return structpb.NewNullValue()
	case model.TypeBool:
		return structpb.NewBoolValue(v.Bool())
	case model.TypeFloat64:
		if f := v.Float64(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return structpb.NewNumberValue(f)
		}
	case model.TypeString:
		return structpb.NewStringValue(v.Text())
	}
	return jsonValue(v.JSON())
}

func jsonValue(raw []byte) *structpb.Value {
	var decoded any
	if json.Unmarshal(raw, &decoded) != nil {
		return structpb.NewNullValue() // the model writes JSON
	}
	value, err := structpb.NewValue(decoded)
	if err != nil {
		return structpb.NewNullValue()
	}
	return value
}

// fromValue reads a value of a type from JSON as protobuf carries it, or as a person types it. Neither, or null, is no value.
func fromValue(t model.Type, value *structpb.Value, typed string, isTyped bool) (model.Value, error) {
	switch {
	case isTyped && value != nil:
		return model.Value{}, model.Errorf(model.KindInvalid, "a value is given as a value or as text, not as both")
	case isTyped:
		return model.ParseText(t, typed)
	case value == nil:
		return model.Value{}, nil
	}
	if _, null := value.GetKind().(*structpb.Value_NullValue); null || value.GetKind() == nil {
		return model.Value{}, nil
	}
	if n, number := value.GetKind().(*structpb.Value_NumberValue); number && t == model.TypeInt64 && math.Abs(n.NumberValue) >= 1<<53 {
		return model.Value{}, &model.Error{
			Kind: model.KindInvalid, Detail: "a JSON number of this size may have lost digits on its way", Remedy: "write the int64 as a string",
		}
	}
	raw, err := json.Marshal(value.AsInterface())
	if err != nil {
		return model.Value{}, model.Errorf(model.KindInvalid, "the value is not JSON: %w", err)
	}
	return model.DecodeJSON(t, raw)
}
