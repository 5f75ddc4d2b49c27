package server

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"banyan/access"
	"banyan/model"
)

// kindTable says what is shown of the contexts of each kind, and what of them is hidden and why.
func (p *preview) kindTable() *model.Table {
	keys := slices.SortedFunc(maps.Keys(p.kinds), func(a, b previewedKind) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), slices.Compare(a.full[:], b.full[:]))
	})
	table := textTable("kind", "settings", "variables", "functions", "events", "hidden")
	table.Columns = slices.Insert(table.Columns, 1, model.Column{Name: "contexts", Type: model.TypeInt64})
	for _, key := range keys[:min(len(keys), mostPreviewed)] {
		e := p.kinds[key]
		row := []model.Value{model.String(key.kind), model.Int64(int64(e.contexts))}
		for _, sort := range entrySorts {
			row = append(row, model.String(strings.Join(namesOf(e.shown, sort), ",")))
		}
		table.Rows = append(table.Rows, append(row, model.String(p.hiddenOf(e))))
	}
	return table
}

// hiddenOf is what the contexts of a kind have that is not shown, by why.
func (p *preview) hiddenOf(e *previewedEntries) string {
	byWhy := make(map[access.Omission][]string)
	for _, sort := range entrySorts {
		shown := namesOf(e.shown, sort)
		for i, name := range namesOf(e.full, sort) {
			if !slices.Contains(shown, name) {
				why := p.selection.OmitsEntity(e.full.Kind, sort, name, sort == model.EntrySetting && e.full.Settings[i].Secret)
				byWhy[why] = append(byWhy[why], name)
			}
		}
	}
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(byWhy)) {
		parts = append(parts, strings.Join(byWhy[why], ",")+": "+string(why))
	}
	return strings.Join(parts, "; ")
}

func (p *preview) leftOutTable() *model.Table {
	table := textTable("why", "example")
	table.Columns = slices.Insert(table.Columns, 1, model.Column{Name: "contexts", Type: model.TypeInt64})
	for _, why := range slices.Sorted(maps.Keys(p.leftOut)) {
		o, example := p.leftOut[why], ""
		if o.named {
			example = o.example.String()
		}
		table.Rows = append(table.Rows, []model.Value{model.String(why), model.Int64(int64(o.contexts)), model.String(example)})
	}
	return table
}

// entrySorts are the sorts of entries in the order of schemas.
var entrySorts = []model.EntrySort{model.EntrySetting, model.EntryVariable, model.EntryFunction, model.EntryEvent}

// namesOf are the entries of a sort.
func namesOf(s *model.Schema, sort model.EntrySort) (names []string) {
	switch sort {
	case model.EntrySetting:
		for i := range s.Settings {
			names = append(names, s.Settings[i].Name)
		}
	case model.EntryVariable:
		for i := range s.Variables {
			names = append(names, s.Variables[i].Name)
		}
	case model.EntryFunction:
		for i := range s.Functions {
			names = append(names, s.Functions[i].Name)
		}
	case model.EntryEvent:
		for i := range s.Events {
			names = append(names, s.Events[i].Name)
		}
	}
	return names
}

func textTable(columns ...string) *model.Table {
	table := &model.Table{}
	for _, name := range columns {
		table.Columns = append(table.Columns, model.Column{Name: name, Type: model.TypeString})
	}
	return table
}

func addTexts(table *model.Table, cells ...string) {
	row := make([]model.Value, len(cells))
	for i, cell := range cells {
		row[i] = model.String(cell)
	}
	table.Rows = append(table.Rows, row)
}
