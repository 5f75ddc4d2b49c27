package exec

import (
	"path/filepath"
	"slices"
	"strings"

	"banyan/devices"
	"banyan/model"
)

// The driver's variables, by their index in the shape.
const (
	variableExitCode = iota
	firstPoint
)

// Limits of the settings.
const (
	maxText      = 64 << 10
	maxArguments = 256
	maxPoints    = 500
)

var schema = &model.Schema{
	Kind:        Kind,
	Description: "A program on this machine that measures something.",
	Settings: []model.Setting{
		local("program", "The program to run: an absolute path in the folder exec of the node's directory.", false),
		local("arguments", "Its arguments, one in each line; nothing in them is expanded.", false),
		local("environment", "Its environment variables, NAME=value in each line; there are no others but PATH, HOME, TMPDIR and LANG.", false),
		local("secret_environment", "The same for those with secrets.", true),
		{Name: "points", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure,
			Description: "What it prints: one \"name:type\" or \"name:type:unit\" in each line, with the types bool, int64, float64, string, duration and time."},
	},
	Variables: []model.Variable{
		variableExitCode: {Name: "exit_code", Type: model.TypeInt64, Description: "The code with which the program ended: 0 is good, -1 means that a signal ended it."},
	},
}

// local is a setting of what runs on this machine: nobody sets it from another one.
func local(name, description string, secret bool) model.Setting {
	s := model.Setting{Name: name, Type: model.TypeString, Description: description, Right: model.RightAdminister, Local: true, Secret: secret}
	if !secret {
		s.Default = model.String("")
	}
	return s
}

// shapeOf is the schema with the points behind the driver's variable.
func shapeOf(points []point) *model.Schema {
	s := *schema
	s.Variables = slices.Clone(schema.Variables)
	for _, p := range points {
		s.Variables = append(s.Variables, model.Variable{Name: p.name, Type: p.kind, Unit: p.unit, Description: "Printed by the program."})
	}
	return &s
}

// point is one value that the program prints.
type point struct {
	name string
	kind model.Type
	unit string
}

// options are the settings in Go's types.
type options struct {
	program     string
	arguments   []string
	environment []string
	points      []point
}

func parse(s devices.Settings, dir string) (options, error) {
	o := options{program: s["program"].Text()}
	if o.program == "" {
		return o, devices.BadSetting("program", "it is missing: give the absolute path of a program in the folder exec of the node's directory")
	}
	if !filepath.IsAbs(o.program) || filepath.Clean(o.program) != o.program || strings.ContainsRune(o.program, 0) {
		return o, devices.BadSetting("program", "it is not an absolute path without detours")
	}
	if inside, err := filepath.Rel(dir, o.program); dir != "" && (err != nil || inside == "." || !filepath.IsLocal(inside)) {
		return o, devices.BadSetting("program", "it does not lie in the folder exec of the node's directory; put it there, owned by root or by the node's user")
	}
	var err error
	if o.arguments, err = lines("arguments", s); err != nil {
		return o, err
	}
	for _, name := range []string{"environment", "secret_environment"} {
		all, err := lines(name, s)
		if err != nil {
			return o, err
		}
		for i, text := range all {
			if at := strings.IndexByte(text, '='); at < 1 || strings.ContainsAny(text[:at], " \t") {
				return o, devices.BadSetting(name, "line %d is not NAME=value", i+1)
			}
		}
		o.environment = append(o.environment, all...)
	}
	o.points, err = parsePoints(s["points"].Text())
	return o, err
}

// lines are the lines of a setting; the last one may end or not. What is refused is not repeated.
func lines(name string, s devices.Settings) ([]string, error) {
	text := s[name].Text()
	if len(text) > maxText || strings.ContainsRune(text, 0) {
		return nil, devices.BadSetting(name, "it has more than %d bytes, or one that is zero", maxText)
	}
	if text == "" {
		return nil, nil
	}
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(all) > maxArguments {
		return nil, devices.BadSetting(name, "it has %d lines, at most %d are allowed", len(all), maxArguments)
	}
	return all, nil
}

var pointTypes = []model.Type{model.TypeBool, model.TypeInt64, model.TypeFloat64, model.TypeString, model.TypeDuration, model.TypeTime}

func parsePoints(text string) ([]point, error) {
	var points []point
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		parts := strings.SplitN(line, ":", 3)
		if len(parts) < 2 {
			return nil, devices.BadSetting("points", "line %d, %q, is not \"name:type\" or \"name:type:unit\"", number, line)
		}
		p := point{name: strings.TrimSpace(parts[0])}
		kind, err := model.ParseType(strings.TrimSpace(parts[1]))
		if err != nil || !slices.Contains(pointTypes, kind) {
			return nil, devices.BadSetting("points", "line %d: %q is not a type of a point: use bool, int64, float64, string, duration or time", number, parts[1])
		}
		if p.kind = kind; len(parts) == 3 {
			p.unit = strings.TrimSpace(parts[2])
		}
		if len(p.unit) > 32 {
			return nil, devices.BadSetting("points", "line %d: the unit has more than 32 bytes", number)
		}
		points = append(points, p)
	}
	switch {
	case len(points) == 0:
		return nil, devices.BadSetting("points", "it is empty: say what the program prints, like temperature:float64:°C")
	case len(points) > maxPoints:
		return nil, devices.BadSetting("points", "there are %d, at most %d are allowed", len(points), maxPoints)
	}
	if err := devices.Complete(shapeOf(points)).Validate(); err != nil {
		return nil, devices.BadSetting("points", "%v", err)
	}
	return points, nil
}
