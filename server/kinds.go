package server

import (
	"context"

	"banyan/access"
	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

// Kinds of contexts that every node has.
const (
	KindNode    = "node"
	KindFolder  = "folder"
	KindUser    = "user"
	KindRole    = "role"
	KindForeign = "foreign-user"
	KindToken   = "token"
)

// Controller stands behind the own contexts of a kind: it judges what is to become of them, and does what they are asked for. A mounted context
// has none here, whatever its kind.
type Controller interface {
	// Check judges a proposal after rights, types and limits were checked, and may replace the values in it. Its error is the refusal.
	Check(ctx context.Context, p *Proposal) error
	// Call runs a function whose arguments fit its declaration. It returns soon after ctx has ended.
	Call(ctx context.Context, at *tree.Context, function string, arguments []model.Argument, by access.Principal) ([]model.Argument, error)
	// Write sets a variable that is declared writable, to a value of its type. It returns soon after ctx has ended.
	Write(ctx context.Context, at *tree.Context, variable string, value model.Value) error
}

// Proposal is what somebody wants to become of an own context.
type Proposal struct {
	By       access.Principal
	Op       Op // OpCreate, OpSet, OpRemove
	Path     model.Path
	At       *tree.Context    // as it is; nil for one that is to be created
	Schema   *model.Schema    // of its kind
	Settings []model.Argument // that are given; no value puts the default back
	Done     func()           // when not nil: called once it is done

	// Tree is what the proposal is judged against, and Rights are those that hold there. Of a batch they are as they will be once the edits
	// before this one are done, so that a controller looks nowhere else.
	Tree   View
	Rights *access.Decider
	// Trial says that nothing will be done whatever the judgement is, so that what only costs time may be left out.
	Trial bool
}

// View is a tree that can be looked at: the node's own, or that one with changes that are not made yet.
type View interface {
	Lookup(path model.Path) (tree.Context, bool)
	// Walk is as tree.Tree.Walk.
	Walk(path model.Path, descend func(model.Path) bool, visit func(*tree.Context) bool)
}

var _ View = (*tree.Tree)(nil)

// After is the value of a setting after the proposal was done.
func (p *Proposal) After(name string) model.Value {
	at := p.Schema.SettingIndex(name)
	for _, s := range p.Settings {
		if s.Name == name {
			if s.Value.IsNone() && at >= 0 {
				return p.Schema.Settings[at].Default
			}
			return s.Value
		}
	}
	if p.At != nil {
		return p.At.SettingNamed(name)
	}
	if at >= 0 {
		return p.Schema.Settings[at].Default
	}
	return model.Value{}
}

// Given is the value that is given for a setting, and whether one is.
func (p *Proposal) Given(name string) (model.Value, bool) {
	for _, s := range p.Settings {
		if s.Name == name {
			return s.Value, true
		}
	}
	return model.Value{}, false
}

// passive is a Controller of contexts that do nothing; others embed it and add what they do.
type passive struct{}

func (passive) Check(context.Context, *Proposal) error { return nil }

func (passive) Call(context.Context, *tree.Context, string, []model.Argument, access.Principal) ([]model.Argument, error) {
	return nil, model.Errorf(model.KindUnsupported, "contexts of this kind have no functions")
}

func (passive) Write(context.Context, *tree.Context, string, model.Value) error {
	return model.Errorf(model.KindUnsupported, "contexts of this kind have no variables that can be set")
}

// Kind is a sort of contexts that this node can own.
type Kind struct {
	Schema     *model.Schema
	Controller Controller
	// Fixed says that people neither create nor remove contexts of this kind.
	Fixed bool
	// Whole says that what lies below such a context is part of it, and removed with it.
	Whole bool
	// Shows are functions that only show something: that they were called is not recorded, as reading is not.
	Shows map[string]bool
	// Confidential says that what its functions answer is told once and kept nowhere.
	Confidential bool
}

// Kinds are the sorts of contexts that this node can own, by name. It is complete before the node runs, and not changed any more then.
type Kinds map[string]Kind

// Add adds a kind; the schema is encoded here.
func (k Kinds) Add(schema model.Schema, kind Kind) error {
	encoded, err := proto.NewSchema(schema)
	if err != nil {
		return err
	}
	if _, twice := k[encoded.Kind]; twice {
		return model.Errorf(model.KindInternal, "there are two kinds called %s", encoded.Kind)
	}
	if kind.Controller == nil {
		kind.Controller = passive{}
	}
	kind.Schema = encoded
	k[encoded.Kind] = kind
	return nil
}

// folders are contexts that hold others and nothing else.
type folders struct{ passive }

// Check keeps folders out of the places that have a meaning, and those that every node has where they are.
func (folders) Check(_ context.Context, p *Proposal) error {
	if p.Op == OpSet {
		return nil
	}
	for _, place := range ownPlaces {
		if p.Op == OpRemove && p.Path == place.path {
			return model.Errorf(model.KindUnsupported, "every node has %s", p.Path)
		}
		if p.Op == OpCreate && !place.folders && place.path.Contains(p.Path) {
			return model.Errorf(model.KindUnsupported, "there are no folders below %s", place.path)
		}
	}
	return nil
}

type ownPlace struct {
	path    model.Path
	kind    string
	label   string
	folders bool // folders may be made below it
}

// ownPlaces are the contexts that every node begins with.
var ownPlaces = []ownPlace{
	{systemPath, KindNode, "This node", false},
	{usersPath, KindFolder, "Users", false},
	{rolesPath, KindFolder, "Roles", false},
	{devicesPath, KindDevices, "Devices", true},
	{linksPath, KindLinks, "Links", false},
	{exportsPath, KindFolder, "Exports", false},
	{mountsPath, KindFolder, "Mounts", false},
}

// Where the own contexts of a node are.
var (
	systemPath  = model.MustPath("/system")
	usersPath   = model.MustPath("/users")
	rolesPath   = model.MustPath("/roles")
	devicesPath = model.MustPath("/devices")
	linksPath   = model.MustPath("/links")
	exportsPath = model.MustPath("/exports")
	mountsPath  = model.MustPath("/mounts")
)

var folderSchema = model.Schema{Kind: KindFolder, Description: "A place for other contexts."}
