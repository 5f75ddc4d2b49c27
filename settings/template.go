package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"banyan/model"
	"banyan/yamlfile"

	"go.yaml.in/yaml/v4"
)

// template is a context of which instances are made: the same, but that ${name} in it stands for what each instance says.
type template struct {
	name      string
	body      wanted
	variables []variable
}

// variable is where one is used.
type variable struct {
	name string
	at   place
}

// instance gives the variables of one context their values.
type instance struct {
	values map[string]cell
	at     place
}

// cell is the value of a variable and where it stands.
type cell struct {
	text string
	at   place
}

// rows are the values for a list of instances.
type rows struct {
	columns   []string
	instances []*instance
	what      string // for messages: where the columns are
}

var (
	variablePattern = regexp.MustCompile(`\$?\$\{[^{}]*\}`)
	variableName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
)

func (f *File) templates(n *yaml.Node) map[string]*template {
	all := map[string]*template{}
	if n == nil {
		return all
	}
	entries, _ := f.reader.Mapping(n, "templates")
	for _, e := range entries {
		t := &template{name: e.Name}
		f.body(&t.body, e.Value, fmt.Sprintf("the template %q", e.Name))
		if !t.body.kind.given {
			f.problems.add(f.here(e.Key), "give it a kind", "the template %q has no kind", e.Name)
		}
		for _, s := range []text{t.body.kind, t.body.label} {
			t.uses(f, s.value, s.at)
		}
		for _, s := range t.body.settings {
			t.usesBelow(f, s.value, 0)
		}
		all[e.Name] = t
	}
	return all
}

// uses notes the variables in a text.
func (t *template) uses(f *File, text string, at place) {
	for _, found := range variablePattern.FindAllString(text, -1) {
		name := strings.TrimSuffix(strings.TrimPrefix(found, "${"), "}")
		switch {
		case strings.HasPrefix(found, "$$"):
		case !variableName.MatchString(name):
			f.problems.add(at, "write ${name}, and $${ where no variable is meant", "%q is no name of a variable", name)
		default:
			t.variables = append(t.variables, variable{name, at})
		}
	}
}

func (t *template) usesBelow(f *File, n *yaml.Node, depth int) {
	if n == nil || depth > maxDepth {
		return
	}
	if n.Kind == yaml.ScalarNode {
		t.uses(f, n.Value, f.here(n))
	}
	for _, child := range n.Content {
		t.usesBelow(f, child, depth+1)
	}
}

// maxDepth is how deep a value can be: a table of rows of cells, and a little more.
const maxDepth = 8

func (f *File) instances(n *yaml.Node, templates map[string]*template, open Open) {
	if n.Kind != yaml.SequenceNode {
		f.problems.add(f.here(n), "write lines that begin with `- template:`", "instances is a list, not %s", yamlfile.Form(n))
		return
	}
	groups, _ := f.reader.List(n, "instances")
	for _, group := range groups {
		f.group(group, templates, open)
	}
}

// group reads one list of instances and makes their contexts.
func (f *File) group(n *yaml.Node, templates map[string]*template, open Open) {
	var name, path, from text
	var with *yaml.Node
	f.reader.Fields(n, "an instance", []string{"template", "path", "from", "with"}, func(e yamlfile.Entry) {
		switch e.Name {
		case "template":
			name = f.text(e.Value, "template")
		case "path":
			path = f.text(e.Value, "path")
		case "from":
			from = f.text(e.Value, "from")
		case "with":
			with = e.Value
		}
	})
	t := templates[name.value]
	switch {
	case !name.given:
		f.problems.add(f.here(n), "add `template: NAME`", "no template is named")
	case t == nil:
		f.problems.add(name.at, yamlfile.DidYouMean(name.value, keys(templates)), "there is no template %q", name.value)
	case !path.given:
		f.problems.add(f.here(n), "add `path: /devices/${name}`", "no path is given")
	case (with == nil) == !from.given:
		f.problems.add(f.here(n), "write `from: FILE.csv`, or `with:` and a list of {name: value}", "the instances come from one of a file and a list")
	default:
		var values *rows
		if from.given {
			values = f.csv(from, open)
		} else {
			values = f.list(with)
		}
		if values != nil {
			f.make(t, path, values)
		}
	}
}

func keys[V any](of map[string]V) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// list reads instances that stand in the file.
func (f *File) list(n *yaml.Node) *rows {
	items, ok := f.reader.List(n, "with")
	all := &rows{what: "the list"}
	for _, item := range items {
		i := &instance{values: map[string]cell{}, at: f.here(item)}
		entries, good := f.reader.Mapping(item, "an instance")
		for _, e := range entries {
			if !variableName.MatchString(e.Name) {
				f.problems.add(f.here(e.Key), "use letters, digits, - and _, and no digit first", "%q is no name of a variable", e.Name)
			}
			value := ""
			if n := f.reader.Resolve(e.Value); n == nil || n.Tag != "!!null" {
				value, good = f.reader.Text(e.Value, e.Name)
			}
			i.values[e.Name] = cell{value, f.here(e.Value)}
			if !slices.Contains(all.columns, e.Name) {
				all.columns = append(all.columns, e.Name)
			}
		}
		ok = ok && good
		all.instances = append(all.instances, i)
	}
	if !ok {
		return nil
	}
	return all
}

// make makes the contexts of a list of instances.
func (f *File) make(t *template, path text, values *rows) {
	here := &template{}
	here.uses(f, path.value, path.at)
	good := true
	for _, v := range append(slices.Clone(here.variables), t.variables...) {
		if !slices.Contains(values.columns, v.name) {
			good = false
			f.problems.add(v.at, yamlfile.DidYouMean(v.name, values.columns), "${%s} is not known: %s has no such column", v.name, values.what)
		}
	}
	if !good {
		return
	}
	for _, i := range values.instances {
		made := t.body
		made.with, made.at = i, i.at
		written, _, known := f.expand(path.value, path.at, i)
		parsed, err := model.ParsePath(written)
		if !known {
			continue
		}
		if err != nil {
			f.problems.add(i.at, "give the columns in `path:` values that make a path", "%v", err)
			continue
		}
		made.path = parsed
		f.want(&made)
	}
}

// expand puts values for variables. The place is that of the value where the text is a variable and nothing else.
func (f *File) expand(text string, at place, i *instance) (string, place, bool) {
	if i == nil || !strings.Contains(text, "${") {
		return text, at, true
	}
	known := true
	expanded := variablePattern.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "$$") {
			return found[1:]
		}
		name := found[2 : len(found)-1]
		value, given := i.values[name]
		if !given {
			known = false
			f.problems.add(i.at, "give it, or leave it empty", "there is no value for ${%s}", name)
		}
		if found == text {
			at = value.at
		}
		return value.text
	})
	return expanded, at, known
}

// empty reports whether a value is a variable alone that has no text: then it is as if it were not written.
func (i *instance) empty(n *yaml.Node) bool {
	if i == nil || n.Kind != yaml.ScalarNode || !strings.HasPrefix(n.Value, "${") {
		return false
	}
	return variablePattern.FindString(n.Value) == n.Value && i.values[n.Value[2:len(n.Value)-1]].text == ""
}
