package main

import (
	"testing"

	"banyan/model"
	"banyan/proto/apiv1"

	"google.golang.org/protobuf/types/known/structpb"
)

// Exports that show different things of the same paths look different in the list.
func TestShownText(t *testing.T) {
	for _, test := range []struct {
		given map[string]string
		want  string
	}{
		{nil, "everything"},
		{map[string]string{"events": "debug", "preset": "custom", "shows": "settings,variables,functions", "kinds": "", "hide": "-"}, "everything"},
		{map[string]string{"preset": "alerts-only", "events": "warning"}, "alerts only; events from warning"},
		{map[string]string{"shows": "none", "events": "none"}, "no settings, variables, functions; no events"},
		{map[string]string{"shows": "variables", "kinds": "a,b", "except_kinds": "c", "hide": "host:name"}, "only variables; only kinds a,b; no kinds c; without host:name"},
	} {
		info := &apiv1.ContextInfo{}
		for name, value := range test.given {
			if value == "-" { // nothing is set
				info.Settings = append(info.Settings, &apiv1.SettingInfo{Reading: &apiv1.Reading{Name: name, Type: model.TypeNone.String()}})
				continue
			}
			info.Settings = append(info.Settings, &apiv1.SettingInfo{Reading: &apiv1.Reading{Name: name, Type: "string", Value: structpb.NewStringValue(value)}})
		}
		if got := shownText(info); got != test.want {
			t.Errorf("%v is %q, want %q", test.given, got, test.want)
		}
	}
}
