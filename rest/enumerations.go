package rest

import (
	"banyan/model"

	"github.com/danielgtaylor/huma/v2"
)

// Words with few meanings, which the document describes once each.
type (
	Quality   string
	TypeName  string
	RightName string
	KindName  string
)

func enumeration(r huma.Registry, name, description string, words ...any) *huma.Schema {
	if _, there := r.Map()[name]; !there {
		s := &huma.Schema{Type: huma.TypeString, Description: description, Enum: words}
		s.PrecomputeMessages()
		r.Map()[name] = s
	}
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

// Schema describes it.
func (Quality) Schema(r huma.Registry) *huma.Schema {
	return enumeration(r, "Quality", "How far a value can be trusted. What is behind a link that is cut is uncertain.",
		model.Good.String(), model.Uncertain.String(), model.Bad.String())
}

// Schema describes it.
func (TypeName) Schema(r huma.Registry) *huma.Schema {
	return enumeration(r, "Type", "The type of a value; none where there is no value.", typeNames(model.TypeNone, model.TypeTable)...)
}

// Schema describes it.
func (RightName) Schema(r huma.Registry) *huma.Schema {
	var names []any
	for right := model.RightNone; right <= model.RightAdminister; right++ {
		names = append(names, right.String())
	}
	return enumeration(r, "Right", "What somebody may do; each has those before it.", names...)
}

// Schema describes it.
func (KindName) Schema(r huma.Registry) *huma.Schema {
	var names []any
	for kind := model.KindInternal; kind <= model.KindUnknownFate; kind++ {
		names = append(names, kind.String())
	}
	return enumeration(r, "ProblemKind", "The class of an error, stable, the same in all interfaces of the node. What is absent and what is hidden from the caller are both not-found, with the same bytes.", names...)
}
