package profiles

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"banyan/yamlfile"

	"go.yaml.in/yaml/v4"
)

// Source is the part of a profile whose keys only the protocol knows. It is read by Decode while the file is read, so that what is wrong in it is told with its place.
type Source struct {
	reader *yamlfile.Reader
	at     yamlfile.Mark
	what   string // for messages: "the point voltage"
	common []string
	list   []yamlfile.Entry // that are the protocol's
	all    []yamlfile.Entry
}

// Empty reports whether the file gives nothing.
func (s *Source) Empty() bool { return len(s.list) == 0 }

// Fault notes a problem at a key of the source, or at its beginning where it does not have the key. It is for a Check only.
func (s *Source) Fault(key, remedy, format string, args ...any) {
	if s.reader == nil {
		return
	}
	at := s.at
	for _, e := range s.all {
		if e.Name == key {
			at = yamlfile.MarkOf(e.Value)
		}
	}
	s.reader.Add(at, remedy, "%s: %s", s.what, fmt.Sprintf(format, args...))
}

// Decode fills a struct from the keys: each field tagged `profile:"key"` or `profile:"key,required"`, of type string, bool, int, int64, uint64, float64,
// time.Duration, a slice of strings (one alone may stand without brackets), or a map from string to string. Keys that no field has and values of the
// wrong form are problems of the file. It reports whether all was well. It is for a Check only.
func (s *Source) Decode(into any) bool {
	v := reflect.ValueOf(into).Elem()
	fields, required := map[string]reflect.Value{}, []string{}
	for i := range v.NumField() {
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("profile"), ",")
		if name == "" {
			continue
		}
		fields[name] = v.Field(i)
		if option == "required" {
			required = append(required, name)
		}
	}
	known := slices.Clone(s.common)
	for name := range fields {
		known = append(known, name)
	}
	slices.Sort(known)
	good := true
	for _, e := range s.list {
		field, ok := fields[e.Name]
		if !ok {
			s.reader.Add(yamlfile.MarkOf(e.Key), yamlfile.DidYouMean(e.Name, known), "%s has no key %q", s.what, e.Name)
			good = false
			continue
		}
		good = s.field(field, e) && good
		required = slices.DeleteFunc(required, func(name string) bool { return name == e.Name })
	}
	for _, name := range required {
		if s.reader != nil {
			s.reader.Add(s.at, "add "+name, "%s has no %s", s.what, name)
		}
		good = false
	}
	return good
}

func (s *Source) field(field reflect.Value, e yamlfile.Entry) bool {
	what := e.Name + " of " + s.what
	switch field.Interface().(type) {
	case []string:
		nodes, ok := s.reader.List(e.Value, what)
		for _, n := range nodes {
			text, one := s.reader.Text(n, what)
			field.Set(reflect.Append(field, reflect.ValueOf(text)))
			ok = ok && one
		}
		return ok
	case map[string]string:
		entries, ok := s.reader.Mapping(e.Value, what)
		named := map[string]string{}
		for _, entry := range entries {
			text, one := s.reader.Text(entry.Value, what)
			named[entry.Name] = text
			ok = ok && one
		}
		field.Set(reflect.ValueOf(named))
		return ok
	}
	text, ok := s.reader.Text(e.Value, what)
	if !ok {
		return false
	}
	if err := scalar(field, text, e.Value); err != nil {
		s.reader.Add(yamlfile.MarkOf(e.Value), err.Error(), "%s is %.80q", what, text)
		return false
	}
	return true
}

// scalar parses a text into a field. The error is what to do about a wrong one.
func scalar(field reflect.Value, text string, n *yaml.Node) error {
	var err error
	switch field.Interface().(type) {
	case time.Duration:
		var d time.Duration
		if d, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("write a duration, like 5s or 1m30s")
		}
		field.SetInt(int64(d))
		return nil
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("write true or false")
		}
		field.SetBool(text == "true")
	case reflect.Int, reflect.Int64:
		var i int64
		if i, err = strconv.ParseInt(text, 0, 64); err != nil {
			return fmt.Errorf("write a whole number")
		}
		field.SetInt(i)
	case reflect.Uint64:
		var u uint64
		if u, err = strconv.ParseUint(text, 0, 64); err != nil {
			return fmt.Errorf("write a whole number that is not negative")
		}
		field.SetUint(u)
	case reflect.Float64:
		var f float64
		if f, err = strconv.ParseFloat(text, 64); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("write a number")
		}
		field.SetFloat(f)
	default:
		panic("profiles: no way to read a " + field.Type().String() + " on line " + strconv.Itoa(n.Line))
	}
	return nil
}
