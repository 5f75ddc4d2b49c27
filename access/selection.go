package access

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"banyan/model"
)

// Selection is an export compiled: what a view holds. It is evaluated once per context (new, moved, policy changed), never per sample.
type Selection struct {
	name  string
	right model.Right
	parts []*part // a context is selected by all of them
	key   string
}

// part is one export of those that a selection is the intersection of.
type part struct {
	matchers []matcher // in the order of their text, none covered by another
	kinds    map[string]bool
	except   map[string]bool
	without  [model.EntryEvent + 1]bool // by sort; unknown where any is
	hidden   map[Hidden]bool
	events   model.Severity
	secrets  bool
	people   *area // what is kept back, nil where people are included
	key      string
}

// NewSelection compiles an export. The areas say what counts as people; empty ones are the default ones.
func NewSelection(e Export, areas Areas) (*Selection, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	p := &part{kinds: set(e.Kinds), except: set(e.ExceptKinds), hidden: map[Hidden]bool{}, events: e.Events, secrets: e.Secrets}
	for _, sort := range e.Without {
		p.without[sort], p.without[model.EntryUnknown] = true, true
	}
	paths := minimal(e.Paths)
	for _, pattern := range paths {
		p.matchers = append(p.matchers, compile(pattern))
	}
	for _, h := range e.Hide {
		p.hidden[h] = true
	}
	people := areas.orDefault().People
	if !e.People {
		compiled := people.compile()
		p.people = &compiled
	}
	p.key = partKey(e, paths, people)
	return &Selection{name: e.Name, right: e.Right, parts: []*part{p}, key: hash(p.key)}, nil
}

// minimal is the patterns in order without those that others cover, so that two ways to write the same are more often one view.
func minimal(patterns []model.Pattern) []model.Pattern {
	sorted := slices.SortedFunc(slices.Values(patterns), func(a, b model.Pattern) int { return strings.Compare(a.String(), b.String()) })
	sorted = slices.CompactFunc(sorted, model.Pattern.Equal)
	var kept []model.Pattern
	for i, p := range sorted {
		covered := false
		for j, other := range sorted {
			// Of two that cover each other the first stays.
			covered = covered || i != j && covers(other, p) && (j < i || !covers(p, other))
		}
		if !covered {
			kept = append(kept, p)
		}
	}
	return kept
}

// partKey is the content of an export as canonical text. What counts as people belongs to it where they are kept back.
func partKey(e Export, paths []model.Pattern, people Area) string {
	form := struct {
		Paths, PeoplePaths                    []model.Pattern
		Kinds, ExceptKinds, Hide, PeopleKinds []string
		Without                               []string
		Events                                model.Severity
		Secrets, People                       bool
	}{
		Paths: paths, Kinds: canonical(e.Kinds), ExceptKinds: canonical(e.ExceptKinds), Events: max(e.Events, model.SeverityDebug),
		Secrets: e.Secrets, People: e.People,
	}
	for _, sort := range e.Without {
		if form.Without = append(form.Without, sort.String()); sort == model.EntryEvent {
			form.Events = 0
		}
	}
	form.Without = canonical(form.Without)
	for _, h := range e.Hide {
		form.Hide = append(form.Hide, h.Kind+":"+h.Name)
	}
	form.Hide = canonical(form.Hide)
	if !e.People {
		form.PeoplePaths, form.PeopleKinds = minimal(people.Patterns), canonical(people.Kinds)
	}
	encoded, _ := json.Marshal(form) // patterns, names and booleans always encode
	return string(encoded)
}

func canonical(names []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Name is the export's name; of an intersection it is the first one's.
func (s *Selection) Name() string { return s.name }

// Right is the highest right that is granted on what is selected.
func (s *Selection) Right() model.Right { return s.right }

// Key names the content: selections of equal keys select and hide the same, so their exports share one view. Name and right are not
// part of it, since they change what may be done and not what is sent. Different keys can still mean the same content.
func (s *Selection) Key() string { return s.key }

// Selects reports whether the context of this path and kind belongs to the view.
func (s *Selection) Selects(path model.Path, kind string) bool { return s.Omits(path, kind) == "" }

// HidesEntity reports whether a setting, variable, function or event of a selected context is left out of its schema. One of which nobody says
// what it is, is left out as soon as anything is.
func (s *Selection) HidesEntity(kind string, sort model.EntrySort, name string, secret bool) bool {
	return s.OmitsEntity(kind, sort, name, secret) != ""
}

// ShowsEvent reports whether what happened to a selected context is told. An event that does not say how much it matters is told only where all are.
func (s *Selection) ShowsEvent(kind, name string, severity model.Severity) bool {
	for _, p := range s.parts {
		if p.events > model.SeverityDebug && severity < p.events {
			return false
		}
	}
	return !s.HidesEntity(kind, model.EntryEvent, name, false)
}

// MayMatchBelow reports whether something at or below path may be selected: where it is false, a walk need not descend.
func (s *Selection) MayMatchBelow(path model.Path) bool {
	for _, p := range s.parts {
		if !slices.ContainsFunc(p.matchers, func(m matcher) bool { return m.pattern.MayMatchBelow(path) }) {
			return false
		}
	}
	return true
}

// And is the intersection: what both select, up to the lower right. Both must speak about the same tree.
func (s *Selection) And(other *Selection) *Selection {
	parts := slices.Concat(s.parts, other.parts)
	slices.SortFunc(parts, func(a, b *part) int { return strings.Compare(a.key, b.key) })
	parts = slices.CompactFunc(parts, func(a, b *part) bool { return a.key == b.key })
	keys := make([]string, len(parts))
	for i, p := range parts {
		keys[i] = p.key
	}
	return &Selection{name: s.name, right: min(s.right, other.right), parts: parts, key: hash(strings.Join(keys, "\n"))}
}

// rightOn is what the selection grants on an entity, RightNone where it is outside.
func (s *Selection) rightOn(e *Entity) model.Right {
	if !s.Selects(e.Path, e.Kind) || e.Name != "" && s.HidesEntity(e.Kind, e.Sort, e.Name, e.Secret) {
		return model.RightNone
	}
	return s.right
}

// least is a right that the selection certainly grants on everything that the pattern selects; RightNone where it hides anything at all.
func (s *Selection) least(pattern model.Pattern) model.Right {
	for _, p := range s.parts {
		if len(p.kinds)+len(p.except)+len(p.hidden) > 0 || p.without[model.EntryUnknown] || p.events > model.SeverityDebug || !p.secrets || p.people != nil {
			return model.RightNone
		}
		if !slices.ContainsFunc(p.matchers, func(m matcher) bool { return covers(m.pattern, pattern) }) {
			return model.RightNone
		}
	}
	return s.right
}
