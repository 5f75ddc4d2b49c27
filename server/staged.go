package server

import (
	"slices"

	"banyan/access"
	"banyan/model"
	"banyan/tree"
)

// staged is the node's tree with changes that are not made yet: what a batch has done so far, were it done. It belongs to one batch.
type staged struct {
	base   View
	put    map[model.Path]*tree.Context // created or changed
	gone   map[model.Path]bool          // of the base's contexts
	made   map[model.Path]bool          // of put, those that the base does not have
	places map[model.Path][]model.Path  // on the way to what was made: what lies directly below
	placed map[model.Path]bool          // what stands in places
}

var _ View = (*staged)(nil)

func newStaged(base View) *staged {
	return &staged{
		base: base, put: map[model.Path]*tree.Context{}, gone: map[model.Path]bool{}, made: map[model.Path]bool{}, places: map[model.Path][]model.Path{},
		placed: map[model.Path]bool{},
	}
}

// Lookup is the context at path, as it would be.
func (s *staged) Lookup(path model.Path) (tree.Context, bool) {
	if c := s.put[path]; c != nil {
		return *c, true
	}
	if s.gone[path] {
		return tree.Context{}, false
	}
	return s.base.Lookup(path)
}

// Walk visits what the base has, and after that what was made; a context that was made may so come after what lies below it.
func (s *staged) Walk(path model.Path, descend func(model.Path) bool, visit func(*tree.Context) bool) {
	stopped := false
	s.base.Walk(path, descend, func(c *tree.Context) bool {
		switch changed := s.put[c.Path]; {
		case changed != nil && !s.made[c.Path]:
			stopped = !visit(changed)
		case s.gone[c.Path]:
		default:
			stopped = !visit(c)
		}
		return !stopped
	})
	if !stopped {
		s.walkMade(path, descend, visit)
	}
}

func (s *staged) walkMade(at model.Path, descend func(model.Path) bool, visit func(*tree.Context) bool) bool {
	if s.made[at] && !visit(s.put[at]) {
		return false
	}
	below := s.places[at]
	if len(below) == 0 || descend != nil && !descend(at) {
		return true
	}
	for _, child := range below {
		if !s.walkMade(child, descend, visit) {
			return false
		}
	}
	return true
}

// create puts a context where none is. Values of secret settings are left out, as the tree does.
func (s *staged) create(p *Proposal, label string) {
	c := &tree.Context{Path: p.Path, Label: label, Schema: p.Schema}
	c.Settings = settingsAfter(c, p.Settings)
	s.put[p.Path], s.made[p.Path] = c, true
	for at := p.Path; !at.IsRoot() && !s.placed[at]; at = at.Parent() {
		s.placed[at] = true
		s.places[at.Parent()] = append(s.places[at.Parent()], at)
	}
}

// change gives a context other settings, and another label where that is not nil.
func (s *staged) change(c *tree.Context, settings []model.Argument, label *string) {
	changed := *c
	changed.Settings = settingsAfter(c, settings)
	if label != nil {
		changed.Label = *label
	}
	s.put[c.Path] = &changed
}

// remove takes contexts away.
func (s *staged) remove(contexts []tree.Context) {
	for i := range contexts {
		path := contexts[i].Path
		if !s.made[path] {
			s.gone[path] = true
		}
		delete(s.put, path)
		delete(s.made, path)
	}
}

func settingsAfter(c *tree.Context, given []model.Argument) []model.Value {
	after := make([]model.Value, len(c.Schema.Settings))
	copy(after, c.Settings)
	for _, a := range given {
		if at := c.Schema.SettingIndex(a.Name); at >= 0 && !c.Schema.Settings[at].Secret {
			after[at] = a.Value
		}
	}
	return after
}

// stagedRights are the rights of one asker in a tree that is staged. They are worked out anew only when an edit touched what they follow from:
// a batch of ten thousand users is judged by one decider.
type stagedRights struct {
	base rights
	view *staged
	who  access.Principal
	made *access.Decider // nil while nothing was touched
}

var _ rights = (*stagedRights)(nil)

// Decider is the decider that would hold.
func (s *stagedRights) Decider() *access.Decider {
	if s.made != nil {
		return s.made
	}
	return s.base.Decider()
}

// For is as of what it stands on.
func (s *stagedRights) For(view View, who access.Principal) *access.Decider {
	return s.base.For(view, who)
}

// touched says that the context at a path, of that kind, was created, changed or removed.
func (s *stagedRights) touched(path model.Path, kind string) {
	if s.follow(path, kind) {
		s.made = s.base.For(s.view, s.who)
	}
}

// follow reports whether the asker's rights may follow from a context.
func (s *stagedRights) follow(path model.Path, kind string) bool {
	if s.who.Link != "" {
		return kind == KindForeign
	}
	asker, err := usersPath.Child(s.who.Chain.Person.Name)
	if err != nil || path == asker {
		return true
	}
	if kind != KindRole {
		return false
	}
	c, there := s.view.Lookup(asker)
	return there && slices.Contains(roleNames(c.SettingNamed(settingRoles).Text()), path.Base())
}
