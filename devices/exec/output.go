package exec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"banyan/model"
)

// read reads what a program printed: a JSON object {"values": {"name": value, ...}}, or lines name=value. It answers the points that
// are right, no value for one that is printed as null or as nothing, and one error that names those that are wrong or missing.
func read(output []byte, points []point) (map[string]model.Value, error) {
	r := reader{values: map[string]model.Value{}, kinds: map[string]model.Type{}}
	for _, p := range points {
		r.kinds[p.name] = p.kind
	}
	text := bytes.TrimSpace(output)
	switch {
	case !utf8.Valid(text):
		return nil, errors.New("what it printed is not UTF-8")
	case len(text) == 0:
		return nil, errors.New("it printed nothing")
	case text[0] == '{':
		if err := r.readJSON(text); err != nil {
			return nil, fmt.Errorf("what it printed is not {\"values\": {\"name\": value}}: %w", err)
		}
	default:
		r.readLines(string(text))
	}
	for _, p := range points {
		if _, printed := r.values[p.name]; !printed && !r.named[p.name] {
			r.complain(p.name, "it is not printed")
		}
	}
	return r.values, r.err()
}

type reader struct {
	kinds      map[string]model.Type
	values     map[string]model.Value
	named      map[string]bool // those that are wrong
	complaints []string
	more       int
}

func (r *reader) complain(name, format string, args ...any) {
	const most = 5
	if r.named == nil {
		r.named = map[string]bool{}
	}
	if r.named[name] = true; len(r.complaints) == most {
		r.more++
		return
	}
	if len(name) > 64 {
		name = name[:64] + "..."
	}
	r.complaints = append(r.complaints, fmt.Sprintf("%q: ", strings.ToValidUTF8(name, "."))+fmt.Sprintf(format, args...))
}

func (r *reader) err() error {
	if len(r.complaints) == 0 {
		return nil
	}
	text := strings.Join(r.complaints, "; ")
	if r.more > 0 {
		text += fmt.Sprintf("; and %d more", r.more)
	}
	return errors.New(text)
}

func (r *reader) readLines(text string) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found {
			r.complain(fmt.Sprintf("line %d", number), "it is not name=value")
			continue
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		r.take(name, func(kind model.Type) (model.Value, error) {
			if value == "" && kind != model.TypeString {
				return model.Value{}, nil
			}
			return model.ParseText(kind, value)
		})
	}
}

// take notes one value.
func (r *reader) take(name string, parse func(model.Type) (model.Value, error)) {
	kind, declared := r.kinds[name]
	_, twice := r.values[name]
	switch {
	case !declared:
		r.complain(name, "it is printed and not among the points")
		return
	case twice || r.named[name]:
		delete(r.values, name)
		r.complain(name, "it is printed twice")
		return
	}
	v, err := parse(kind)
	if err != nil {
		r.complain(name, "what is printed is no %s", kind)
		return
	}
	r.values[name] = v
}

// readJSON reads token by token, since a name that is there twice has to be seen.
func (r *reader) readJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := expect(d, json.Delim('{'), "values", json.Delim('{')); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		value, err := d.Token()
		if err != nil {
			return err
		}
		if _, nested := value.(json.Delim); nested {
			return fmt.Errorf("the value of %.64q is no single value", name)
		}
		r.take(name.(string), func(kind model.Type) (model.Value, error) { return fromJSON(kind, value) })
	}
	if err := expect(d, json.Delim('}'), json.Delim('}')); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind it")
	}
	return nil
}

func expect(d *json.Decoder, tokens ...json.Token) error {
	for _, want := range tokens {
		got, err := d.Token()
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("there is %.64q instead of %q", fmt.Sprint(got), fmt.Sprint(want))
		}
	}
	return nil
}

// fromJSON takes a value in the form that its type has everywhere in JSON, and a number of seconds for a duration.
func fromJSON(kind model.Type, value json.Token) (model.Value, error) {
	switch v := value.(type) {
	case nil:
		return model.Value{}, nil
	case bool:
		if kind == model.TypeBool {
			return model.Bool(v), nil
		}
	case string:
		if kind != model.TypeBool {
			return model.ParseText(kind, v)
		}
	case json.Number:
		switch kind {
		case model.TypeInt64, model.TypeFloat64:
			return model.ParseText(kind, v.String())
		case model.TypeDuration:
			seconds, err := v.Float64()
			if limit := float64(1 << 33); err != nil || seconds > limit || seconds < -limit { // 272 years
				return model.Value{}, errors.New("out of range")
			}
			return model.Duration(time.Duration(seconds * float64(time.Second))), nil
		}
	}
	return model.Value{}, errors.New("another type")
}
