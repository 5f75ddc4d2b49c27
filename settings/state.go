package settings

import (
	"slices"

	"banyan/model"
)

// Kind is what contexts of a kind can be set to, as their node tells it.
type Kind struct {
	Name     string
	Settings []Setting
	// Creatable says that such contexts can be created by a request; others are drawn or found by the node.
	Creatable bool
	// Whole says that what lies below such a context is part of it.
	Whole bool
}

// Setting is one setting of a kind.
type Setting struct {
	Name    string
	Type    model.Type
	Default model.Value
	Secret  bool
}

// setting finds a setting by its name, nil where there is none.
func (k *Kind) setting(name string) *Setting {
	for i := range k.Settings {
		if k.Settings[i].Name == name {
			return &k.Settings[i]
		}
	}
	return nil
}

func (k *Kind) names() []string {
	names := make([]string, len(k.Settings))
	for i := range k.Settings {
		names[i] = k.Settings[i].Name
	}
	return names
}

// Context is one context as it is.
type Context struct {
	Path     model.Path
	Kind     *Kind
	Label    string
	Usual    string // the label that it has where nobody gave it one
	Revision model.Revision
	Owner    string                 // the nodes on the way to its owner, joined by " > "; empty where the node that was asked owns it
	Values   map[string]model.Value // of settings that are set, none of them secret
	Secrets  map[string]bool        // that are set; of contexts of other nodes none is known
	Fixed    bool                   // it is neither created nor removed by people
	Found    bool                   // it shows what was found, or is a part of a context above it
}

// value is what a setting is, its default where it was not set.
func (c *Context) value(s *Setting) model.Value {
	if v, set := c.Values[s.Name]; set && !v.IsNone() {
		return v
	}
	return s.Default
}

// State is what a node has, as of one change number.
type State struct {
	Node   string // its name
	Change uint64
	Kinds  map[string]*Kind // that the node itself can own
	// Contexts are those at and below the path that was asked for.
	Contexts map[model.Path]*Context
}

// paths are the paths of all contexts in their order.
func (s *State) paths() []model.Path {
	paths := make([]model.Path, 0, len(s.Contexts))
	for path := range s.Contexts {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, model.Path.Compare)
	return paths
}

// ownerOf is who owns what is, or would be, at a path: the owner of the nearest context at or above it, or of the first one below it.
func (s *State) ownerOf(path model.Path) string {
	for at := path; !at.IsRoot(); at = at.Parent() {
		if c := s.Contexts[at]; c != nil {
			return c.Owner
		}
	}
	if path.IsRoot() {
		return ""
	}
	for _, below := range s.paths() {
		if path.Contains(below) {
			return s.Contexts[below].Owner
		}
	}
	return ""
}

// Kinds that a file treats in a way of their own.
const (
	kindUser   = "user"
	kindRole   = "role"
	kindExport = "export"
	kindMount  = "mount"
)

// left says why a context is left out of a file about what is below a path: "" where it belongs in.
func (s *State) left(c *Context, scope model.Path, owner string) string {
	switch {
	case c.Owner != owner:
		return "mounted from other nodes"
	case c.Found:
		return "found by devices, or part of something"
	case !c.Kind.Creatable && !c.Fixed:
		return "drawn by the node: links (invite and join) and tokens (create_token)"
	case (c.Kind.Name == kindExport || c.Kind.Name == kindMount) && !c.Path.Parent().Contains(scope):
		return "exports and mounts, which belong to links; export their folder to keep them in a file"
	}
	return ""
}
