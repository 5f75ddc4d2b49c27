package snmp

import (
	"slices"

	"banyan/model"
	"banyan/profiles"
)

// plan is what to ask a device for, made of the built-in profile and its own. It is made once and shared by all devices that have it.
type plan struct {
	profile *profiles.Profile // nil where the device has none
	schema  *model.Schema
	objects []oid // each once
	points  []point
	tables  []*tablePlan
}

// point is a variable and where its value comes from.
type point struct {
	*object
	declared *profiles.Point
	variable int
	from     []int // places in the plan's objects, or in the table's columns; the first that the device has counts
	lookup   int   // place in the table's lookups, -1 for none
}

// tablePlan is a table of a plan.
type tablePlan struct {
	*table
	declared *profiles.Table
	columns  []oid // each once
	points   []point
	lookups  []oid // columns of other tables, each once
	rates    bool
	usage    bool // it has the extra columns of interfaces
	rowsFrom []int
}

// The objects that every poll begins with.
const (
	objectUptime = iota
	objectEngineTime
	objectEngineBoots
	fixedObjects
)

const (
	oidUptime oid = ".1.3.6.1.2.1.1.3" // without .0: in bulk requests one asks for what comes next
	oidDescr  oid = ".1.3.6.1.2.1.1.1.0"
	oidObject oid = ".1.3.6.1.2.1.1.2.0"
)

// newPlan makes a plan for devices with a profile, or without one.
func newPlan(p *profiles.Profile) *plan {
	made := &plan{profile: p, schema: driverSchema, objects: []oid{
		objectUptime: oidUptime + ".0", objectEngineTime: ".1.3.6.1.6.3.10.2.1.3.0", objectEngineBoots: ".1.3.6.1.6.3.10.2.1.2.0",
	}}
	made.add(builtin, ownVariables, true)
	if p != nil {
		made.schema = p.Schema(driverSchema)
		made.add(p, len(driverSchema.Variables), false)
	}
	return made
}

// add takes over a profile whose variables begin at first.
func (pl *plan) add(p *profiles.Profile, first int, builtin bool) {
	for i := range p.Points {
		pl.points = append(pl.points, newPoint(&p.Points[i], first+i, &pl.objects, nil))
	}
	for i := range p.Tables {
		if builtin && pl.profile != nil && !pl.profile.Driver.(*extras).interfaces {
			continue
		}
		declared := &p.Tables[i]
		t := &tablePlan{table: declared.Driver.(*table), declared: declared, usage: builtin}
		for j := range declared.Columns {
			c := newPoint(&declared.Columns[j], j, &t.columns, &t.lookups)
			t.rates = t.rates || declared.Columns[j].Rate
			t.points = append(t.points, c)
		}
		if t.rows >= 0 {
			t.rowsFrom = t.points[t.rows].from
		}
		pl.tables = append(pl.tables, t)
	}
}

func newPoint(declared *profiles.Point, variable int, objects, lookups *[]oid) point {
	p := point{object: declared.Driver.(*object), declared: declared, variable: variable, lookup: -1}
	if p.by >= 0 {
		p.lookup = enlist(p.oids[0], lookups)
		return p
	}
	for _, o := range p.oids {
		p.from = append(p.from, enlist(o, objects))
	}
	return p
}

// enlist is where an identifier stands in a list, to which it is added where it is not there yet.
func enlist(o oid, list *[]oid) int {
	if at := slices.Index(*list, o); at >= 0 {
		return at
	}
	*list = append(*list, o)
	return len(*list) - 1
}
