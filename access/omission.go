package access

import "banyan/model"

// Omission is why a selection does not show something, as people read it; empty where it does.
type Omission string

// Why a context is left out, and why something of one that is shown.
const (
	OmittedPath   Omission = "no pattern of the export selects it"
	OmittedKind   Omission = "contexts of its kind are not among those that are shown"
	OmittedExcept Omission = "contexts of its kind are left out"
	OmittedPeople Omission = "people are not shown"
	OmittedSort   Omission = "the export shows none of the sort"
	OmittedSecret Omission = "secrets are not shown"
	OmittedName   Omission = "it is hidden by name"
)

// Omits is why the context of this path and kind does not belong to the view.
func (s *Selection) Omits(path model.Path, kind string) Omission {
	text := textOf(path)
	for _, p := range s.parts {
		switch {
		case !matchesAny(p.matchers, text):
			return OmittedPath
		case len(p.kinds) > 0 && !p.kinds[kind]:
			return OmittedKind
		case p.except[kind]:
			return OmittedExcept
		case p.people != nil && p.people.contains(path, kind):
			return OmittedPeople
		}
	}
	return ""
}

// OmitsEntity is why a setting, variable, function or event of a selected context is left out. See HidesEntity.
func (s *Selection) OmitsEntity(kind string, sort model.EntrySort, name string, secret bool) Omission {
	if sort > model.EntryEvent {
		sort = model.EntryUnknown
	}
	for _, p := range s.parts {
		switch {
		case p.without[sort]:
			return OmittedSort
		case secret && !p.secrets:
			return OmittedSecret
		case p.hidden[Hidden{"", name}] || p.hidden[Hidden{kind, name}]:
			return OmittedName
		}
	}
	return ""
}

// MostOver is the highest right that is left of a right once it is granted over a link, on a context of this path and kind: what is never done
// over a link stays view, and administering is for people and roles only.
func (d *Decider) MostOver(right model.Right, path model.Path, kind string) model.Right {
	switch {
	case d.links.contains(path, kind) || d.own.contains(path, kind):
		return min(right, model.RightView)
	case !d.persons.contains(path, kind):
		return min(right, model.RightConfigure)
	case right < model.RightAdminister:
		return min(right, model.RightView)
	}
	return right
}
