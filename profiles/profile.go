package profiles

import (
	"banyan/model"
)

// Profile is one type of device. It is not changed once it was read.
type Profile struct {
	Name        string // of the file, without .yaml
	Kind        string // of the devices that it is for: snmp, modbus, mqtt, prometheus
	Title       string // what people call such a device
	Description string
	Match       Source // by what the driver finds that a device is of this type
	Options     Source // of the whole device
	Points      []Point
	Tables      []Table
	Shipped     bool // it came with the program
	Driver      any  // what the driver's Check made of it, for Open
}

// Point is one value that a device has.
type Point struct {
	Name        string
	Type        model.Type // of the converted value; TypeNone leaves it to the driver's Check, which must decide
	Unit        string
	Description string
	Scale       float64          // raw value times Scale plus Offset; 1 where none is given
	Offset      float64          //
	Values      map[int64]string // names of the raw numbers; the value is a string then, or stays a number where type says so
	Writable    bool
	Right       model.Right // needed to set it, operate where none is given
	Min, Max    *float64    // of the converted value; outside is uncertain/out-of-range when read, and refused when written
	Rate        bool        // the raw value is a counter, and its increase per second is wanted
	Source      Source      // how the protocol names it
	Driver      any         // what the driver's Check made of it
}

// Table is a list of things of one sort that a device has, each of which becomes a context below it.
type Table struct {
	Name        string // segment of the folder below the device
	Title       string
	Description string
	Label       string // the column whose value is a row's true name; empty leaves it to the driver
	Columns     []Point
	Source      Source
	Driver      any // what the driver's Check made of it
}

// Point finds a point by its name.
func (p *Profile) Point(name string) (*Point, bool) { return find(p.Points, name) }

// Column finds a column by its name.
func (t *Table) Column(name string) (*Point, bool) { return find(t.Columns, name) }

func find(points []Point, name string) (*Point, bool) {
	for i := range points {
		if points[i].Name == name {
			return &points[i], true
		}
	}
	return nil, false
}

// Schema is a schema with the profile's points behind its variables: what a driver answers as the shape of a device. The kind, settings and functions
// are those of base, which is not changed.
func (p *Profile) Schema(base *model.Schema) *model.Schema {
	shape := *base
	shape.Variables = append(shape.Variables[:len(shape.Variables):len(shape.Variables)], variables(p.Points)...)
	if p.Title != "" {
		shape.Description = p.Title
	}
	return &shape
}

// Schema is that of a row, whose kind is the device's with the table's name behind it. The same pointer serves all rows of all devices of a profile
// where the driver keeps it.
func (t *Table) Schema(kind string) *model.Schema {
	description := t.Description
	if description == "" {
		description = t.Title
	}
	return &model.Schema{Kind: kind + "." + t.Name, Description: description, Variables: variables(t.Columns)}
}

func variables(points []Point) []model.Variable {
	list := make([]model.Variable, len(points))
	for i := range points {
		p := &points[i]
		list[i] = model.Variable{Name: p.Name, Type: p.Type, Unit: p.Unit, Description: p.Description, Writable: p.Writable, Right: p.Right}
	}
	return list
}
