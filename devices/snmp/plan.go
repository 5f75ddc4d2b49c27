package snmp

import (
	"slices"

	"banyan/model"
	"banyan/profiles"
)

// plan is what to ask a device for, made of the built-in profile and its own. It is made once and shared by all devices that have it.
type plan struct {
	profile *profiles.Profile   // nil where the device has none
	parts   []*profiles.Profile // itself and those that it is made with
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

// maxWith bounds how many profiles one is made of.
const maxWith = 16

// newPlan makes a plan for devices with a profile, or without one. The profiles that it is made of come first, and what it has itself goes before what
// they call the same.
func newPlan(p *profiles.Profile, named func(name string) (*profiles.Profile, error)) (*plan, error) {
	made := &plan{profile: p, schema: driverSchema, objects: []oid{
		objectUptime: oidUptime + ".0", objectEngineTime: ".1.3.6.1.6.3.10.2.1.3.0", objectEngineBoots: ".1.3.6.1.6.3.10.2.1.2.0",
	}}
	made.points = made.newPoints(builtin.Points, ownVariables)
	if p == nil || p.Driver.(*extras).interfaces {
		made.tables = append(made.tables, newTablePlan(&builtin.Tables[0], true))
	}
	if p == nil {
		return made, nil
	}
	all, err := gather(p, named, nil)
	if err != nil {
		return nil, err
	}
	made.parts = all
	merged := *p
	merged.Points, merged.Tables = nil, nil
	for _, one := range all {
		for i := range one.Points {
			if _, twice := merged.Point(one.Points[i].Name); !twice {
				merged.Points = append(merged.Points, one.Points[i])
			}
		}
		for i := range one.Tables {
			if !slices.ContainsFunc(merged.Tables, func(t profiles.Table) bool { return t.Name == one.Tables[i].Name }) {
				merged.Tables = append(merged.Tables, one.Tables[i])
			}
		}
	}
	made.schema = merged.Schema(driverSchema)
	made.points = append(made.points, made.newPoints(merged.Points, len(driverSchema.Variables))...)
	for i := range merged.Tables {
		made.tables = append(made.tables, newTablePlan(&merged.Tables[i], false))
	}
	return made, nil
}

// outdated reports whether the file of a part has changed since the plan was made.
func (pl *plan) outdated(named func(name string) (*profiles.Profile, error)) bool {
	return slices.ContainsFunc(pl.parts, func(part *profiles.Profile) bool {
		now, err := named(part.Name)
		return err == nil && now != part
	})
}

// gather lists a profile and those that it is made of, each once, itself first.
func gather(p *profiles.Profile, named func(name string) (*profiles.Profile, error), have []*profiles.Profile) ([]*profiles.Profile, error) {
	if slices.Contains(have, p) {
		return have, nil
	}
	have = append(have, p)
	if len(have) > maxWith {
		return nil, model.Errorf(model.KindInvalid, "the profile %s is made of more than %d profiles", have[0].Name, maxWith)
	}
	for _, name := range p.Driver.(*extras).with {
		part, err := named(name)
		if err != nil {
			return nil, model.Errorf(model.KindInvalid, "the profile %s is made with %s: %w", p.Name, name, err)
		}
		if have, err = gather(part, named, have); err != nil {
			return nil, err
		}
	}
	return have, nil
}

// newPoints makes the points of a device, whose variables begin at first.
func (pl *plan) newPoints(declared []profiles.Point, first int) []point {
	points := make([]point, len(declared))
	for i := range declared {
		points[i] = newPoint(&declared[i], first+i, &pl.objects, nil)
	}
	return points
}

func newTablePlan(declared *profiles.Table, usage bool) *tablePlan {
	t := &tablePlan{table: declared.Driver.(*table), declared: declared, usage: usage}
	for i := range declared.Columns {
		t.points = append(t.points, newPoint(&declared.Columns[i], i, &t.columns, &t.lookups))
		t.rates = t.rates || declared.Columns[i].Rate
	}
	if t.rows >= 0 {
		t.rowsFrom = t.points[t.rows].from
	}
	return t
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
