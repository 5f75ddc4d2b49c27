package settings

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/model"
)

var ruleColumns = []model.Column{{Name: "pattern", Type: model.TypeString}, {Name: "right", Type: model.TypeString}}

// allKinds are kinds of which one has settings of every type, with and without defaults.
func allKinds() map[string]*Kind {
	rules := Setting{Name: "rules", Type: model.TypeTable, Default: model.TableValue(&model.Table{Columns: ruleColumns})}
	all := &Kind{Name: "all", Creatable: true, Whole: true}
	for t, standard := range map[model.Type]model.Value{
		model.TypeBool: model.Bool(true), model.TypeInt64: model.Int64(5), model.TypeFloat64: model.Float64(1.5), model.TypeString: model.String("usual"),
		model.TypeBytes: model.Bytes([]byte("x")), model.TypeTime: model.Instant(1e18), model.TypeDuration: model.Duration(5 * time.Second),
		model.TypeRef: model.Ref(model.Address{Path: model.MustPath("/devices")}), model.TypeTable: model.TableValue(&model.Table{
			Columns: []model.Column{{Name: "b", Type: model.TypeBool}, {Name: "f", Type: model.TypeFloat64}, {Name: "s", Type: model.TypeString}, {Name: "r", Type: model.TypeRef}},
		}),
	} {
		all.Settings = append(all.Settings, Setting{Name: "a_" + t.String(), Type: t, Default: standard}, Setting{Name: "b_" + t.String(), Type: t})
	}
	slices.SortFunc(all.Settings, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	all.Settings = append(all.Settings, Setting{Name: "key", Type: model.TypeString, Secret: true}, Setting{Name: "blob", Type: model.TypeBytes, Secret: true})
	return map[string]*Kind{
		"all": all, "folder": {Name: "folder", Creatable: true}, "node": {Name: "node", Settings: []Setting{{Name: "hosts", Type: model.TypeString, Default: model.String("localhost")}}},
		"user": {Name: "user", Creatable: true, Whole: true, Settings: []Setting{
			{Name: "password", Type: model.TypeString, Secret: true}, {Name: "enabled", Type: model.TypeBool, Default: model.Bool(true)},
			{Name: "roles", Type: model.TypeString, Default: model.String("")}, rules,
		}},
		"role": {Name: "role", Creatable: true, Settings: []Setting{rules}}, "link": {Name: "link"},
		"simulator": {Name: "simulator", Creatable: true, Whole: true, Settings: []Setting{
			{Name: "poll_interval", Type: model.TypeDuration, Default: model.Duration(5 * time.Second)}, {Name: "points", Type: model.TypeInt64, Default: model.Int64(1)},
			{Name: "step", Type: model.TypeFloat64, Default: model.Float64(1)}, {Name: "mode", Type: model.TypeString, Default: model.String("counter")},
			{Name: "key", Type: model.TypeString, Secret: true}, {Name: "flag", Type: model.TypeBool, Default: model.Bool(false)},
			{Name: "table", Type: model.TypeTable},
		}},
	}
}

// empty is a node that was just made.
func empty() *State {
	s := &State{Node: "berlin", Change: 7, Kinds: allKinds(), Contexts: map[model.Path]*Context{}}
	s.put(&Context{Path: model.MustPath("/system"), Kind: s.Kinds["node"], Label: "This node", Usual: "This node", Fixed: true})
	for path, label := range map[string]string{"/devices": "Devices", "/users": "Users", "/roles": "Roles"} {
		s.put(&Context{Path: model.MustPath(path), Kind: s.Kinds["folder"], Label: label, Usual: label, Fixed: true})
	}
	return s
}

var revisions uint64

func (s *State) put(c *Context) *Context {
	revisions++
	c.Revision = model.Revision{Epoch: model.Epoch{Ordinal: 1, Random: 1}, Number: revisions}
	if c.Values == nil {
		c.Values = map[string]model.Value{}
	}
	if c.Secrets == nil {
		c.Secrets = map[string]bool{}
	}
	s.Contexts[c.Path] = c
	return c
}

// do does what a plan says, as a node would.
func (s *State) do(t testing.TB, plan *Plan) {
	t.Helper()
	for _, b := range plan.Batches {
		for _, e := range b.Edits {
			switch e.Op {
			case Create:
				if s.Contexts[e.Path] != nil {
					t.Fatalf("%s is made and there already", e.Path)
				}
				s.put(&Context{Path: e.Path, Kind: s.Kinds[e.Kind]})
			case Change:
				if s.Contexts[e.Path].Revision != e.Expected {
					t.Fatalf("%s is changed at %v", e.Path, e.Expected)
				}
			case Remove:
				for path := range s.Contexts {
					if path != e.Path && e.Path.Contains(path) && !s.Contexts[path].Found {
						t.Fatalf("%s goes before %s", e.Path, path)
					}
				}
				delete(s.Contexts, e.Path)
				continue
			}
			c := s.Contexts[e.Path]
			if e.Label != nil {
				c.Label = *e.Label
			}
			for _, a := range e.Settings {
				switch {
				case slices.Contains(e.Secrets, a.Name):
					c.Secrets[a.Name] = !a.Value.IsNone()
				case a.Value.IsNone():
					delete(c.Values, a.Name)
				default:
					c.Values[a.Name] = a.Value
				}
			}
		}
	}
}

// shown is what a state says of what files hold, without revisions.
func (s *State) shown() string {
	var all strings.Builder
	for _, path := range s.paths() {
		c := s.Contexts[path]
		if s.left(c, model.Root, "") != "" {
			continue
		}
		fmt.Fprintf(&all, "%s %s %q\n", path, c.Kind.Name, c.Label)
		for i := range c.Kind.Settings {
			d := &c.Kind.Settings[i]
			fmt.Fprintf(&all, "  %s %v %s\n", d.Name, c.Secrets[d.Name], c.value(d).JSON())
		}
	}
	return all.String()
}

func readNothing(name string) ([]byte, error) { return nil, fmt.Errorf("open %s: no such file", name) }

// planned reads and plans a file that is right.
func planned(t testing.TB, source []byte, state *State, options Options) *Plan {
	t.Helper()
	file, err := Read("f.yaml", source, readNothing)
	if err != nil {
		t.Fatalf("%v\n%s", err, source)
	}
	plan, err := file.Plan(state, options)
	if err != nil {
		t.Fatalf("%v\n%s", err, source)
	}
	return plan
}

func knowsAll(name string) (string, bool) { return "c2VjcmV0" + name[:0], true }

// TestExportAppliedIsEqual makes random nodes over all kinds and types of values: what is written of one and done at an empty one makes it equal, and
// planned again it changes nothing.
func TestExportAppliedIsEqual(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	for range 300 {
		from := randomState(random)
		file := Write(from, model.Root)
		to := empty()
		to.do(t, planned(t, file, to, Options{Secret: knowsAll}))
		if got, want := to.shown(), from.shown(); got != want {
			t.Fatalf("\n%s\nbecame\n%s\nthrough\n%s", want, got, file)
		}
		if again := planned(t, file, to, Options{Secret: knowsAll, Prune: true}); !again.Empty() {
			t.Fatalf("planned again: %v\n%s", again.Lines(), file)
		}
		if back := Write(to, model.Root); bodyOf(back) != bodyOf(file) {
			t.Fatalf("written again\n%s\nwas\n%s", back, file)
		}
		other := randomState(random) // and any node becomes it, when what is too much goes
		for path, c := range other.Contexts {
			if was := from.Contexts[path]; was != nil && was.Kind.Name != c.Kind.Name {
				delete(other.Contexts, path) // kinds stay
			}
		}
		other.do(t, planned(t, file, other, Options{Secret: knowsAll, Prune: true}))
		if rest := planned(t, file, other, Options{Secret: knowsAll, Prune: true}); !rest.Empty() {
			t.Fatalf("of another node remains %v", rest.Lines())
		}
	}
}

// bodyOf is a file without the comments at its top.
func bodyOf(file []byte) string {
	_, body, _ := strings.Cut(string(file), "\nversion:")
	return body
}

func randomState(random *rand.Rand) *State {
	s := empty()
	names := []string{"a", "b.c", "12", "x_y-z", "null", "true"}
	var below []string
	for range random.IntN(8) {
		parent := "/devices"
		if len(below) > 0 && random.IntN(2) == 0 {
			parent = below[random.IntN(len(below))]
		}
		path := parent + "/" + names[random.IntN(len(names))]
		if s.Contexts[model.MustPath(path)] != nil {
			continue
		}
		kind := []string{"all", "folder", "simulator"}[random.IntN(3)]
		if kind == "folder" {
			below = append(below, path)
		}
		s.random(random, path, kind)
	}
	for range random.IntN(3) {
		s.random(random, "/users/"+names[random.IntN(len(names))], "user")
		s.random(random, "/roles/"+names[random.IntN(len(names))], "role")
	}
	if random.IntN(3) == 0 {
		s.Contexts[model.MustPath("/system")].Values["hosts"] = randomValue(random, model.TypeString, nil)
		s.Contexts[model.MustPath("/devices")].Label = "Machines"
	}
	if random.IntN(2) == 0 {
		s.put(&Context{Path: model.MustPath("/links/hq"), Kind: s.Kinds["link"]})
		s.put(&Context{Path: model.MustPath("/sites/x/devices"), Kind: s.Kinds["folder"], Owner: "x"})
		s.put(&Context{Path: model.MustPath("/found"), Kind: &Kind{Name: "disk"}, Found: true})
	}
	return s
}

func (s *State) random(random *rand.Rand, path, kind string) {
	c := s.put(&Context{Path: model.MustPath(path), Kind: s.Kinds[kind]})
	if random.IntN(2) == 0 {
		c.Label = randomValue(random, model.TypeString, nil).Text()
	}
	for i := range c.Kind.Settings {
		switch d := &c.Kind.Settings[i]; {
		case random.IntN(2) == 0:
		case d.Secret:
			c.Secrets[d.Name] = true
		default:
			c.Values[d.Name] = randomValue(random, d.Type, d.Default.Table())
		}
	}
}

var texts = []string{
	"", "a", "null", "~", "true", "yes", "12", "0x1F", "1e3", "12:30:45", "1_000", "2026-01-02", ".5", "-", "- a", "a: b", "a #b", "#a", " a", "a ", "a\nb\n", "\t", "\"", "'", "`", "@x",
	"*x", "&x", "!x", "%x", "|", ">", "[a", "{a", "a]", "a}", "a, b", "? x", "Köln", "日本", "\u0085", "\u2028", "\uFEFF", "\x00\x01\x7f", "a\\b", "${x}", "$$", "<<", "=", "0o17", "+1", "NaN", ".inf", "a:", "\U0001F600",
	"/devices/**", "10.0.0.1", "10.0.0.1:161", "::1", "a-b_c.d/e:f", "\r\n", "é\u0301", "off", "N", "123abc", "0b1", "--- ", "...", "key: {secret: x}",
}

func randomValue(random *rand.Rand, t model.Type, usual *model.Table) model.Value {
	switch t {
	case model.TypeBool:
		return model.Bool(random.IntN(2) == 0)
	case model.TypeInt64:
		return model.Int64([]int64{0, 1, -1, math.MaxInt64, math.MinInt64, random.Int64()}[random.IntN(6)])
	case model.TypeFloat64:
		return model.Float64([]float64{0, 3, -0.5, 1e300, 5e-324, math.NaN(), math.Inf(1), math.Inf(-1), random.NormFloat64(), 1e21}[random.IntN(10)])
	case model.TypeString:
		if random.IntN(4) == 0 {
			runes := make([]rune, random.IntN(6))
			for i := range runes {
				runes[i] = rune(random.IntN(0x11000))
			}
			return model.String(string(runes))
		}
		return model.String(texts[random.IntN(len(texts))])
	case model.TypeBytes:
		raw := make([]byte, random.IntN(40))
		for i := range raw {
			raw[i] = byte(random.Uint32())
		}
		return model.Bytes(raw)
	case model.TypeTime:
		return model.Instant(model.Time(random.Int64N(4e18)) * model.Time(random.IntN(3)))
	case model.TypeDuration:
		return model.Duration([]time.Duration{0, time.Hour, -time.Minute, 90 * time.Second, 1, time.Duration(random.Int64()), 10 * time.Hour, 10 * time.Minute}[random.IntN(8)])
	case model.TypeRef:
		return model.Ref(model.Address{Path: model.MustPath([]string{"/", "/devices/a", "/x/12"}[random.IntN(3)]), Name: []string{"", "value"}[random.IntN(2)]})
	}
	table := &model.Table{}
	if usual != nil && random.IntN(3) > 0 {
		table.Columns = usual.Columns
	} else {
		for i := range 1 + random.IntN(4) {
			scalar := []model.Type{model.TypeBool, model.TypeInt64, model.TypeFloat64, model.TypeString, model.TypeBytes, model.TypeTime, model.TypeDuration, model.TypeRef}[random.IntN(8)]
			table.Columns = append(table.Columns, model.Column{Name: fmt.Sprintf("c%d", i), Type: scalar})
		}
	}
	for range random.IntN(4) {
		var row []model.Value
		for _, c := range table.Columns {
			if random.IntN(5) == 0 {
				row = append(row, model.Value{})
				continue
			}
			row = append(row, randomValue(random, c.Type, nil))
		}
		table.Rows = append(table.Rows, row)
	}
	return model.TableValue(table)
}
