package server

import (
	"context"
	"errors"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// Forwarder carries requests about mounted contexts to the neighbour through which they came.
type Forwarder interface {
	// Mounted reports whether the path is a mount point or lies below one: nothing there is this node's own.
	Mounted(path model.Path) bool
	// MountPoint is the mount point that a path is, or lies below.
	MountPoint(path model.Path) (model.Path, bool)
	// Forward hands the request on and returns what the owner answered. The path is in this node's tree; the principal is who asked here, to
	// which the forwarder adds this node. Paths in an error are of no matter: the router puts the ones that were asked for.
	Forward(ctx context.Context, who access.Principal, q Request) (Response, error)
}

// mirrorWait is how long an answer waits for this node's own tree to show what the owner did.
const mirrorWait = time.Second

// rights knows the decider that holds, and the one that would hold for somebody if the tree were another.
type rights interface {
	Decider() *access.Decider
	For(view View, who access.Principal) *access.Decider
}

// Router is the one way that every set, call, creation, removal and batch takes, whoever asks and however: it finds the owner, decides, and has
// it done here or hands it on.
type Router struct {
	node     string
	tree     View
	policies rights
	rules    *policies // what rights are made of
	kinds    Kinds
	part     func(*tree.Context) (Kind, bool) // the kind of what is part of a device, whatever it is called
	commits  *Commits
	pulse    *pulse
	forward  Forwarder
	now      func() time.Time
	log      hclog.Logger
	audit    *auditor
	ledger   *ledger
	trial    bool // nothing that is proposed will be done
}

// Execute carries out a request and returns when it is done, refused, or ctx has ended, which ends the owner's work. An error of kind
// unknown-fate says that it may have been done; sent again with the same ID it is not done twice.
func (r *Router) Execute(ctx context.Context, who access.Principal, q Request) (Response, error) {
	q.draw()
	if q.Until != 0 {
		response, err := r.ledger.execute(ctx, who, &q)
		if err != nil {
			err = r.located(err, &q)
		}
		return response, err
	}
	response, err := r.judged(ctx, who, &q)
	if err != nil {
		r.refused(ctx, who, &q, err)
		return Response{}, r.located(err, &q)
	}
	return response, nil
}

func (r *Router) execute(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	switch q.Op {
	case OpSet:
		return r.set(ctx, who, q)
	case OpCall:
		return r.call(ctx, who, q)
	case OpCreate:
		return r.create(ctx, who, q)
	case OpRemove:
		return r.remove(ctx, who, q)
	case OpApply:
		return r.apply(ctx, who, q)
	}
	return Response{}, model.Errorf(model.KindUnsupported, "there is no operation %d", q.Op)
}

// located puts what was asked for, and who answered, into an error. The text of one without a kind is for the log.
func (r *Router) located(err error, q *Request) error {
	e := &model.Error{Kind: model.KindOf(err)}
	var known *model.Error
	switch {
	case errors.As(err, &known):
		copied := *known
		e = &copied
	case e.Kind == model.KindInternal:
		r.log.Error("a request failed", "operation", q.Op, "path", q.Path, "name", q.Name, "error", err)
		e.Detail = "an internal error; the log of " + r.node + " has the detail"
	default:
		e.Err = err
	}
	r.locate(e, q)
	return e
}

func (r *Router) locate(e *model.Error, q *Request) {
	if q.Op == OpApply {
		for i, other := range e.Also {
			copied := *other
			copied.Also = nil
			r.locate(&copied, q)
			e.Also[i] = &copied
		}
		q.locateEdit(e)
	} else {
		e.Op, e.Path, e.Edit, e.Also = q.Op.String(), q.Path, 0, nil
		if q.Op != OpCreate { // of a creation the error may name the setting
			e.Name = q.Name
		}
	}
	if e.Node == "" && e.Kind != model.KindNotFound {
		e.Node = r.node
	}
}

// decide asks the one decider.
func (r *Router) decide(who access.Principal, e access.Entity, need model.Right, acting bool) access.Decision {
	return r.policies.Decider().Decide(access.Question{Principal: who, Entity: e, Need: need, Acting: acting})
}

// look finds the context of a request for somebody who may see it. What is absent and what is hidden are the same error.
func (r *Router) look(who access.Principal, op string, at model.Address) (tree.Context, error) {
	c, there := r.tree.Lookup(at.Path)
	if !there {
		return c, access.NotFound(op, at)
	}
	return c, r.decide(who, access.Entity{Path: c.Path, Kind: c.Schema.Kind}, model.RightView, false).Err(op, at)
}

// entry is a setting, a variable or a function that a request is about.
type entry struct {
	index  int
	sort   model.EntrySort
	typ    model.Type
	right  model.Right
	secret bool
	local  bool
	write  bool // it can be set
}

// entity is what the decider is asked about.
func (e *entry) entity(c *tree.Context, name string) access.Entity {
	return access.Entity{Path: c.Path, Kind: c.Schema.Kind, Name: name, Sort: e.sort, Secret: e.secret, Local: e.local}
}

// settable finds the setting or variable called name.
func settable(s *model.Schema, name string) (entry, bool) {
	if i := s.SettingIndex(name); i >= 0 {
		d := &s.Settings[i]
		return entry{i, model.EntrySetting, d.Type, d.Right, d.Secret, d.Local, true}, true
	}
	if i := s.VariableIndex(name); i >= 0 {
		d := &s.Variables[i]
		return entry{i, model.EntryVariable, d.Type, d.Right, false, false, d.Writable}, true
	}
	return entry{}, false
}

// may decides on an entry of a context that may be seen: first whether it may be known of, then whether it may be acted on.
func (r *Router) may(who access.Principal, op Op, c *tree.Context, name string, e *entry) error {
	at := model.Address{Path: c.Path, Name: name}
	entity := e.entity(c, name)
	if err := r.decide(who, entity, model.RightView, false).Err(op.String(), at); err != nil {
		return err
	}
	if !e.write {
		return model.Errorf(model.KindUnsupported, "the variable can be read only")
	}
	return r.decide(who, entity, e.right, true).Err(op.String(), at)
}

// handOn forwards a request, and waits a moment for the effect to show here.
func (r *Router) handOn(ctx context.Context, who access.Principal, q *Request, shown func(*Response) bool) (Response, error) {
	if q.held {
		return Response{}, errHeld
	}
	var response Response
	if q.heard != nil {
		response, err := r.forward.Forward(ctx, who, *q)
		*q.heard = heard{fate: response.Fate, owner: response.Owner, handed: response.handed, broken: response.broken, via: response.Via}
		return response, err
	}
	err := r.recorded(ctx, who, q, outcomeForwarded, func() (err error) {
		response, err = r.forward.Forward(ctx, who, *q)
		return err
	})
	switch model.KindOf(err) {
	case model.KindNotFound:
		if q.Op == OpApply {
			return Response{}, err // the edit that it names is told in the same words
		}
		return Response{}, access.NotFound(q.Op.String(), q.address())
	case model.KindTimeout:
		return Response{}, r.lateOwner(err, q)
	}
	if err != nil {
		return Response{}, err
	}
	wait, cancel := context.WithTimeout(ctx, mirrorWait)
	defer cancel()
	response.Mirrored = shown == nil || r.pulse.until(wait, func() bool { return shown(&response) })
	response.Change = r.commits.tree.ChangeHead()
	return response, nil
}

// lateOwner says who did not answer in time, where the owner could not say so itself.
func (r *Router) lateOwner(err error, q *Request) error {
	var told *model.Error
	c, there := r.tree.Lookup(q.Path)
	if errors.As(err, &told) && told.Node != "" || !there || own(&c) {
		return err
	}
	owner := c.Route[len(c.Route)-1].Name
	return &model.Error{Kind: model.KindTimeout, Node: owner, Detail: owner + " did not answer in time", Err: err}
}

// reached reports whether a context shows a revision of its owner, or a later one.
func (r *Router) reached(path model.Path, revision model.Revision) bool {
	c, there := r.tree.Lookup(path)
	if !there {
		return true // it went after it was set
	}
	return c.Version.Epoch.Ordinal > revision.Epoch.Ordinal || c.Version.Epoch == revision.Epoch && c.Version.Number >= revision.Number
}
