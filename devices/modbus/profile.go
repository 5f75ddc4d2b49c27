package modbus

import (
	"math"
	"slices"
	"strings"

	"banyan/model"
	"banyan/profiles"
	"banyan/yamlfile"
)

// Keys that this driver adds to profiles.
type (
	// optionKeys are those of the whole device.
	optionKeys struct {
		Order        string `profile:"order"`         // of points that give none
		Area         string `profile:"area"`          // of points that give none
		Base         int64  `profile:"base"`          // 1 where the maker's table counts from 1
		MaxRegisters int64  `profile:"max_registers"` // in one request
		Gap          int64  `profile:"gap"`           // unused registers that are read along rather than asked around
	}
	// pointKeys are those of a point.
	pointKeys struct {
		Register int64  `profile:"register,required"`
		Area     string `profile:"area"`
		Format   string `profile:"format"`
		Order    string `profile:"order"`
		Length   int64  `profile:"length"` // of a string, in registers
		Bit      int64  `profile:"bit"`    // of a bit, 0 the least significant
	}
	// tableKeys are those of blocks of registers that repeat: channels, phases, inverters.
	tableKeys struct {
		Count  int64  `profile:"count,required"`
		Stride int64  `profile:"stride,required"`
		Row    string `profile:"row"` // what a row is called; # stands for its number from 1
	}
)

// layout is what a profile means to this driver. It hangs in Profile.Driver.
type layout struct {
	maxRegisters, gap int
	points            []*point
	tables            []tableLayout
	schemas           []*model.Schema // of rows, one for each table
}

type tableLayout struct {
	name, title   string
	count, stride int
	row, label    string
	columns       []*point
}

// point is where a value stands.
type point struct {
	*profiles.Point
	area   area
	first  int
	count  int // registers, or 1 bit
	format format
	order  string
	bit    int
}

const mostRows = 1000

// Check reads the keys of Modbus in a profile.
func Check(p *profiles.Profile) {
	o := optionKeys{Order: orderBig, Area: "holding", MaxRegisters: mostRegisters, Gap: 8}
	if !p.Options.Decode(&o) {
		return
	}
	if o.MaxRegisters < 1 || o.MaxRegisters > mostRegisters {
		p.Options.Fault("max_registers", "write 1 to 125", "one request cannot read %d registers", o.MaxRegisters)
	}
	if o.Base != 0 && o.Base != 1 {
		p.Options.Fault("base", "write 0 or 1", "registers are counted from 0 or from 1")
	}
	if o.Gap < 0 || o.Gap > mostRegisters {
		p.Options.Fault("gap", "write 0 to 125", "a gap has 0 to 125 registers")
	}
	l := &layout{maxRegisters: int(o.MaxRegisters), gap: int(o.Gap)}
	for i := range p.Points {
		l.points = append(l.points, checkPoint(&p.Points[i], &o, 0))
	}
	for i := range p.Tables {
		l.tables = append(l.tables, checkTable(&p.Tables[i], &o))
		l.schemas = append(l.schemas, nil)
	}
	for i := range p.Tables {
		l.schemas[i] = p.Tables[i].Schema(Kind)
	}
	p.Driver = l
}

func checkTable(t *profiles.Table, o *optionKeys) tableLayout {
	k := tableKeys{Row: "#"}
	t.Source.Decode(&k)
	if k.Count < 1 || k.Count > mostRows {
		t.Source.Fault("count", "write 1 to 1000", "it repeats %d times", k.Count)
		k.Count = 1
	}
	if k.Stride < 1 || k.Stride > math.MaxUint16 {
		t.Source.Fault("stride", "write how many registers lie from one row to the next", "the stride is %d", k.Stride)
	}
	if first := strings.ReplaceAll(k.Row, "#", "1"); first == k.Row || model.CheckSegment(first) != nil {
		t.Source.Fault("row", "write letters and digits with a # for the number, like phase-#", "%.40q cannot be the name of a row", k.Row)
	}
	l := tableLayout{name: t.Name, title: t.Title, count: int(k.Count), stride: int(k.Stride), row: k.Row, label: t.Label}
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Writable {
			c.Source.Fault("writable", "leave it out, or make it a point of its own", "columns of tables cannot be written")
		}
		l.columns = append(l.columns, checkPoint(c, o, (l.count-1)*l.stride))
	}
	return l
}

// checkPoint reads a point; reach is how far behind it the last row lies.
func checkPoint(p *profiles.Point, o *optionKeys, reach int) *point {
	k := pointKeys{Area: o.Area, Order: o.Order, Bit: -1}
	if !p.Source.Decode(&k) {
		return &point{Point: p}
	}
	a, known := areas[k.Area]
	if !known {
		p.Source.Fault("area", "write coil, discrete, holding or input", "there is no area %.40q", k.Area)
	}
	f := checkFormat(p, &k, a)
	l := &point{Point: p, area: a, first: int(k.Register - o.Base), count: max(1, f.registers), format: f, order: k.Order, bit: int(k.Bit)}
	if f.name == "string" {
		l.count = int(k.Length)
	}
	if k.Register-o.Base < 0 || l.first+reach+l.count-1 > math.MaxUint16 {
		p.Source.Fault("register", "write 0 to 65535, and begin with 1 where options say base: 1", "register %d is outside of what there is", k.Register)
	}
	if !slices.Contains(orders, k.Order) {
		p.Source.Fault("order", yamlfile.DidYouMean(k.Order, orders), "there is no order %.40q", k.Order)
	}
	if p.Writable && (!a.writable || f.name == "string" || f.name == "bit" && !a.bits) {
		p.Source.Fault("writable", "leave it out", "this cannot be written: coils and numbers in holding registers can")
	}
	if p.Rate {
		p.Source.Fault("rate", "leave it out", "this driver makes no rates")
	}
	return l
}

func checkFormat(p *profiles.Point, k *pointKeys, a area) format {
	switch {
	case k.Format == "" && (a.bits || k.Bit >= 0):
		k.Format = "bit"
	case k.Format == "":
		k.Format = "uint16"
	}
	f, known := formats[k.Format]
	if !known {
		names := make([]string, 0, len(formats))
		for name := range formats {
			names = append(names, name)
		}
		slices.Sort(names)
		p.Source.Fault("format", yamlfile.DidYouMean(k.Format, names), "there is no format %.40q", k.Format)
		return f
	}
	switch {
	case a.bits && f.name != "bit":
		p.Source.Fault("format", "leave it out", "a %s is a bit", a.name)
	case f.name == "bit" && !a.bits && (k.Bit < 0 || k.Bit > 15):
		p.Source.Fault("bit", "write 0 (the least significant) to 15", "a bit of a register needs its number")
	case f.name == "string" && (k.Length < 1 || k.Length > mostRegisters):
		p.Source.Fault("length", "write how many registers it fills, 1 to 125", "a string needs its length")
	case f.name != "string" && k.Length != 0:
		p.Source.Fault("length", "leave it out", "only strings have a length")
	}
	if p.Type == model.TypeNone {
		p.Type = f.typ
	}
	if text := p.Type == model.TypeString && p.Values == nil; text != (f.name == "string") || f.name == "bit" && p.Values == nil && p.Type != model.TypeBool {
		p.Source.Fault("type", "leave type out", "a %s cannot be a %s", f.name, strings.ToLower(p.Type.String()))
	}
	return f
}
