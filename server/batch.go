package server

import (
	"context"
	"errors"
	"slices"

	"banyan/access"
	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

// mostRefusals is how many refused edits of a batch are told.
const mostRefusals = 20

// batch judges the edits of a request one after the other, each against the tree as those before it would leave it, and collects what the commit
// does. What is refused changes nothing for the edits after it: those that build on it are passed over, all others are judged.
type batch struct {
	router  *Router // looks at what is staged
	who     access.Principal
	q       *Request
	away    bool // another node owns it all: it is judged there, and here only whether it may be asked for
	staged  *staged
	rights  *stagedRights
	named   map[model.Path]named
	schemas map[model.SchemaHash]bool
	changes []store.Change
	done    []func()
	refused []*model.Error
	without []model.Path // of edits that were refused
}

// named says which edit a context was named by, and whether that removed it.
type named struct {
	edit    int
	removed bool
}

func newBatch(r *Router, who access.Principal, q *Request, away bool) *batch {
	view := newStaged(r.tree)
	b := &batch{
		who: who, q: q, away: away, staged: view, rights: &stagedRights{base: r.policies, view: view, who: who},
		named: map[model.Path]named{}, schemas: map[model.SchemaHash]bool{},
	}
	looking := *r
	looking.tree, looking.policies, looking.trial = view, b.rights, q.DryRun
	b.router = &looking
	return b
}

// judge decides on an edit and stages what it does.
func (b *batch) judge(ctx context.Context, i int) {
	e := &b.q.Edits[i]
	if len(b.refused) >= mostRefusals || b.builds(e) {
		return
	}
	err := b.once(e)
	if err == nil {
		b.named[e.Path] = named{i, e.Op == OpRemove}
		one := &Request{Op: e.Op, Path: e.Path, Kind: e.Kind, Arguments: e.Settings, Expected: e.Expected, Below: e.Below}
		switch e.Op {
		case OpCreate:
			err = b.create(ctx, one, e)
		case OpSet:
			err = b.change(ctx, one, e)
		case OpRemove:
			err = b.remove(ctx, one)
		default:
			err = model.Errorf(model.KindUnsupported, "a batch cannot %s", e.Op)
		}
	}
	if err != nil {
		b.refused = append(b.refused, b.refusedEdit(i, err))
		b.without = append(b.without, e.Path)
	}
}

// once refuses a second edit of one context. What was removed may be created again.
func (b *batch) once(e *Edit) error {
	before, twice := b.named[e.Path]
	if !twice || before.removed && e.Op == OpCreate {
		return nil
	}
	return &model.Error{
		Kind: model.KindInvalid, Detail: "the batch names this context twice",
		Err: model.Errorf(model.KindInvalid, "edit %d is about it already", before.edit+1), Remedy: "put both into one edit",
	}
}

// builds reports whether an edit is about what one that was refused ought to have made, or speaks of it: then its own refusal would say nothing.
func (b *batch) builds(e *Edit) bool {
	for _, path := range b.without {
		if path.Contains(e.Path) || e.Op == OpRemove && e.Path.Contains(path) {
			return true
		}
		for _, a := range e.Settings {
			to, inside := a.Value.Ref()
			if inside && path.Contains(to.Path) || slices.Contains(splitList(a.Value.Text()), path.Base()) {
				return true
			}
		}
	}
	return false
}

// refusal is why the batch is not done: the first refusal, with the others beside it.
func (b *batch) refusal() error {
	if len(b.refused) == 0 {
		return nil
	}
	first := b.refused[0]
	first.Also = b.refused[1:]
	return first
}

func (b *batch) create(ctx context.Context, one *Request, e *Edit) error {
	r := b.router
	if err := r.mayCreate(b.who, one); err != nil || b.away {
		return err
	}
	p, err := r.proposeCreate(ctx, b.who, one)
	if err != nil {
		return err
	}
	if r.has(e.Path) {
		return model.Errorf(model.KindExists, "there is something of that name")
	}
	label := ""
	if e.Label != nil {
		label = *e.Label
	}
	if !b.schemas[p.Schema.Hash] {
		b.schemas[p.Schema.Hash] = true
		b.changes = append(b.changes, store.PutSchema{Schema: p.Schema})
	}
	b.changes = append(b.changes, store.Create{
		ID: r.commits.NewID(), Path: e.Path, Label: label, Schema: p.Schema.Hash, Settings: toSettings(p.Settings),
	})
	b.finish(p)
	b.staged.create(p, label)
	b.rights.touched(e.Path, e.Kind)
	return nil
}

// finish keeps what is to be called once the batch is done.
func (b *batch) finish(p *Proposal) {
	if p.Done != nil {
		b.done = append(b.done, p.Done)
	}
}

func (b *batch) change(ctx context.Context, one *Request, e *Edit) error {
	c, err := b.router.look(b.who, one.Op.String(), one.address())
	if err != nil {
		return err
	}
	if err := b.mayChange(one, e, &c); err != nil || b.away {
		return err
	}
	if err := expect(&c, e.Expected); err != nil {
		return err
	}
	settings, expected := e.Settings, e.Expected
	if len(settings) > 0 {
		p, err := b.router.proposeSet(ctx, b.who, &c, settings)
		if err != nil {
			return err
		}
		b.finish(p)
		settings = p.Settings
		b.changes = append(b.changes, store.Set{Target: target(&c), Settings: toSettings(settings), Expected: expected})
		expected = model.Revision{} // it is that of this commit from here on
	}
	if e.Label != nil {
		if _, err := b.router.controlled(&c); err != nil {
			return err
		}
		b.changes = append(b.changes, store.Move{Target: target(&c), Label: e.Label, Expected: expected})
	}
	b.staged.change(&c, settings, e.Label)
	b.rights.touched(c.Path, c.Schema.Kind)
	return nil
}

// mayChange decides on each setting that is given, and on the label, and checks names and types.
func (b *batch) mayChange(one *Request, e *Edit, c *tree.Context) error {
	if len(e.Settings) == 0 && e.Label == nil {
		return model.Errorf(model.KindInvalid, "it changes neither a setting nor the label")
	}
	for i, a := range e.Settings {
		found, there := settable(c.Schema, a.Name)
		at := model.Address{Path: c.Path, Name: a.Name}
		if !there {
			return access.NotFound(one.Op.String(), at)
		}
		if err := b.router.may(b.who, one.Op, c, a.Name, &found); err != nil {
			return about(err, one.Op.String(), at)
		}
		switch {
		case found.sort != model.EntrySetting:
			return &model.Error{Kind: model.KindUnsupported, Name: a.Name, Detail: "a variable is not part of a batch", Remedy: "set it by itself"}
		case slices.ContainsFunc(e.Settings[:i], func(other model.Argument) bool { return other.Name == a.Name }):
			return model.Errorf(model.KindInvalid, "setting %s is given twice", a.Name)
		}
		if err := checkSet(&Request{Value: a.Value}, &found); err != nil {
			return about(err, one.Op.String(), at)
		}
	}
	if e.Label == nil {
		return nil
	}
	entity := access.Entity{Path: c.Path, Kind: c.Schema.Kind}
	return b.router.decide(b.who, entity, model.RightConfigure, true).Err(one.Op.String(), one.address())
}

// expect refuses an edit that was decided on at another revision of an own context.
func expect(c *tree.Context, revision model.Revision) error {
	if revision.IsZero() || revision == c.Version {
		return nil
	}
	return &model.Error{
		Kind: model.KindConflict, Detail: "its revision is " + c.Version.String() + ", not " + revision.String(), Remedy: "read it again and decide anew",
	}
}

func (b *batch) remove(ctx context.Context, one *Request) error {
	c, err := b.router.look(b.who, one.Op.String(), one.address())
	if err != nil {
		return err
	}
	if err := b.router.mayRemove(b.who, one, &c); err != nil || b.away {
		return err
	}
	if err := expect(&c, one.Expected); err != nil {
		return err
	}
	goes, err := b.router.proposeRemove(ctx, b.who, one, &c)
	if err != nil {
		return err
	}
	b.changes = append(b.changes, goes.change)
	b.done = append(b.done, goes.done...)
	b.staged.remove(goes.gone)
	for i := range goes.gone {
		b.rights.touched(goes.gone[i].Path, goes.gone[i].Schema.Kind)
	}
	return nil
}

// refusedEdit is why an edit is refused, with which one it is. The text of an error without a kind is for the log.
func (b *batch) refusedEdit(i int, err error) *model.Error {
	e := &model.Error{Kind: model.KindOf(err)}
	var known *model.Error
	switch {
	case errors.As(err, &known):
		copied := *known
		e = &copied
	case e.Kind == model.KindInternal:
		b.router.log.Error("an edit could not be judged", "path", b.q.Edits[i].Path, "error", err)
		e.Detail = "an internal error; the log of " + b.router.node + " has the detail"
	default:
		e.Err = err
	}
	e.Edit, e.Also = i+1, nil
	return e
}
