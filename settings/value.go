package settings

import (
	"fmt"
	"slices"
	"strings"

	"banyan/model"
	"banyan/yamlfile"

	"go.yaml.in/yaml/v4"
)

// remedies say how a value of a type is written.
var remedies = map[model.Type]string{
	model.TypeBool: "write true or false", model.TypeInt64: "write a whole number", model.TypeFloat64: "write a number like 21.5",
	model.TypeString: "write text, in quotes where it is one of : # { [ , & * ! | > ' \" % @", model.TypeBytes: "write base64",
	model.TypeTime: "write it like 2026-01-31T12:00:00Z", model.TypeDuration: "write a number with its unit: 500ms, 5s, 1h30m",
	model.TypeRef: "write PATH or PATH:NAME", model.TypeTable: "write a list of rows, each {column: value}",
}

// reading reads the values of one context.
type reading struct {
	*File
	with *instance
}

// value reads what stands for a setting of a type that is not secret. No value, and true, is the default.
func (r reading) value(n *yaml.Node, s *Setting) (model.Value, bool) {
	if at := r.reader.Resolve(n); at == nil {
		return model.Value{}, false
	} else if at.Tag == "!!null" || r.with.empty(at) {
		return model.Value{}, true
	}
	if s.Type == model.TypeTable {
		return r.table(n, s)
	}
	return r.scalar(n, s.Type, "setting "+s.Name)
}

func (r reading) scalar(n *yaml.Node, t model.Type, what string) (model.Value, bool) {
	if at := r.reader.Resolve(n); at != nil && at.Kind == yaml.MappingNode && isReference(at) {
		r.problems.add(r.here(n), "write its value", "%s is not secret", what)
		return model.Value{}, false
	}
	written, ok := r.reader.Text(n, what)
	if !ok {
		return model.Value{}, false
	}
	written, at, ok := r.expand(written, r.here(n), r.with)
	if !ok {
		return model.Value{}, false
	}
	v, err := parse(t, written)
	switch {
	case err == nil:
		return v, true
	case t == model.TypeRef:
		r.problems.add(at, remedies[t], "%s: %s", what, bare(err))
	default:
		r.problems.add(at, remedies[t], "%s: %.64q is no %s%s", what, written, t, r.of(at))
	}
	return model.Value{}, false
}

// of names the instance of which a value is that stands in the template.
func (r reading) of(at place) string {
	if r.with == nil || at.file != r.Name {
		return ""
	}
	return fmt.Sprintf(", in the instance of %s:%d", r.with.at.file, r.with.at.Line)
}

// bare is the text of an error without what it says about where it was.
func bare(err error) string {
	text := err.Error()
	return strings.TrimPrefix(text, "invalid: ")
}

// parse reads a scalar as YAML and people write it.
func parse(t model.Type, text string) (model.Value, error) {
	if t == model.TypeFloat64 {
		switch strings.ToLower(text) {
		case ".nan":
			text = "NaN"
		case ".inf", "+.inf":
			text = "Infinity"
		case "-.inf":
			text = "-Infinity"
		}
	}
	return model.ParseText(t, text)
}

// isReference reports whether a mapping is {secret: NAME}.
func isReference(n *yaml.Node) bool {
	return len(n.Content) == 2 && n.Content[0].Value == "secret"
}

// table reads a list of rows by column, or, where the columns are not those of the default, {columns: {NAME: TYPE}, rows: [[CELL]]}.
func (r reading) table(n *yaml.Node, s *Setting) (model.Value, bool) {
	what := "setting " + s.Name
	at := r.reader.Resolve(n)
	table := &model.Table{}
	var ok bool
	if at.Kind == yaml.MappingNode {
		ok = r.explicit(n, table, what)
	} else {
		if usual := s.Default.Table(); usual != nil {
			table.Columns = usual.Columns
		}
		ok = r.rows(n, table, what)
	}
	if !ok {
		return model.Value{}, false
	}
	if err := table.Validate(); err != nil {
		r.problems.add(r.here(n), remedies[model.TypeTable], "%s: %s", what, bare(err))
		return model.Value{}, false
	}
	return model.TableValue(table), true
}

func (r reading) rows(n *yaml.Node, table *model.Table, what string) bool {
	if at := r.reader.Resolve(n); at.Kind != yaml.SequenceNode {
		r.problems.add(r.here(n), remedies[model.TypeTable], "%s is a list of rows, not %s", what, yamlfile.Form(at))
		return false
	}
	list, ok := r.reader.List(n, what)
	names := make([]string, len(table.Columns))
	for i := range table.Columns {
		names[i] = table.Columns[i].Name
	}
	for _, item := range list {
		row := make([]model.Value, len(table.Columns))
		good := r.reader.Fields(item, "a row of "+what, names, func(e yamlfile.Entry) {
			i := slices.Index(names, e.Name)
			cell, read := r.cell(e.Value, table.Columns[i])
			row[i], ok = cell, ok && read
		})
		ok = ok && good
		table.Rows = append(table.Rows, row)
	}
	return ok
}

func (r reading) cell(n *yaml.Node, c model.Column) (model.Value, bool) {
	if at := r.reader.Resolve(n); at == nil || at.Tag == "!!null" || r.with.empty(at) {
		return model.Value{}, at != nil
	}
	return r.scalar(n, c.Type, "column "+c.Name)
}

// explicit reads a table that brings its columns.
func (r reading) explicit(n *yaml.Node, table *model.Table, what string) bool {
	var rows *yaml.Node
	ok := true
	good := r.reader.Fields(n, what, []string{"columns", "rows"}, func(e yamlfile.Entry) {
		if e.Name == "rows" {
			rows = e.Value
			return
		}
		columns, read := r.reader.Mapping(e.Value, "columns")
		ok = ok && read
		for _, c := range columns {
			text, read := r.reader.Text(c.Value, "the type of a column")
			t, err := model.ParseType(text)
			if read && (err != nil || !t.IsScalar() && t != model.TypeString && t != model.TypeBytes && t != model.TypeRef) {
				r.problems.add(r.here(c.Value), "write bool, int64, float64, string, bytes, time, duration or ref", "%q is no type of a column", text)
				read = false
			}
			ok = ok && read
			table.Columns = append(table.Columns, model.Column{Name: c.Name, Type: t})
		}
	})
	if !ok || !good || rows == nil {
		return ok && good
	}
	list, ok := r.reader.List(rows, "rows")
	for _, item := range list {
		cells, read := r.reader.List(item, "a row of "+what)
		if read && len(cells) != len(table.Columns) {
			r.problems.add(r.here(item), "give each row a cell for each column; ~ is none", "the row has %d cells, and there are %d columns", len(cells), len(table.Columns))
			read = false
		}
		ok = ok && read
		if !read {
			continue
		}
		row := make([]model.Value, len(cells))
		for i, c := range cells {
			v, read := r.cell(c, table.Columns[i])
			row[i], ok = v, ok && read
		}
		table.Rows = append(table.Rows, row)
	}
	return ok
}

// keep is the name that stands for what is there already.
const keep = "keep"

// reference reads {secret: NAME}. Null, and true, takes the secret away; the empty name keeps it.
func (r reading) reference(n *yaml.Node, s *Setting) (name string, unset, ok bool) {
	at := r.reader.Resolve(n)
	if at == nil {
		return "", false, false
	}
	if at.Tag == "!!null" {
		return "", true, true
	}
	if at.Kind != yaml.MappingNode || !isReference(at) { // what stands there is not repeated: it may be the secret
		r.problems.add(r.here(n), "write {secret: NAME}, and give NAME with --secrets FILE; {secret: keep} leaves the one that is there",
			"setting %s is secret: its value does not stand in this file", s.Name)
		return "", false, false
	}
	written, ok := r.reader.Text(at.Content[1], "the name of the secret")
	if !ok {
		return "", false, false
	}
	name, where, ok := r.expand(written, r.here(at.Content[1]), r.with)
	if ok && name == "" {
		r.problems.add(where, "write {secret: NAME}", "the secret has no name")
		return "", false, false
	}
	if name == keep {
		name = ""
	}
	return name, false, ok
}
