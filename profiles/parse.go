package profiles

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"banyan/model"
	"banyan/proto"
	"banyan/yamlfile"

	"go.yaml.in/yaml/v4"
)

// Limits of one profile.
const (
	MaxPoints  = 500
	MaxTables  = 64
	MaxColumns = 200
	maxValues  = 1000
)

// Check reads what a driver's own keys say, with Source.Decode, decides types that were left to it, and keeps what it made of that in the Driver fields.
// What is wrong it tells with Source.Fault.
type Check func(p *Profile)

// Keys that mean the same in all protocols.
var (
	profileKeys = []string{"kind", "title", "description", "match", "options", "points", "tables"}
	pointKeys   = []string{"type", "unit", "description", "scale", "offset", "values", "writable", "right", "min", "max", "rate"}
	tableKeys   = []string{"title", "description", "label", "columns"}
	typeNames   = []string{"bool", "int64", "float64", "string", "bytes", "time", "duration"}
)

// Parse reads a profile. The name is that of its file without .yaml; checks has one Check for each kind of devices that can have profiles. The error is a
// *model.Error with yamlfile.Problems inside.
func Parse(file, name string, source []byte, checks map[string]Check) (*Profile, error) {
	p := &parser{
		Reader:  yamlfile.Reader{File: file, What: "profile", Begin: "begin with `kind:` and `points:`; the documentation of devices has an example"},
		profile: &Profile{Name: name}, checks: checks,
	}
	if err := model.CheckName(name); err != nil {
		p.Add(yamlfile.Start, "name the file like ups.yaml", "%q cannot be the name of a profile", name)
	}
	if root := p.Document(source); root != nil {
		p.file(root)
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	return p.profile, nil
}

type parser struct {
	yamlfile.Reader
	profile *Profile
	checks  map[string]Check
	kind    yamlfile.Mark
}

func (p *parser) file(root *yaml.Node) {
	p.kind = yamlfile.Start
	p.profile.Match = p.source(root, "match", nil, nil, nil)
	p.profile.Options = p.source(root, "options", nil, nil, nil)
	ok := p.Fields(root, "a profile", profileKeys, func(e yamlfile.Entry) {
		switch e.Name {
		case "kind":
			p.profile.Kind, _ = p.Text(e.Value, "kind")
			p.kind = yamlfile.MarkOf(e.Value)
		case "title":
			p.profile.Title, _ = p.Text(e.Value, "title")
		case "description":
			p.profile.Description, _ = p.Text(e.Value, "description")
		case "match":
			p.profile.Match = p.section(e, "match")
		case "options":
			p.profile.Options = p.section(e, "options")
		case "points":
			p.profile.Points = p.points(e.Value, "points", MaxPoints)
		case "tables":
			p.tables(e.Value)
		}
	})
	check, known := p.checks[p.profile.Kind]
	switch {
	case !ok:
	case p.profile.Kind == "":
		p.Add(yamlfile.Start, "add a line like `kind: snmp`", "the profile does not say for which kind of devices it is")
	case !known:
		p.Add(p.kind, yamlfile.DidYouMean(p.profile.Kind, p.kinds()), "devices of the kind %q have no profiles", p.profile.Kind)
	default:
		check(p.profile)
		p.settle()
	}
}

func (p *parser) kinds() []string {
	var kinds []string
	for kind := range p.checks {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// settle checks what came out of it as a whole, once the driver has decided on types.
func (p *parser) settle() {
	if !p.Good() {
		return
	}
	sets := [][]Point{p.profile.Points}
	schemas := []*model.Schema{p.profile.Schema(&model.Schema{Kind: p.profile.Kind})}
	for i := range p.profile.Tables {
		t := &p.profile.Tables[i]
		sets, schemas = append(sets, t.Columns), append(schemas, t.Schema(p.profile.Kind))
		if _, there := t.Column(t.Label); t.Label != "" && !there {
			t.Source.Fault("label", "name one of its columns", "the label is to be column %q, which is not there", t.Label)
		}
	}
	for _, set := range sets {
		for i := range set {
			set[i].complete()
		}
	}
	for _, schema := range schemas {
		if _, err := proto.NewSchema(*schema); err != nil {
			p.Fault(yamlfile.Start, "make it smaller, or split it into tables", err)
		}
	}
}

// complete tells what does not fit together in a point.
func (p *Point) complete() {
	number := p.Type == model.TypeInt64 || p.Type == model.TypeFloat64 || p.Type == model.TypeDuration
	switch {
	case p.Type == model.TypeNone:
		p.Source.Fault("type", "add type: "+strings.Join(typeNames, ", "), "it has no type")
	case p.Values != nil && p.Type != model.TypeString && p.Type != model.TypeInt64:
		p.Source.Fault("values", "leave type out, or make it string or int64", "a %s has no named values", p.Type)
	case (p.scale() != 1 || p.Offset != 0) && !number:
		p.Source.Fault("scale", "leave scale and offset out", "a %s is not scaled", p.Type)
	case (p.Min != nil || p.Max != nil) && !number:
		p.Source.Fault("min", "leave min and max out", "a %s has no limits", p.Type)
	case p.Min != nil && p.Max != nil && *p.Min > *p.Max:
		p.Source.Fault("min", "exchange min and max", "min is greater than max")
	case p.Rate && p.Type != model.TypeFloat64:
		p.Source.Fault("rate", "leave type out, or make it float64", "a rate is a float64")
	case p.Rate && p.Writable:
		p.Source.Fault("writable", "leave one of them out", "a rate cannot be written")
	}
}

// source is an empty source with a place.
func (p *parser) source(n *yaml.Node, what string, common []string, list, all []yamlfile.Entry) Source {
	return Source{reader: &p.Reader, at: yamlfile.MarkOf(n), what: what, common: common, list: list, all: all}
}

func (p *parser) section(e yamlfile.Entry, what string) Source {
	list, _ := p.Mapping(e.Value, what)
	return p.source(e.Key, what, nil, list, list)
}

func (p *parser) points(n *yaml.Node, what string, most int) []Point {
	entries, _ := p.Mapping(n, what)
	if len(entries) > most {
		p.Add(yamlfile.MarkOf(n), "split the profile", "%d points are given, at most %d are allowed", len(entries), most)
		return nil
	}
	var points []Point
	for _, e := range entries {
		if err := model.CheckName(e.Name); err != nil || strings.ContainsAny(e.Name, ".-") {
			p.Add(yamlfile.MarkOf(e.Key), "use letters, digits and _", "%.80q cannot be the name of a point", e.Name)
			continue
		}
		points = append(points, p.point(e))
	}
	return points
}

func (p *parser) point(e yamlfile.Entry) Point {
	what := "the point " + e.Name
	point := Point{Name: e.Name, Scale: 1, Right: model.RightOperate}
	entries, _ := p.Mapping(e.Value, what)
	var own []yamlfile.Entry
	for _, entry := range entries {
		if !slices.Contains(pointKeys, entry.Name) {
			own = append(own, entry)
			continue
		}
		p.common(&point, entry, what)
	}
	if point.Type == model.TypeNone {
		switch {
		case point.Values != nil:
			point.Type = model.TypeString
		case point.Rate || point.Scale != 1 || point.Offset != 0:
			point.Type = model.TypeFloat64
		}
	}
	point.Source = p.source(e.Key, what, pointKeys, own, entries)
	return point
}

// common reads a key that all protocols have.
func (p *parser) common(point *Point, e yamlfile.Entry, what string) {
	switch e.Name {
	case "values":
		point.Values = p.values(e.Value, what)
		return
	case "writable":
		point.Writable = p.Truth(e.Value, what)
		return
	case "rate":
		point.Rate = p.Truth(e.Value, what)
		return
	}
	text, ok := p.Text(e.Value, e.Name+" of "+what)
	if !ok {
		return
	}
	switch e.Name {
	case "type":
		t, err := model.ParseType(text)
		if err != nil || !slices.Contains(typeNames, text) {
			p.Add(yamlfile.MarkOf(e.Value), yamlfile.DidYouMean(text, typeNames), "%.80q is no type of a point", text)
		}
		point.Type = t
	case "unit":
		point.Unit = text
	case "description":
		point.Description = text
	case "right":
		right, err := model.ParseRight(text)
		if err != nil || right < model.RightOperate {
			p.Add(yamlfile.MarkOf(e.Value), "write operate, configure or administer", "%.80q is not a right to set something", text)
		}
		point.Right = right
	case "scale":
		point.Scale = p.number(e, text)
		if point.Scale == 0 {
			p.Add(yamlfile.MarkOf(e.Value), "write a number that is not 0", "scale is %s", text)
		}
	case "offset":
		point.Offset = p.number(e, text)
	case "min":
		limit := p.number(e, text)
		point.Min = &limit
	case "max":
		limit := p.number(e, text)
		point.Max = &limit
	}
}

func (p *parser) number(e yamlfile.Entry, text string) float64 {
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
		p.Add(yamlfile.MarkOf(e.Value), "write a number, like 0.1", "%s is %.80q", e.Name, text)
	}
	return number
}

func (p *parser) values(n *yaml.Node, what string) map[int64]string {
	entries, _ := p.Mapping(n, "values of "+what)
	if len(entries) > maxValues {
		p.Add(yamlfile.MarkOf(n), "name only those that occur", "%d values are named, at most %d can be", len(entries), maxValues)
		return nil
	}
	values := make(map[int64]string, len(entries))
	for _, e := range entries {
		raw, err := strconv.ParseInt(e.Name, 0, 64)
		if err != nil {
			p.Add(yamlfile.MarkOf(e.Key), "write NUMBER: name", "%.80q is not a whole number", e.Name)
		}
		if _, twice := values[raw]; twice && err == nil {
			p.Add(yamlfile.MarkOf(e.Key), "remove one of them", "the number %d is named twice", raw)
		}
		values[raw], _ = p.Text(e.Value, "the name of "+e.Name)
	}
	return values
}

func (p *parser) tables(n *yaml.Node) {
	entries, _ := p.Mapping(n, "tables")
	if len(entries) > MaxTables {
		p.Add(yamlfile.MarkOf(n), "split the profile", "%d tables are given, at most %d are allowed", len(entries), MaxTables)
		return
	}
	for _, e := range entries {
		if err := model.CheckName(e.Name); err != nil || strings.Contains(e.Name, ".") {
			p.Add(yamlfile.MarkOf(e.Key), "use letters, digits, _ and -", "%.80q cannot be the name of a table", e.Name)
			continue
		}
		p.profile.Tables = append(p.profile.Tables, p.table(e))
	}
}

func (p *parser) table(e yamlfile.Entry) Table {
	what := "the table " + e.Name
	table := Table{Name: e.Name}
	entries, _ := p.Mapping(e.Value, what)
	var own []yamlfile.Entry
	columns := false
	for _, entry := range entries {
		switch entry.Name {
		case "title":
			table.Title, _ = p.Text(entry.Value, "title of "+what)
		case "description":
			table.Description, _ = p.Text(entry.Value, "description of "+what)
		case "label":
			table.Label, _ = p.Text(entry.Value, "label of "+what)
		case "columns":
			table.Columns, columns = p.points(entry.Value, "columns of "+what, MaxColumns), true
		default:
			own = append(own, entry)
		}
	}
	if !columns {
		p.Add(yamlfile.MarkOf(e.Key), "add columns:", "%s has no columns", what)
	}
	table.Title = cmp.Or(table.Title, e.Name)
	table.Source = p.source(e.Key, what, tableKeys, own, entries)
	return table
}

// names are the names of a point's values, in the order of their numbers, as many as a message bears.
func (p *Point) names() string {
	var numbers []int64
	for number := range p.Values {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	const most = 20
	var names []string
	for _, number := range numbers[:min(most, len(numbers))] {
		names = append(names, p.Values[number])
	}
	if len(numbers) > most {
		names = append(names, "...")
	}
	return strings.Join(names, ", ")
}
