package access

import (
	"slices"

	"banyan/model"
)

// Export says which part of a node's tree a neighbour is granted, and up to which right.
type Export struct {
	Name        string
	Paths       []model.Pattern
	Kinds       []string // only contexts of these kinds; empty means every kind
	ExceptKinds []string // and none of these
	// Without are the sorts of entries that are left out whole: an export without functions has schemas without functions.
	Without []model.EntrySort
	Hide    []Hidden       // single settings, variables, functions and events that are left out
	Events  model.Severity // events from this severity up; none given is all of them
	Secrets bool           // secret settings can be known of and written; their values never leave the owner in any case
	People  bool           // users and roles can be seen, and changed where Right is administer
	Right   model.Right    // the highest, from view on
}

// Hidden names something that a context consists of, of one kind, or of every kind where Kind is empty.
type Hidden struct {
	Kind string
	Name string
}

// WholeTree is the preset for everything but secrets and people.
func WholeTree(name string, right model.Right) Export {
	return Export{Name: name, Paths: []model.Pattern{model.Everything}, Right: right}
}

// KindAlert is the kind of an alert's context.
const KindAlert = "alert"

// AlertsOnly is the preset for alerts, wherever they are, and nothing else.
func AlertsOnly(name string, right model.Right) Export {
	return Export{Name: name, Paths: []model.Pattern{model.Everything}, Kinds: []string{KindAlert}, Right: right}
}

// MaxExportEntries bounds each list of an export.
const MaxExportEntries = 256

func (e *Export) validate() error {
	if err := model.CheckName(e.Name); err != nil {
		return model.Errorf(model.KindInvalid, "an export's name: %w", err)
	}
	if e.Right < model.RightView || e.Right > model.RightAdminister {
		return model.Errorf(model.KindInvalid, "export %s: the highest right is %s, it must be view, operate, configure or administer", e.Name, e.Right)
	}
	if len(e.Paths) == 0 {
		return model.Errorf(model.KindInvalid, "export %s has no pattern; /** is the whole tree", e.Name)
	}
	if n := max(len(e.Paths), len(e.Kinds), len(e.ExceptKinds), len(e.Hide)); n > MaxExportEntries {
		return model.Errorf(model.KindInvalid, "export %s has a list of %d entries, at most %d are allowed", e.Name, n, MaxExportEntries)
	}
	for _, sort := range e.Without {
		if sort < model.EntrySetting || sort > model.EntryEvent {
			return model.Errorf(model.KindInvalid, "export %s leaves out %s: a context has settings, variables, functions and events", e.Name, sort)
		}
	}
	if e.Events > model.SeverityCritical {
		return model.Errorf(model.KindInvalid, "export %s shows events from a severity up that there is not", e.Name)
	}
	names := slices.Concat(e.Kinds, e.ExceptKinds)
	for _, h := range e.Hide {
		if names = append(names, h.Name); h.Kind != "" {
			names = append(names, h.Kind)
		}
	}
	for _, name := range names {
		if err := model.CheckName(name); err != nil {
			return model.Errorf(model.KindInvalid, "export %s: %w", e.Name, err)
		}
	}
	return nil
}
