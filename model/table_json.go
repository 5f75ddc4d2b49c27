package model

import (
	"bytes"
	"encoding/json"
	"iter"
)

func (t *Table) appendJSON(to []byte) []byte {
	to = append(to, `{"columns":[`...)
	for i, c := range t.Columns {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(to, `{"name":`...)
		to = appendText(to, c.Name)
		to = append(to, `,"type":"`...)
		to = append(to, c.Type.String()...)
		to = append(to, `"}`...)
	}
	to = append(to, `],"rows":[`...)
	for i, row := range t.Rows {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(to, '[')
		for j, cell := range row {
			if j > 0 {
				to = append(to, ',')
			}
			to = cell.AppendJSON(to)
		}
		to = append(to, ']')
	}
	return append(to, `]}`...)
}

// decodeTable reads a table from valid JSON. It takes no memory for more than the limits of a table allow.
func decodeTable(raw []byte) (Value, error) {
	if raw[0] != '{' {
		return Value{}, notTable("it is not an object")
	}
	var columns, rows []byte
	for member := range split(raw) {
		key, value, _ := bytes.Cut(member, []byte{':'})
		switch key = bytes.TrimSpace(key); string(key) {
		case `"columns"`:
			columns = bytes.TrimSpace(value)
		case `"rows"`:
			rows = bytes.TrimSpace(value)
		default:
			return Value{}, notTable("unknown field " + quoted(string(key)))
		}
	}
	table := &Table{}
	if err := table.decodeColumns(columns); err != nil {
		return Value{}, err
	}
	if err := table.decodeRows(rows); err != nil {
		return Value{}, err
	}
	if err := table.Validate(); err != nil {
		return Value{}, err
	}
	return TableValue(table), nil
}

func (t *Table) decodeColumns(raw []byte) error {
	columns, ok := elements(raw)
	if !ok {
		return notTable("the columns are not a list")
	}
	for column := range columns {
		if len(t.Columns) == MaxTableColumns {
			return invalidf("table has more than %d columns", MaxTableColumns)
		}
		var c Column
		decoder := json.NewDecoder(bytes.NewReader(column))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			why := err.Error()
			return notTable(why[:min(len(why), 200)])
		}
		if c.Type == TypeTable {
			return invalidf("table column %s: tables do not nest", quoted(c.Name))
		}
		t.Columns = append(t.Columns, c)
	}
	return nil
}

func (t *Table) decodeRows(raw []byte) error {
	rows, ok := elements(raw)
	if !ok {
		return notTable("the rows are not a list")
	}
	size := t.size()
	for row := range rows {
		if len(t.Rows) == MaxTableRows {
			return invalidf("table has more than %d rows", MaxTableRows)
		}
		cells, err := t.decodeRow(row)
		if err != nil {
			return err
		}
		t.Rows = append(t.Rows, cells)
		if size += rowSize(cells); size > MaxValueBytes {
			return invalidf("table takes more than %d bytes", MaxValueBytes)
		}
	}
	return nil
}

func (t *Table) decodeRow(raw []byte) ([]Value, error) {
	cells, ok := elements(raw)
	if !ok || string(raw) == "null" {
		return nil, notTable("a row is not a list")
	}
	row := make([]Value, 0, len(t.Columns))
	for cell := range cells {
		if len(row) == len(t.Columns) {
			return nil, invalidf("table row %d has more cells than there are columns, %d", len(t.Rows)+1, len(t.Columns))
		}
		c := t.Columns[len(row)]
		value, err := decodeValid(c.Type, cell)
		if err != nil {
			return nil, invalidf("table row %d, column %s: %w", len(t.Rows)+1, quoted(c.Name), err)
		}
		row = append(row, value)
	}
	if len(row) < len(t.Columns) {
		return nil, invalidf("table row %d has %d cells, there are %d columns", len(t.Rows)+1, len(row), len(t.Columns))
	}
	return row, nil
}

func notTable(why string) error {
	return invalidf(`a table is written {"columns":[{"name":...,"type":...}],"rows":[[...]]}: %s`, why)
}

// elements yields the elements of a list. What it is given is valid JSON or nothing; null and nothing are the empty list, and what is no
// list is not ok.
func elements(raw []byte) (list iter.Seq[[]byte], ok bool) {
	if len(raw) == 0 || string(raw) == "null" {
		return split([]byte("[]")), true
	}
	return split(raw), raw[0] == '['
}

// split yields the elements of a list, or the members of an object, of valid JSON, without copying them.
func split(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := bytes.TrimSpace(raw[1 : len(raw)-1]); len(rest) > 0; {
			end := elementEnd(rest)
			if !yield(bytes.TrimSpace(rest[:end])) || end == len(rest) {
				return
			}
			rest = rest[end+1:]
		}
	}
}

// elementEnd is where the first comma stands that is in no string and in no nested list or object.
func elementEnd(raw []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 0:
			return i
		}
	}
	return len(raw)
}
