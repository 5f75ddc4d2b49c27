package main

import (
	"strings"

	"banyan/proto/apiv1"

	"google.golang.org/protobuf/types/known/structpb"
)

// resultTable is a table that a function answered.
type resultTable struct {
	names []string
	types []string
	rows  []*structpb.Value
}

// tableOf is the result called name, empty where there is none or it is no table.
func tableOf(answer *apiv1.CallResponse, name string) resultTable {
	for _, r := range answer.GetResults() {
		if r.GetName() == name {
			return readTable(r.GetValue())
		}
	}
	return resultTable{}
}

func readTable(v *structpb.Value) resultTable {
	var t resultTable
	fields := v.GetStructValue().GetFields()
	for _, column := range fields["columns"].GetListValue().GetValues() {
		of := column.GetStructValue().GetFields()
		t.names, t.types = append(t.names, of["name"].GetStringValue()), append(t.types, of["type"].GetStringValue())
	}
	t.rows = fields["rows"].GetListValue().GetValues()
	return t
}

// cell is what stands in a row under a name, as people read it; empty where nothing does.
func (t *resultTable) cell(row int, name string) string {
	for i, column := range t.names {
		if cells := t.rows[row].GetListValue().GetValues(); column == name && i < len(cells) {
			return cellText(t.types[i], cells[i])
		}
	}
	return ""
}

func cellText(typ string, v *structpb.Value) string {
	if _, none := v.GetKind().(*structpb.Value_NullValue); none || v == nil {
		return ""
	}
	return valueText(typ, v)
}

// print makes rows of the columns, under their names in capitals; of no rows, none.
func (t *resultTable) print(columns ...string) *table {
	out := &table{}
	if len(t.rows) == 0 {
		return out
	}
	heads := make([]string, len(columns))
	for i, name := range columns {
		heads[i] = strings.ToUpper(name)
	}
	out.add(heads...)
	for row := range t.rows {
		cells := make([]string, len(columns))
		for i, name := range columns {
			cells[i] = t.cell(row, name)
		}
		out.add(cells...)
	}
	return out
}
