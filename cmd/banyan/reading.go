package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// valueJSON is a value in the one JSON form of its type. A type that this version does not know passes as it came.
func valueJSON(typ string, v *structpb.Value) json.RawMessage {
	if v == nil {
		return json.RawMessage("null")
	}
	raw, err := protojson.Marshal(v)
	if err != nil {
		return json.RawMessage("null") // NaN as a number, which is no JSON form of anything
	}
	if known, err := model.ParseType(typ); err == nil {
		if value, err := model.DecodeJSON(known, raw); err == nil {
			return value.JSON()
		}
	}
	var compact bytes.Buffer
	_ = json.Compact(&compact, raw) // protojson writes JSON
	return compact.Bytes()
}

// valueText is a value as people read it.
func valueText(typ string, v *structpb.Value) string {
	raw := valueJSON(typ, v)
	if known, err := model.ParseType(typ); err == nil {
		if value, err := model.DecodeJSON(known, raw); err == nil {
			return value.String()
		}
	}
	return string(raw)
}

// reading prints as model.Reading does: the same keys in the same order, none that is empty.
type reading struct{ *apiv1.Reading }

// readingForm is the order of the keys.
type readingForm struct {
	Path      string          `json:"path"`
	Name      string          `json:"name,omitempty"`
	Type      string          `json:"type,omitempty"`
	Value     json.RawMessage `json:"value"`
	Unit      string          `json:"unit,omitempty"`
	Quality   string          `json:"quality,omitempty"`
	Reason    string          `json:"reason,omitempty"`
	Since     string          `json:"since,omitempty"`
	Time      string          `json:"time,omitempty"`
	Published string          `json:"published,omitempty"`
	Received  string          `json:"received,omitempty"`
	Revision  string          `json:"revision,omitempty"`
	AsOf      string          `json:"as_of,omitempty"`
	Via       []string        `json:"via,omitempty"`
}

// MarshalJSON is the JSON form of model.Reading.
func (r reading) MarshalJSON() ([]byte, error) {
	return json.Marshal(readingForm{
		Path: r.GetPath(), Name: r.GetName(), Type: r.GetType(), Value: valueJSON(r.GetType(), r.GetValue()), Unit: r.GetUnit(),
		Quality: r.GetQuality(), Reason: r.GetReason(), Since: r.GetSince(), Time: r.GetTime(), Published: r.GetPublished(),
		Received: r.GetReceived(), Revision: r.GetRevision(), Via: r.GetVia(), AsOf: r.GetAsOf(),
	})
}

// address is PATH:NAME.
func (r reading) address() string { return r.GetPath() + ":" + r.GetName() }

// text is the value with its unit.
func (r reading) text() string {
	text := valueText(r.GetType(), r.GetValue())
	if _, none := r.GetValue().GetKind().(*structpb.Value_NullValue); !none && r.GetValue() != nil && r.GetUnit() != "" {
		text += " " + r.GetUnit()
	}
	return text
}

// short is the value with its unit for a column: numbers with few digits, and not more than most characters.
func (r reading) short(most int) string {
	text := r.text()
	if f, is := r.GetValue().GetKind().(*structpb.Value_NumberValue); is && r.GetType() == model.TypeFloat64.String() {
		text = strings.TrimSpace(strconv.FormatFloat(f.NumberValue, 'g', 6, 64) + " " + r.GetUnit())
	}
	return cut(clean(text), most)
}

// quality is how far the value can be trusted, and since when not.
func (r reading) quality(now time.Time) string {
	text := qualityText(r.GetQuality(), r.GetReason())
	if since := age(r.GetSince(), now); since != "" && r.GetQuality() != "good" {
		text += " since " + since
	}
	return text
}

// newest is how old the value is; of a setting, that it is one.
func (r reading) newest(now time.Time) string {
	if old := age(r.GetTime(), now); old != "" {
		return old
	}
	if r.GetRevision() != "" {
		return "setting"
	}
	return "-"
}

// line is value, unit, quality and age.
func (r reading) line(now time.Time) string {
	parts := []string{clean(r.text()), clean(r.quality(now)), clean(r.newest(now))}
	if asOf := age(r.GetAsOf(), now); asOf != "" {
		parts = append(parts, "true as of "+clean(asOf))
	}
	return strings.Join(parts, "  ")
}

func qualityText(level, reason string) string {
	if reason == "" {
		return level
	}
	return level + "/" + reason
}
