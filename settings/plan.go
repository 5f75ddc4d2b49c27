package settings

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"banyan/model"
	"banyan/yamlfile"
)

// Options say how a file is planned.
type Options struct {
	// Secret finds the value of a secret by the name that the file gives it. May be nil.
	Secret func(name string) (string, bool)
	// RenewSecrets sets secrets that Secret knows also where one is set already.
	RenewSecrets bool
	// Prune removes what the file could hold, lies below its path, and does not stand in it.
	Prune bool
}

// Op is what an edit does.
type Op uint8

// What edits do.
const (
	Create Op = iota + 1
	Change
	Remove
)

// String is the word for it.
func (o Op) String() string { return [...]string{"", "create", "change", "remove"}[o] }

// Edit is one thing to be done.
type Edit struct {
	Op       Op
	Path     model.Path
	Kind     string           // to be created
	Label    *string          // to be given
	Settings []model.Argument // to be set, in the order of names; no value puts the default back
	Expected model.Revision   // of what is changed or removed
	Secrets  []string         // names of those settings that are secret
	Owner    string           // as Context has it

	at      place            // where the context stands; none for what is removed
	places  map[string]place // where its settings stand
	changes []difference
}

// Place is where a setting of the context stands, or the context itself; false where it stands nowhere.
func (e *Edit) Place(setting string) (yamlfile.Problem, bool) {
	at, is := e.places[setting]
	if !is {
		at = e.at
	}
	return yamlfile.Problem{File: at.file, Line: at.Line, Column: at.Column}, at.file != ""
}

// Batch is what one node is asked for at once.
type Batch struct {
	Owner string
	Edits []*Edit
}

// Plan is what makes a node be as a file says.
type Plan struct {
	Batches []Batch // those of the node that was asked first
	Kept    int     // secrets that were named and are left as they are
	node    string
	file    string
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Batches) == 0 }

// Edits are how many edits there are.
func (p *Plan) Edits() int {
	n := 0
	for _, b := range p.Batches {
		n += len(b.Edits)
	}
	return n
}

// planner makes a plan.
type planner struct {
	*File
	state   *State
	options Options
	plan    *Plan
	edits   []*Edit
	owner   string              // of what the file is about
	leaving map[model.Path]bool // contexts that are removed
}

// Plan compares the file with what is there. The error tells all that cannot be, with its place; no plan is made then. A file is planned once.
func (f *File) Plan(state *State, options Options) (*Plan, error) {
	p := &planner{File: f, state: state, options: options, plan: &Plan{node: state.Node, file: f.Name}}
	p.owner, p.leaving = state.ownerOf(f.Scope), map[model.Path]bool{}
	for _, w := range f.wanted {
		p.context(w)
	}
	if options.Prune {
		p.prune()
	}
	if err := f.problems.err(); err != nil {
		return nil, err
	}
	p.sort()
	return p.plan, nil
}

func (p *planner) context(w *wanted) {
	present := p.state.Contexts[w.path]
	if p.replaced(w, present) {
		p.remove(present)
		present = nil
	}
	kind := p.kindOf(w, present)
	if kind == nil {
		return
	}
	e := &Edit{Op: Change, Path: w.path, Owner: p.state.ownerOf(w.path), at: w.at, places: map[string]place{}}
	if present == nil {
		e.Op, e.Kind = Create, kind.Name
		e.changes = append(e.changes, difference{name: "kind", after: scalarText(kind.Name, false)})
	} else {
		e.Expected = present.Revision
	}
	p.label(w, present, e)
	p.settings(w, present, kind, e)
	if e.Op == Create || e.Label != nil || len(e.Settings) > 0 {
		p.edits = append(p.edits, e)
	}
}

// kindOf is the kind that a context has or shall have.
func (p *planner) kindOf(w *wanted, present *Context) *Kind {
	name, at, ok := p.expand(w.kind.value, w.kind.at, w.with)
	if !ok {
		return nil
	}
	if present != nil {
		switch {
		case present.Found:
			p.problems.add(w.at, "take it out of the file", "%s shows what was found, or is part of what is above it: it has no settings of its own", w.path)
		case w.kind.given && name != present.Kind.Name:
			p.problems.add(at, fmt.Sprintf("write kind: %s, or have it replaced with --prune", present.Kind.Name),
				"%s is a %s, and a context keeps its kind", w.path, present.Kind.Name)
		default:
			return present.Kind
		}
		return nil
	}
	kind := p.state.Kinds[name]
	switch {
	case !w.kind.given:
		p.problems.add(w.at, "add `kind:`; `kind: folder` is a place for others", "%s is to be created, and has no kind", w.path)
	case kind == nil:
		p.problems.add(at, yamlfile.DidYouMean(name, p.creatable()), "there is no kind %q", name)
	case !kind.Creatable:
		p.problems.add(at, "links come with `banyan invite` and `banyan join`, tokens with `banyan tokens create`", "a %s is made by the node itself", name)
	default:
		return kind
	}
	return nil
}

func (p *planner) creatable() []string {
	var names []string
	for name, kind := range p.state.Kinds {
		if kind.Creatable {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (p *planner) label(w *wanted, present *Context, e *Edit) {
	wantedLabel, _, ok := p.expand(w.label.value, w.label.at, w.with)
	if !ok {
		return
	}
	has := ""
	if present != nil {
		has = present.Label
		if !w.label.given {
			wantedLabel = present.Usual
		}
	}
	if wantedLabel == has {
		return
	}
	e.Label = &wantedLabel
	change := difference{name: "label", after: scalarText(wantedLabel, false)}
	if present != nil {
		change.before = scalarText(has, false)
	}
	e.changes = append(e.changes, change)
}

// settings compares all settings of a kind with what the file says; what it does not name has its default.
func (p *planner) settings(w *wanted, present *Context, kind *Kind, e *Edit) {
	given := map[string]field{}
	for _, s := range w.settings {
		if kind.setting(s.name) == nil {
			p.problems.add(s.at, yamlfile.DidYouMean(s.name, kind.names()), "the kind %s has no setting %q", kind.Name, s.name)
		}
		given[s.name], e.places[s.name] = s, s.at
	}
	for _, name := range slices.Sorted(maps.Keys(settingsOf(kind))) {
		s := kind.setting(name)
		what, is := given[name]
		if s.Secret {
			if is {
				p.secret(w, present, s, what, e)
			}
			continue
		}
		v := model.Value{}
		if is {
			var ok bool
			if v, ok = (reading{p.File, w.with}).value(what.value, s); !ok {
				continue
			}
		}
		p.compare(present, s, v, e)
	}
}

func settingsOf(kind *Kind) map[string]bool {
	names := make(map[string]bool, len(kind.Settings))
	for i := range kind.Settings {
		names[kind.Settings[i].Name] = true
	}
	return names
}

func (p *planner) compare(present *Context, s *Setting, v model.Value, e *Edit) {
	if v.Equal(s.Default) {
		v = model.Value{}
	}
	effective, before := v, s.Default
	if v.IsNone() {
		effective = s.Default
	}
	if present != nil {
		before = present.value(s)
	}
	if effective.Equal(before) {
		return
	}
	e.Settings = append(e.Settings, model.Argument{Name: s.Name, Value: v})
	change := difference{name: s.Name, after: valueText(effective, s)}
	if present != nil {
		change.before = valueText(before, s)
	}
	e.changes = append(e.changes, change)
}

// secret sets a secret that is not set yet, or that is to be renewed.
func (p *planner) secret(w *wanted, present *Context, s *Setting, what field, e *Edit) {
	name, unset, ok := (reading{p.File, w.with}).reference(what.value, s)
	if !ok {
		return
	}
	set := present != nil && (present.Secrets[s.Name] || present.Owner != "") // of other nodes it is not known
	if unset {
		if set {
			e.Settings, e.Secrets = append(e.Settings, model.Argument{Name: s.Name}), append(e.Secrets, s.Name)
			e.changes = append(e.changes, difference{name: s.Name, after: "secret taken away"})
		}
		return
	}
	if name == "" || set && !p.options.RenewSecrets {
		p.plan.Kept++
		return
	}
	value, known := "", false
	if p.options.Secret != nil {
		value, known = p.options.Secret(name)
	}
	if !known {
		if set {
			p.plan.Kept++
			return
		}
		p.problems.add(p.here(what.value), "give it with --secrets FILE, or in the environment as "+Variable(name), "the secret %s is not known", name)
		return
	}
	v, err := parse(s.Type, value)
	if err != nil { // what it says holds the secret
		p.problems.add(p.here(what.value), remedies[s.Type], "the secret %s is no %s", name, s.Type)
		return
	}
	e.Settings, e.Secrets = append(e.Settings, model.Argument{Name: s.Name, Value: v}), append(e.Secrets, s.Name)
	e.changes = append(e.changes, difference{name: s.Name, after: "secret set"})
}

// sort puts edits into an order in which each can be done, by owners: what goes makes room first, from the bottom up; roles are there before the
// users that have them, and go after them.
func (p *planner) sort() {
	slices.SortStableFunc(p.edits, func(a, b *Edit) int {
		if c := cmp.Or(strings.Compare(a.Owner, b.Owner), turn(a)-turn(b)); c != 0 {
			return c
		}
		if a.Op == Remove {
			return b.Path.Compare(a.Path)
		}
		return a.Path.Compare(b.Path)
	})
	for _, e := range p.edits {
		if last := len(p.plan.Batches) - 1; last >= 0 && p.plan.Batches[last].Owner == e.Owner {
			p.plan.Batches[last].Edits = append(p.plan.Batches[last].Edits, e)
			continue
		}
		p.plan.Batches = append(p.plan.Batches, Batch{e.Owner, []*Edit{e}})
	}
}

func turn(e *Edit) int {
	kind := e.Kind
	switch {
	case e.Op == Remove && kind == kindUser:
		return 0
	case e.Op == Remove && kind != kindRole:
		return 1
	case e.Op == Remove:
		return 5
	case kind == kindRole:
		return 2
	case kind != kindUser:
		return 3
	}
	return 4
}
