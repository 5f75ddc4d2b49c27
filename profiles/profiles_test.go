package profiles

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"banyan/model"
	"banyan/yamlfile"
)

var update = flag.Bool("update", false, "write what is found as what is wanted")

// register is what a made-up driver reads of a point.
type register struct {
	Register int64             `profile:"register,required"`
	Order    string            `profile:"order"`
	Names    []string          `profile:"names"`
	Every    time.Duration     `profile:"every"`
	Flags    map[string]string `profile:"flags"`
	Factor   float64           `profile:"factor"`
	Signed   bool              `profile:"signed"`
	Mask     uint64            `profile:"mask"`
}

var checks = map[string]Check{"bus": func(p *Profile) {
	var options struct {
		Unit int64 `profile:"unit"`
	}
	p.Options.Decode(&options)
	for i := range p.Points {
		var r register
		if p.Points[i].Source.Decode(&r) && r.Register > 65535 {
			p.Points[i].Source.Fault("register", "write 0 to 65535", "there is no register %d", r.Register)
		}
		if p.Points[i].Type == model.TypeNone {
			p.Points[i].Type = model.TypeInt64
		}
		p.Points[i].Driver = r
	}
	for i := range p.Tables {
		var own struct {
			First int64 `profile:"first,required"`
		}
		p.Tables[i].Source.Decode(&own)
		for j := range p.Tables[i].Columns {
			var r register
			p.Tables[i].Columns[j].Source.Decode(&r)
		}
	}
}}

const good = `kind: bus
title: A meter
match: {}
options: {unit: 3}
points:
  voltage: {register: 10, scale: 0.1, unit: V, min: 0, max: 300, description: Between phases, names: one, every: 5s, flags: {a: b}, mask: 0xff}
  state: {register: 11, values: {0: off, 1: "on"}, writable: true}
  count: {register: 12, signed: true, factor: 2.5}
  setpoint: {register: 13, type: float64, scale: 0.5, offset: -10, writable: true, right: configure, min: 5, max: 30}
tables:
  phases:
    first: 100
    label: name
    columns:
      name: {type: string, register: 0}
      power: {type: float64, unit: W, register: 1}
`

func TestGood(t *testing.T) {
	p, err := Parse("meter.yaml", "meter", []byte(good), checks)
	if err != nil {
		t.Fatal(err)
	}
	voltage, _ := p.Point("voltage")
	r := voltage.Driver.(register)
	if r.Register != 10 || len(r.Names) != 1 || r.Every != 5*time.Second || r.Flags["a"] != "b" || r.Mask != 255 {
		t.Errorf("the driver's keys: %+v", r)
	}
	shape := p.Schema(&model.Schema{Kind: "bus", Variables: []model.Variable{{Name: "first", Type: model.TypeBool}}})
	if len(shape.Variables) != 5 || shape.Variables[1].Name != "voltage" || shape.Variables[1].Type != model.TypeFloat64 || shape.Variables[1].Unit != "V" {
		t.Errorf("shape: %+v", shape.Variables)
	}
	if v := shape.Variables[4]; !v.Writable || v.Right != model.RightConfigure {
		t.Errorf("setpoint: %+v", v)
	}
	if err := shape.Validate(); err != nil {
		t.Error(err)
	}
	if row := p.Tables[0].Schema("bus"); row.Kind != "bus.phases" || len(row.Variables) != 2 {
		t.Errorf("row: %+v", row)
	}
}

func TestConvert(t *testing.T) {
	p, err := Parse("meter.yaml", "meter", []byte(good), checks)
	if err != nil {
		t.Fatal(err)
	}
	out := model.Quality{Level: model.Uncertain, Reason: model.ReasonRange}
	for _, c := range []struct {
		point   string
		raw     float64
		value   model.Value
		quality model.Quality
	}{
		{"voltage", 2301, model.Float64(230.1), model.QualityGood},
		{"voltage", 4000, model.Float64(400), out},
		{"state", 1, model.String("on"), model.QualityGood},
		{"state", 7, model.String("7"), model.QualityGood},
		{"count", -3, model.Int64(-3), model.QualityGood},
		{"setpoint", 61, model.Float64(20.5), model.QualityGood},
	} {
		point, _ := p.Point(c.point)
		v, q, err := point.Convert(c.raw)
		if err != nil || !v.Equal(c.value) || q != c.quality {
			t.Errorf("%s of %v: %v %v %v, want %v %v", c.point, c.raw, v, q, err, c.value, c.quality)
		}
	}
	count, _ := p.Point("count")
	if v, _, _ := count.ConvertInt(1<<62 + 1); v.Int64() != 1<<62+1 {
		t.Errorf("a large number lost digits: %v", v)
	}
	if _, _, err := count.Convert(1e300); err == nil {
		t.Error("1e300 became an int64")
	}
	setpoint, _ := p.Point("setpoint")
	state, _ := p.Point("state")
	for _, c := range []struct {
		point *Point
		value model.Value
		raw   float64
		fails bool
	}{
		{setpoint, model.Float64(20.5), 61, false}, {setpoint, model.Float64(4.9), 0, true}, {setpoint, model.Float64(31), 0, true},
		{state, model.String("on"), 1, false}, {state, model.String("sideways"), 0, true},
	} {
		raw, err := c.point.Raw(c.value)
		if (err != nil) != c.fails || err == nil && raw != c.raw {
			t.Errorf("%s to %v: %v, %v", c.point.Name, c.value, raw, err)
		}
	}
}

// TestBroken: each broken file is answered with where, what and what to do.
func TestBroken(t *testing.T) {
	files, _ := filepath.Glob("testdata/broken/*.yaml")
	if len(files) < 12 {
		t.Fatalf("there are %d broken files", len(files))
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(name+".yaml", name, source, checks)
			var problems yamlfile.Problems
			if !errors.As(err, &problems) || model.KindOf(err) != model.KindInvalid {
				t.Fatalf("it is taken for a profile: %v", err)
			}
			golden := strings.TrimSuffix(path, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, _ := os.ReadFile(golden)
			if got := err.Error() + "\n"; got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestRegistry(t *testing.T) {
	dir := t.TempDir()
	r, err := NewRegistry(Config{Dir: dir, Checks: checks, Shipped: fstest.MapFS{"meter.yaml": {Data: []byte(good)}}})
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, source string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look := func(want string) {
		t.Helper()
		if got := strings.Join(r.look(), ","); got != want {
			t.Errorf("changed: %q, want %q", got, want)
		}
	}
	title := func(want string) {
		t.Helper()
		p, err := r.Profile("bus", "meter")
		if err != nil || p.Title != want {
			t.Errorf("%v, %v, want %s", p, err, want)
		}
	}
	title("A meter")
	write("meter", strings.Replace(good, "A meter", "Mine", 1))
	look("meter")
	look("")
	title("Mine")
	write("meter", "kind: bus\npoints: {a: {register: x}}\n")
	look("")
	title("Mine") // a slip leaves it as it was
	if r.Problems()["meter"] == nil {
		t.Error("nobody is told of the slip")
	}
	write("other", "kind: nothing\n")
	look("")
	if _, err := r.Profile("bus", "other"); err == nil || !strings.Contains(err.Error(), "other.yaml:1:7") {
		t.Errorf("a broken profile: %v", err)
	}
	if _, err := r.Profile("bus", "none"); err == nil || !strings.Contains(err.Error(), "there are meter") {
		t.Errorf("a profile that is not there: %v", err)
	}
	if _, err := r.Profile("snmp", "meter"); err == nil {
		t.Error("a profile for other devices is taken")
	}
	if err := os.Remove(filepath.Join(dir, "meter.yaml")); err != nil {
		t.Fatal(err)
	}
	look("meter")
	title("A meter")
	if len(r.Problems()) != 1 || len(r.All("bus")) != 1 {
		t.Errorf("problems %v, profiles %v", r.Problems(), r.All("bus"))
	}
}

// FuzzParse: whatever a file holds, the answer is a profile that makes a valid schema, or problems.
func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	files, _ := filepath.Glob("testdata/broken/*.yaml")
	for _, path := range files {
		source, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		p, err := Parse("fuzz.yaml", "fuzz", source, checks)
		var problems yamlfile.Problems
		switch {
		case err != nil && (!errors.As(err, &problems) || len(problems) == 0):
			t.Errorf("an error without problems: %v", err)
		case err == nil:
			if err := p.Schema(&model.Schema{Kind: p.Kind}).Validate(); err != nil {
				t.Error(err)
			}
		}
		for _, problem := range problems {
			if problem.Line < 1 || problem.Column < 1 || problem.Text == "" || problem.Remedy == "" {
				t.Errorf("a problem without a place or a remedy: %+v", problem)
			}
		}
	})
}
