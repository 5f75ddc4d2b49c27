package snmp

import (
	"regexp"
	"slices"
	"strings"

	"banyan/model"
	"banyan/profiles"
)

// matchKeys say which devices a profile is for.
type matchKeys struct {
	ObjectIDs    []string `profile:"sys_object_id"`
	Descriptions []string `profile:"sys_descr"`
	Has          []string `profile:"has"`
	Priority     int      `profile:"priority"`
}

// optionKeys are those of a whole device.
type optionKeys struct {
	Interfaces string   `profile:"interfaces"`
	With       []string `profile:"with"` // profiles whose points and tables these devices have as well
}

// pointKeys are those of a point or a column.
type pointKeys struct {
	OIDs  []string `profile:"oid"`
	As    string   `profile:"as"`
	Set   string   `profile:"set"`
	On    int64    `profile:"on"`
	Index string   `profile:"index"` // of columns: a part of the row's index
	By    string   `profile:"by"`    // of columns: oid is a column of another table, found by this part or column

	Times     string `profile:"times"`      // of columns: multiplied by this column of the row
	PercentOf string `profile:"percent_of"` // of columns: in percent of this column of the row
}

// tableKeys are those of a table.
type tableKeys struct {
	Index []string `profile:"index"`
	Rows  string   `profile:"rows"` // the column that every row has
}

// match is what a device must be for a profile, as the file says it.
type match struct {
	objectIDs    []oid
	descriptions []*regexp.Regexp
	has          []oid
	priority     int
}

// extras is what the driver keeps of a profile as a whole.
type extras struct {
	match      match
	interfaces bool // show the table of interfaces
	with       []string
}

// object is what the driver keeps of a point: where to find it, and how its octets are shown.
type object struct {
	oids []oid // the first that the device has counts
	as   string
	set  string
	on   int64
	part int // place in the table's index; -1 for none
	by   int // place in the table's index by which to look up, -1 for none; behind the parts come the columns

	times, percentOf int // columns of the table; -1 for none
}

// table is what the driver keeps of a table.
type table struct {
	index  []indexPart
	rows   int // column that makes a row; -1 for any
	schema *model.Schema
}

// setForms are the forms in which a value can be sent.
var setForms = map[string]form{
	"integer": integer, "gauge": unsigned, "ticks": ticks, "string": octets, "hex": octets, "ip": address, "oid": objectID,
}

// Check reads the keys of SNMP in a profile.
func Check(p *profiles.Profile) {
	kept := &extras{interfaces: true}
	var m matchKeys
	if p.Match.Decode(&m) {
		kept.match = checkMatch(&p.Match, &m)
	}
	var options optionKeys
	if p.Options.Decode(&options); options.Interfaces != "" {
		kept.interfaces = options.Interfaces == "true"
		if options.Interfaces != "true" && options.Interfaces != "false" {
			p.Options.Fault("interfaces", "write true or false", "interfaces is %.20q", options.Interfaces)
		}
	}
	kept.with = options.With
	for i := range p.Points {
		checkPoint(&p.Points[i], nil, nil)
	}
	for i := range p.Tables {
		t := &p.Tables[i]
		checkTable(t)
		if kept.interfaces && t.Name == tableInterfaces && p.Name != builtinName {
			t.Source.Fault("", "give it another name, or set options: interfaces: false", "every device has a table of this name already")
		}
	}
	p.Driver = kept
}

func checkMatch(s *profiles.Source, m *matchKeys) match {
	kept := match{
		objectIDs: checkOIDs(s, "sys_object_id", m.ObjectIDs), has: checkOIDs(s, "has", m.Has), priority: m.Priority,
	}
	for _, text := range m.Descriptions {
		expression, err := regexp.Compile("(?i)" + text)
		if err != nil {
			s.Fault("sys_descr", "write a regular expression, like ^APC ", "%v", err)
			continue
		}
		kept.descriptions = append(kept.descriptions, expression)
	}
	return kept
}

func checkOIDs(s *profiles.Source, key string, texts []string) []oid {
	var list []oid
	for _, text := range texts {
		o, err := parseOID(text)
		if err != nil {
			s.Fault(key, "write numbers with dots between them", "%v", err)
			continue
		}
		list = append(list, o)
	}
	return list
}

// checkPoint reads a point, or a column of a table.
func checkPoint(p *profiles.Point, t *profiles.Table, kept *table) {
	keys := pointKeys{On: 1}
	p.Source.Decode(&keys)
	o := &object{as: keys.As, set: keys.Set, on: keys.On, part: -1, by: -1, times: -1, percentOf: -1, oids: checkOIDs(&p.Source, "oid", keys.OIDs)}
	p.Driver = o
	if t == nil && keys.Index+keys.By+keys.Times+keys.PercentOf != "" {
		p.Source.Fault("", "leave index, by, times and percent_of out", "only a column of a table can have one of these")
		return
	}
	if t != nil {
		o.times = columnOf(&p.Source, "times", keys.Times, t)
		o.percentOf = columnOf(&p.Source, "percent_of", keys.PercentOf, t)
	}
	if keys.Index != "" {
		if o.part = slices.IndexFunc(kept.index, func(part indexPart) bool { return part.name == keys.Index }); o.part < 0 {
			p.Source.Fault("index", "name a part of the table's index", "the index has no part %.80q", keys.Index)
		}
	}
	if keys.By != "" {
		o.by = byOf(keys.By, t, kept)
		if o.by < 0 {
			p.Source.Fault("by", "name a part of the table's index, or a column", "there is no %.80q by which to look it up", keys.By)
		}
	}
	switch {
	case len(keys.OIDs) == 0 && keys.Index == "":
		p.Source.Fault("", "add oid", "nothing says which object it is")
	case len(keys.OIDs) > 0 && keys.Index != "":
		p.Source.Fault("index", "leave one of them out", "it has an oid and an index")
	case p.Writable && (keys.Index != "" || keys.By != ""):
		p.Source.Fault("writable", "leave it out", "an index, or a column of another table, cannot be written here")
	}
	checkForm(p, o)
}

// columnOf is where the column that a key names stands; -1 where it names none.
func columnOf(s *profiles.Source, key, name string, t *profiles.Table) int {
	at := slices.IndexFunc(t.Columns, func(c profiles.Point) bool { return c.Name == name })
	if name != "" && at < 0 {
		s.Fault(key, "name one of its columns", "the table has no column %.80q", name)
	}
	return at
}

func byOf(name string, t *profiles.Table, kept *table) int {
	if at := slices.IndexFunc(kept.index, func(part indexPart) bool { return part.name == name }); at >= 0 {
		return at
	}
	if at := slices.IndexFunc(t.Columns, func(c profiles.Point) bool { return c.Name == name }); at >= 0 {
		return len(kept.index) + at
	}
	return -1
}

// checkForm decides how the octets are shown, and the type where that says it.
func checkForm(p *profiles.Point, o *object) {
	if o.as != asAuto && !slices.Contains(formats, o.as) {
		p.Source.Fault("as", "write one of "+strings.Join(formats, ", "), "%.40q is no form", o.as)
	}
	if _, known := setForms[o.set]; o.set != "" && !known {
		p.Source.Fault("set", "write integer, gauge, ticks, string, hex, ip or oid", "%.40q is nothing that can be sent", o.set)
	}
	if p.Type == model.TypeNone && o.as != asAuto {
		p.Type = model.TypeString
		if o.as == asTime {
			p.Type = model.TypeTime
		}
	}
	if o.as != asAuto && p.Type != model.TypeString && p.Type != model.TypeTime && p.Type != model.TypeBytes {
		p.Source.Fault("as", "leave it out, or make the type string", "a %s is not shown as %s", p.Type, o.as)
	}
	if p.Type == model.TypeBool && p.Writable && o.on != 0 && o.on != 1 {
		p.Source.Fault("on", "use values instead", "a switch that can be written is on with 1, and off with 2 or 0")
	}
}

func checkTable(t *profiles.Table) {
	var keys tableKeys
	t.Source.Decode(&keys)
	kept := &table{rows: -1}
	t.Driver = kept
	for i, text := range keys.Index {
		name, kind, given := strings.Cut(text, ":")
		if !given {
			kind = indexInteger
		}
		kind = strings.TrimSpace(kind)
		if !slices.Contains(indexKinds, kind) {
			t.Source.Fault("index", "write NAME:KIND, with one of "+strings.Join(indexKinds, ", "), "%.40q is no kind of index", kind)
		}
		if (kind == indexImplied || kind == indexRest) && i < len(keys.Index)-1 {
			t.Source.Fault("index", "put it last", "nothing can come after a part of the kind %s", kind)
		}
		kept.index = append(kept.index, indexPart{name: name, kind: kind})
	}
	for i := range t.Columns {
		checkPoint(&t.Columns[i], t, kept)
	}
	if keys.Rows != "" {
		kept.rows = slices.IndexFunc(t.Columns, func(c profiles.Point) bool { return c.Name == keys.Rows })
		if kept.rows < 0 {
			t.Source.Fault("rows", "name one of its columns", "there is no column %.80q", keys.Rows)
		}
	}
	kept.schema = t.Schema(Kind)
}
