package graphs

import (
	"fmt"

	"banyan/model"
	"banyan/proto"
)

// shape is a schema of a kind. Names that are tokens can be looked for in the bytes of a frame.
type shape struct {
	kind    string
	schema  *model.Schema
	entries []entry
}

type entry struct {
	name     string
	variable bool
	kind     model.Type
	secret   bool
}

// shapes are several schemas for each kind, so that a context goes from one to another.
var shapes = func() (list []*shape) {
	for k, kind := range []string{"tk900001", "tk900002", "tk900003", "user"} {
		name := func(entry string) string { return fmt.Sprintf("tk91%d%03d", k, int(entry[0])) }
		setting := func(n string, t model.Type) entry { return entry{name(n), false, t, false} }
		variable := func(n string, t model.Type) entry { return entry{name(n), true, t, false} }
		secret := entry{name("s"), false, model.TypeString, true}
		for _, entries := range [][]entry{
			{setting("t", model.TypeString), secret, setting("r", model.TypeRef), variable("a", model.TypeInt64), variable("b", model.TypeString)},
			{secret, setting("r", model.TypeRef), variable("c", model.TypeInt64), variable("a", model.TypeInt64), variable("d", model.TypeRef)},
			{setting("u", model.TypeTable), setting("t", model.TypeString), variable("b", model.TypeString), variable("a", model.TypeInt64)},
		} {
			list = append(list, newShape(kind, entries))
		}
	}
	return list
}()

func newShape(kind string, entries []entry) *shape {
	declared := model.Schema{Kind: kind}
	for _, e := range entries {
		if e.variable {
			declared.Variables = append(declared.Variables, model.Variable{Name: e.name, Type: e.kind})
			continue
		}
		declared.Settings = append(declared.Settings, model.Setting{Name: e.name, Type: e.kind, Secret: e.secret, Right: model.RightConfigure})
	}
	schema, err := proto.NewSchema(declared)
	if err != nil {
		panic(err)
	}
	return &shape{kind, schema, entries}
}

// thing is a context at its owner, with what it is now.
type thing struct {
	*shape
	id     uint64
	owner  int
	path   string
	label  string
	values map[string]*value // by entry
}

// value is what an entry is.
type value struct {
	model.Value
	token     string
	confirmed bool // published since its owner began
}

// facts are what there is to be known of a thing.
func (t *thing) facts() []fact {
	base := fact{path: t.path, id: t.id, owner: t.owner, kind: t.kind}
	context := base
	context.token = t.label
	list := []fact{context}
	for _, e := range t.entries {
		f := base
		f.entry, f.secret = e.name, e.secret
		list = append(list, f)
		if v := t.values[e.name]; v != nil && v.token != "" {
			f.token = v.token
			list = append(list, f)
		}
	}
	return list
}
