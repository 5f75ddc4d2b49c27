package access

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"banyan/model"
)

var (
	genKind   = rapid.SampledFrom([]string{"", "host", "alert", "user", "link"})
	genKinds  = rapid.SliceOfN(rapid.SampledFrom([]string{"host", "alert", "user", "link"}), 0, 2)
	genExport = rapid.Custom(func(t *rapid.T) Export {
		e := Export{
			Name: "e", Paths: rapid.SliceOfN(genPattern, 1, 4).Draw(t, "paths"), Kinds: genKinds.Draw(t, "kinds"), ExceptKinds: genKinds.Draw(t, "except"),
			Secrets: rapid.Bool().Draw(t, "secrets"), People: rapid.Bool().Draw(t, "people"), Right: model.Right(rapid.IntRange(1, 4).Draw(t, "right")),
		}
		if rapid.Bool().Draw(t, "hides") {
			e.Hide = []Hidden{{Kind: genKind.Draw(t, "hidden kind"), Name: "x"}}
		}
		e.Without = rapid.SliceOfN(rapid.SampledFrom(entrySorts[1:]), 0, 2).Draw(t, "without")
		e.Events = model.Severity(rapid.IntRange(0, 6).Draw(t, "events"))
		return e
	})
)

var entrySorts = []model.EntrySort{model.EntryUnknown, model.EntrySetting, model.EntryVariable, model.EntryFunction, model.EntryEvent}

// selects is the definition of an export, without anything compiled.
func (e Export) selects(entity Entity) bool {
	path := entity.Path.String() + "/"
	people := strings.HasPrefix(path, "/users/") || strings.HasPrefix(path, "/roles/") || slices.Contains([]string{"user", "role", "token"}, entity.Kind)
	hidden := func(h Hidden) bool { return h.Name == entity.Name && (h.Kind == "" || h.Kind == entity.Kind) }
	return slices.ContainsFunc(e.Paths, func(p model.Pattern) bool { return p.Matches(entity.Path) }) &&
		(len(e.Kinds) == 0 || slices.Contains(e.Kinds, entity.Kind)) && !slices.Contains(e.ExceptKinds, entity.Kind) && (e.People || !people) &&
		(entity.Name == "" || !slices.ContainsFunc(e.Hide, hidden) && (e.Secrets || !entity.Secret) && e.has(entity.Sort))
}

func (e Export) has(sort model.EntrySort) bool {
	return !slices.Contains(e.Without, sort) && (sort != model.EntryUnknown || len(e.Without) == 0)
}

// showsEvent is the definition of which events an export shows.
func (e Export) showsEvent(entity Entity, severity model.Severity) bool {
	return e.has(model.EntryEvent) && (e.Events <= model.SeverityDebug || severity >= e.Events) &&
		!slices.ContainsFunc(e.Hide, func(h Hidden) bool { return h.Name == entity.Name && (h.Kind == "" || h.Kind == entity.Kind) })
}

func TestSelectionIsTheExport(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genExport.Draw(t, "a"), genExport.Draw(t, "b")
		sa, errA := NewSelection(a, Areas{})
		sb, errB := NewSelection(b, Areas{})
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		both := sa.And(sb)
		e := Entity{Path: genPath.Draw(t, "path"), Kind: genKind.Draw(t, "kind"), Name: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "name"), Secret: rapid.Bool().Draw(t, "secret")}
		e.Sort = rapid.SampledFrom(entrySorts).Draw(t, "sort")
		severity := model.Severity(rapid.IntRange(0, 6).Draw(t, "severity"))
		inside := func(s *Selection) bool {
			return s.Selects(e.Path, e.Kind) && (e.Name == "" || !s.HidesEntity(e.Kind, e.Sort, e.Name, e.Secret))
		}
		if inside(sa) != a.selects(e) || inside(sb) != b.selects(e) || inside(both) != (a.selects(e) && b.selects(e)) {
			t.Fatalf("%+v: %v, %v, both %v", e, inside(sa), inside(sb), inside(both))
		}
		tells := func(s *Selection) bool { return s.ShowsEvent(e.Kind, e.Name, severity) }
		if tells(sa) != a.showsEvent(e, severity) || tells(both) != (tells(sa) && tells(sb)) {
			t.Fatalf("an event of %+v of severity %s: %v, of both %v", e, severity, tells(sa), tells(both))
		}
		if inside(both) && !both.MayMatchBelow(e.Path.Parent()) {
			t.Fatalf("a walk would stop above %s", e.Path)
		}
		if both.Right() != min(a.Right, b.Right) {
			t.Fatalf("the right of both is %s", both.Right())
		}
		if sa.Key() == sb.Key() && (inside(sa) != inside(sb) || tells(sa) != tells(sb)) {
			t.Fatalf("equal keys, different content at %+v", e)
		}
		if both.Key() != sb.And(sa).Key() || both.And(sa).Key() != both.Key() || sa.And(sa).Key() != sa.Key() {
			t.Fatal("the key of an intersection depends on how it was made")
		}
	})
}

func TestKeys(t *testing.T) {
	patterns := func(texts ...string) (list []model.Pattern) {
		for _, text := range texts {
			list = append(list, model.MustPattern(text))
		}
		return list
	}
	base := Export{Name: "a", Paths: patterns("/b/**", "/a/**"), Kinds: []string{"x", "y"}, Right: model.RightView}
	same := Export{Name: "b", Paths: patterns("/a/**", "/a/x/*", "/b/**", "/a/**"), Kinds: []string{"y", "x", "y"}, Right: model.RightConfigure}
	key := selection(t, base).Key()
	if selection(t, same).Key() != key {
		t.Error("equal content has different keys")
	}
	for name, change := range map[string]func(*Export){
		"paths":   func(e *Export) { e.Paths = patterns("/a/**") },
		"kinds":   func(e *Export) { e.Kinds = []string{"x"} },
		"except":  func(e *Export) { e.ExceptKinds = []string{"x"} },
		"hide":    func(e *Export) { e.Hide = []Hidden{{Name: "x"}} },
		"without": func(e *Export) { e.Without = []model.EntrySort{model.EntryFunction} },
		"events":  func(e *Export) { e.Events = model.SeverityWarning },
		"secrets": func(e *Export) { e.Secrets = true },
		"people":  func(e *Export) { e.People = true },
	} {
		other := base
		change(&other)
		if selection(t, other).Key() == key {
			t.Errorf("another choice of %s has the same key", name)
		}
	}
	areas := Areas{People: Area{Kinds: []string{"person"}}}
	if s, err := NewSelection(base, areas); err != nil || s.Key() == key {
		t.Errorf("another meaning of people has the same key (%v)", err)
	}
}

func TestPresets(t *testing.T) {
	tree, alerts := selection(t, WholeTree("tree", model.RightView)), selection(t, AlertsOnly("alerts", model.RightView))
	for _, test := range []struct {
		path, kind   string
		tree, alerts bool
	}{
		{"/devices/x", "host", true, false},
		{"/alerts/a", "alert", true, true},
		{"/sites/berlin/alerts/a", "alert", true, true},
		{"/users/alice", "user", false, false},
		{"/sites/berlin/users/alice", "user", false, false},
		{"/", "folder", true, false},
	} {
		path := model.MustPath(test.path)
		if tree.Selects(path, test.kind) != test.tree || alerts.Selects(path, test.kind) != test.alerts {
			t.Errorf("%s %s: tree %v, alerts %v", test.path, test.kind, tree.Selects(path, test.kind), alerts.Selects(path, test.kind))
		}
	}
	if !tree.HidesEntity("host", model.EntrySetting, "password", true) || tree.HidesEntity("host", model.EntrySetting, "label", false) {
		t.Error("the whole tree is to hide secrets and nothing else")
	}
}

func TestHiddenEntities(t *testing.T) {
	e := WholeTree("tree", model.RightView)
	e.Hide = []Hidden{{"", "x"}, {"host", "y"}}
	s := selection(t, e)
	for _, test := range []struct {
		kind, name string
		hidden     bool
	}{{"host", "x", true}, {"", "x", true}, {"host", "y", true}, {"alert", "y", false}, {"host", "z", false}} {
		if s.HidesEntity(test.kind, model.EntryFunction, test.name, false) != test.hidden {
			t.Errorf("%s:%s: hidden is %v", test.kind, test.name, !test.hidden)
		}
	}
}

func TestExportsAreChecked(t *testing.T) {
	good := WholeTree("tree", model.RightView)
	for name, change := range map[string]func(*Export){
		"no name":     func(e *Export) { e.Name = "" },
		"no path":     func(e *Export) { e.Paths = nil },
		"no right":    func(e *Export) { e.Right = model.RightNone },
		"odd right":   func(e *Export) { e.Right = 5 },
		"odd kind":    func(e *Export) { e.Kinds = []string{"a/b"} },
		"odd hidden":  func(e *Export) { e.Hide = []Hidden{{Kind: "host"}} },
		"odd sort":    func(e *Export) { e.Without = []model.EntrySort{model.EntryUnknown} },
		"odd events":  func(e *Export) { e.Events = 7 },
		"many hidden": func(e *Export) { e.Hide = make([]Hidden, MaxExportEntries+1) },
	} {
		e := good
		change(&e)
		if _, err := NewSelection(e, Areas{}); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
