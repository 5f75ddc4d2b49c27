package devices

import (
	"fmt"
	"maps"
	"slices"

	"banyan/model"
)

// Settings are the settings of one device by name.
type Settings map[string]model.Value

// Resolve checks what was given against a completed schema and fills in defaults: afterwards every declared setting is there, and
// those without a default and without a given value are no value. Names that are not declared and values of another type
// are refused with an error that names the setting. Given values are not changed.
func Resolve(schema *model.Schema, given Settings) (Settings, error) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if schema.SettingIndex(name) < 0 {
			return nil, BadSetting(name, "a %s has no such setting", schema.Kind)
		}
	}
	resolved := make(Settings, len(schema.Settings))
	for _, s := range schema.Settings {
		v := given[s.Name]
		if v.IsNone() {
			v = s.Default
		}
		if !v.IsNone() && v.Type() != s.Type {
			return nil, BadSetting(s.Name, "it is a %s, not a %s", s.Type, v.Type())
		}
		resolved[s.Name] = v
	}
	return resolved, nil
}

// BadSetting refuses the setting called name; the text says what is wrong with its value, and never repeats a secret.
func BadSetting(name, format string, args ...any) error {
	return &model.Error{Kind: model.KindInvalid, Name: name, Detail: fmt.Sprintf(format, args...)}
}

func equalSettings(a, b Settings) bool { return maps.EqualFunc(a, b, model.Value.Equal) }
