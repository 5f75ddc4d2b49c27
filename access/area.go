package access

import (
	"slices"

	"banyan/model"
)

// Area is a part of the tree that is protected whatever the rules say: by where it lies, and by kind, since contexts of the nodes below
// are mounted anywhere.
type Area struct {
	Patterns []model.Pattern
	Kinds    []string
}

// Areas are the protected parts of a node's tree.
type Areas struct {
	// Links are links, what is granted over them and what is mounted: configuring takes administer, and nothing is done over a link.
	Links Area
	// People are users and roles: configuring takes administer; over a link everything but seeing does, and the export must
	// include people.
	People Area
	// Node is the node itself: nothing is done over a link.
	Node Area
}

// DefaultAreas are those of the tree as every node has it.
func DefaultAreas() Areas {
	patterns := func(texts ...string) (list []model.Pattern) {
		for _, text := range texts {
			list = append(list, model.MustPattern(text))
		}
		return list
	}
	return Areas{
		Links:  Area{patterns("/links/**", "/exports/**", "/mounts/**"), []string{"link", "export", "mount", "grant", "invitation"}},
		People: Area{patterns("/users/**", "/roles/**"), []string{"user", "role", "token", "foreign-user"}},
		Node:   Area{Patterns: patterns("/system/**")},
	}
}

// orDefault puts the default where an area is empty: an area left out must not mean one that is open.
func (a Areas) orDefault() Areas {
	all := DefaultAreas()
	for _, pair := range []struct{ given, standard *Area }{{&a.Links, &all.Links}, {&a.People, &all.People}, {&a.Node, &all.Node}} {
		if len(pair.given.Patterns) == 0 && len(pair.given.Kinds) == 0 {
			*pair.given = *pair.standard
		}
	}
	return a
}

// area is an Area compiled.
type area struct {
	matchers []matcher
	kinds    map[string]bool
}

func (a Area) compile() area {
	made := area{kinds: set(a.Kinds)}
	for _, p := range a.Patterns {
		made.matchers = append(made.matchers, compile(p))
	}
	return made
}

func (a *area) contains(path model.Path, kind string) bool {
	return a.kinds[kind] || matchesAny(a.matchers, textOf(path))
}

// touches reports whether the pattern may select something that lies in the area.
func (a *area) touches(pattern model.Pattern) bool {
	return slices.ContainsFunc(a.matchers, func(m matcher) bool { return overlaps(m.pattern, pattern) })
}

// holds reports whether everything that the pattern selects lies in the area.
func (a *area) holds(pattern model.Pattern) bool {
	return slices.ContainsFunc(a.matchers, func(m matcher) bool { return covers(m.pattern, pattern) })
}

func matchesAny(matchers []matcher, text string) bool {
	for i := range matchers {
		if matchers[i].matches(text) {
			return true
		}
	}
	return false
}

func set(names []string) map[string]bool {
	made := make(map[string]bool, len(names))
	for _, name := range names {
		made[name] = true
	}
	return made
}
