package settings

import (
	"fmt"

	"banyan/model"
	"banyan/yamlfile"

	"go.yaml.in/yaml/v4"
)

// Limits of a file.
const (
	MaxFileBytes = 8 << 20
	MaxContexts  = 50_000 // with what templates make
)

// File is a settings file that was read: what each context shall be. What its values mean is known once the kinds of a node are.
type File struct {
	Name  string
	Scope model.Path // what the file is about: contexts at and below it

	wanted   []*wanted
	byPath   map[model.Path]*wanted
	problems *problems
	reader   *yamlfile.Reader
}

// wanted is one context as the file says it.
type wanted struct {
	path     model.Path
	at       place
	kind     text
	label    text
	settings []field
	with     *instance // whose values stand for variables; nil outside of templates
}

// text is a scalar of the file that may be missing.
type text struct {
	value string
	given bool
	at    place
}

// field is a setting with what stands for its value.
type field struct {
	name  string
	at    place
	value *yaml.Node
}

// Open reads a file that a settings file names, by its path as it stands there.
type Open func(name string) ([]byte, error)

// Read reads a settings file. The error tells all that is wrong with its form, and what is wrong with CSV files that it names.
func Read(name string, source []byte, open Open) (*File, error) {
	f := &File{Name: name, byPath: map[model.Path]*wanted{}, reader: &yamlfile.Reader{
		File: name, What: "set of settings", MaxBytes: MaxFileBytes,
		Begin: "begin with `contexts:`, and below it paths; `banyan export` writes such a file",
	}}
	f.problems = newProblems(f.reader)
	if root := f.reader.Document(source); root != nil {
		f.document(root, open)
	}
	return f, f.problems.err()
}

// Paths are the paths of all contexts that the file speaks of, in the order of the file.
func (f *File) Paths() []model.Path {
	paths := make([]model.Path, len(f.wanted))
	for i, w := range f.wanted {
		paths[i] = w.path
	}
	return paths
}

func (f *File) here(n *yaml.Node) place { return place{f.Name, yamlfile.MarkOf(n)} }

func (f *File) document(root *yaml.Node, open Open) {
	var contexts, templates, instances *yaml.Node
	f.reader.Fields(root, "the file", []string{"version", "path", "contexts", "templates", "instances"}, func(e yamlfile.Entry) {
		switch e.Name {
		case "version":
			if version, ok := f.reader.Text(e.Value, "version"); ok && version != "1" {
				f.problems.add(f.here(e.Value), "use a program that knows it, or write version: 1", "this is version %q of the format, and only 1 is known", version)
			}
		case "path":
			f.Scope = f.scope(e.Value)
		case "contexts":
			contexts = e.Value
		case "templates":
			templates = e.Value
		case "instances":
			instances = e.Value
		}
	})
	if contexts != nil {
		entries, _ := f.reader.Mapping(contexts, "contexts")
		for _, e := range entries {
			f.context(e)
		}
	}
	t := f.templates(templates)
	if instances != nil {
		f.instances(instances, t, open)
	}
}

func (f *File) scope(n *yaml.Node) model.Path {
	text, ok := f.reader.Text(n, "path")
	if !ok {
		return model.Root
	}
	path, err := model.ParsePath(text)
	if err != nil {
		f.problems.add(f.here(n), "write a path like / or /devices", "%v", err)
	}
	return path
}

func (f *File) context(e yamlfile.Entry) {
	path, err := model.ParsePath(e.Name)
	if err != nil {
		f.problems.add(f.here(e.Key), "write a path like /devices/plc-1", "%v", err)
		return
	}
	w := &wanted{path: path, at: f.here(e.Key)}
	f.body(w, e.Value, fmt.Sprintf("the context %s", path))
	f.want(w)
}

// body reads kind, label and settings.
func (f *File) body(w *wanted, n *yaml.Node, what string) {
	f.reader.Fields(n, what, []string{"kind", "label", "settings"}, func(e yamlfile.Entry) {
		switch e.Name {
		case "kind":
			w.kind = f.text(e.Value, "kind")
		case "label":
			w.label = f.text(e.Value, "label")
		case "settings":
			entries, _ := f.reader.Mapping(e.Value, "settings")
			for _, s := range entries {
				w.settings = append(w.settings, field{s.Name, f.here(s.Key), s.Value})
			}
		}
	})
}

func (f *File) text(n *yaml.Node, what string) text {
	value, ok := f.reader.Text(n, what)
	return text{value, ok, f.here(n)}
}

// want notes a context, once.
func (f *File) want(w *wanted) {
	switch first := f.byPath[w.path]; {
	case first != nil:
		where := fmt.Sprint(first.at.Mark)
		if first.at.file != w.at.file {
			where = fmt.Sprintf("%s:%d", first.at.file, first.at.Line)
		}
		f.problems.add(w.at, "give each context once", "%s is there already: on %s", w.path, where)
	case w.path.IsRoot():
		f.problems.add(w.at, "name a context below it", "the root is no context")
	case !f.Scope.Contains(w.path):
		f.problems.add(w.at, "change `path:` at the top of the file, or take the context out", "%s is not below %s, which the file is about", w.path, f.Scope)
	case len(f.wanted) == MaxContexts:
		f.problems.add(w.at, "split it into several files", "the file has more than %d contexts", MaxContexts)
	}
	if f.byPath[w.path] == nil && len(f.wanted) < MaxContexts {
		f.wanted, f.byPath[w.path] = append(f.wanted, w), w
	}
}
