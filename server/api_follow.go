package server

import (
	"context"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/apiv1"
	"banyan/proto/modelv1"

	"banyan/follow"

	"connectrpc.com/connect"
	protobuf "google.golang.org/protobuf/proto"
)

// Limits of a message of definitions.
const (
	mostDefinitions = 512
	mostVariables   = 4096
)

// Follow sends everything at and below a path: definitions with keys, and samples by key, packed by column. It is the hot path: a batch is encoded
// once for all who follow the same, and its bytes go out as they are. Samples of a context come after its definition, the latest one first. A slow
// reader gets the latest sample of each variable and is told of how many variables that is so. What is named stale is so from that message on, until a newer
// sample of it comes or a later message no longer names it.
func (a *api) Follow(ctx context.Context, q *apiv1.FollowRequest, to *connect.ServerStream[apiv1.FollowResponse]) error {
	ctx, leave, err := a.enterStream(ctx)
	if err != nil {
		return err
	}
	defer leave()
	path, err := model.ParsePath(q.GetPath())
	if err != nil {
		return err
	}
	caller := callerOf(ctx)
	if !path.IsRoot() && !a.seesAny(caller.Principal, path) {
		return notFollowed(path)
	}
	view, err := a.follows.enter(a.node.policies, caller.Principal, path)
	if err != nil {
		return err
	}
	defer a.follows.leave(view)
	defer a.node.peers.Look(nil, []model.Path{path})()
	s := &followStream{api: a, caller: caller, view: view, follower: view.NewFollower(follow.Start{}), to: to, json: speaksJSON(ctx)}
	defer s.follower.Close()
	return s.run(ctx)
}

// speaksJSON reports whether the caller cannot take encoded bytes.
func speaksJSON(ctx context.Context) bool {
	info, known := connect.CallInfoForHandlerContext(ctx)
	return !known || strings.Contains(info.RequestHeader().Get("Content-Type"), "json")
}

// followStream is one stream of Follow.
type followStream struct {
	api      *api
	caller   Caller
	view     *followedView
	follower *follow.Follower
	to       *connect.ServerStream[apiv1.FollowResponse]
	json     bool

	listed  bool
	waiting *waitingStaleness
	raw     []byte
	out     apiv1.FollowResponse
}

// waitingStaleness is staleness that takes effect at heads that were not told yet.
type waitingStaleness struct {
	stale            []follow.Stale
	changes, samples uint64
}

func (s *followStream) run(ctx context.Context) error {
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	for {
		some, err := s.step()
		if err != nil {
			return err
		}
		if s.follower.Lost() {
			return &model.Error{Kind: model.KindUnavailable, Detail: "more has gone than is remembered since the last answer", Remedy: "follow anew"}
		}
		if some {
			select {
			case <-alive.C:
				err = s.check()
			case <-ctx.Done():
				err = context.Cause(ctx)
			default:
			}
		} else if pause := s.follower.Gather(); pause > 0 {
			time.Sleep(pause) // too short to listen to anything
		} else {
			select {
			case <-s.follower.Wake():
			case <-alive.C:
				err = s.check()
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
}

// check ends the stream of a caller who may no longer have it.
func (s *followStream) check() error {
	if !s.caller.Alive() {
		return errEnded()
	}
	key, err := followKey(s.api.node.policies, s.caller.Principal, s.view.path)
	if err != nil {
		return err
	}
	if key != s.view.key {
		return &model.Error{Kind: model.KindUnavailable, Op: "follow", Path: s.view.path, Detail: "what may be seen has changed", Remedy: "follow again"}
	}
	if !s.view.path.IsRoot() && !s.api.seesAny(s.caller.Principal, s.view.path) {
		return notFollowed(s.view.path)
	}
	return nil
}

// step tells what comes next: definitions before samples, staleness once what it says is true.
func (s *followStream) step() (some bool, err error) {
	s.follower.Look()
	if changes, more := s.follower.Changes(mostDefinitions); more {
		return true, s.define(&changes)
	}
	if !s.listed {
		s.listed = true
		return true, s.send(&apiv1.FollowResponse{Body: &apiv1.FollowResponse_Definitions{Definitions: &apiv1.Definitions{Listed: true}}})
	}
	if stale, changes, samples, changed := s.follower.Overlays(); changed {
		s.waiting = &waitingStaleness{stale, changes, samples}
	}
	batch, more := s.follower.Samples()
	if more && batch.Samples > 0 {
		if err := s.samples(&batch); err != nil {
			return true, err
		}
	}
	if w := s.waiting; w != nil && s.follower.ChangesThrough() >= w.changes && s.follower.SamplesThrough() >= w.samples {
		s.waiting = nil
		return true, s.stale(w.stale)
	}
	return more, nil
}

func (s *followStream) samples(b *follow.Batch) error {
	s.raw = proto.AppendFollowSamples(s.raw[:0], b.Encoded, uint64(b.Conflated))
	if s.json {
		var message apiv1.FollowResponse
		if err := protobuf.Unmarshal(s.raw, &message); err != nil {
			return err
		}
		return s.send(&message)
	}
	// As unknown fields the bytes are written verbatim.
	s.out.ProtoReflect().SetUnknown(s.raw)
	return s.send(&s.out)
}

func (s *followStream) send(message *apiv1.FollowResponse) error { return s.to.Send(message) }

// define tells definitions with their keys, and takes them for arrived at once: there is one stream, and it keeps its order.
func (s *followStream) define(changes *follow.Changes) error {
	keys := s.view.Keys(changes.Entries)
	d := &apiv1.Definitions{}
	variables := 0
	flush := func() error {
		err := s.send(&apiv1.FollowResponse{Body: &apiv1.FollowResponse_Definitions{Definitions: d}})
		d, variables = &apiv1.Definitions{}, 0
		return err
	}
	for i := range changes.Gone {
		if s.view.path.Contains(changes.Gone[i].Path) {
			d.Removed = append(d.Removed, changes.Gone[i].Path.String())
		}
	}
	for i := range changes.Entries {
		e := &changes.Entries[i]
		c := &apiv1.FollowContext{Path: e.Path.String(), Kind: e.Schema.Kind, Key: keys[i], Via: e.Context.Route.Names()}
		for j := range e.Schema.Variables {
			v := &e.Schema.Variables[j]
			c.Variables = append(c.Variables, &apiv1.FollowVariable{Name: v.Name, Type: modelv1.Type(v.Type), Unit: v.Unit})
		}
		d.Contexts = append(d.Contexts, c)
		if variables += len(c.Variables); variables >= mostVariables {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(d.Contexts) > 0 || len(d.Removed) > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	s.follower.Acknowledge(changes.Through)
	return nil
}

func (s *followStream) stale(stale []follow.Stale) error {
	message := &apiv1.Staleness{}
	for _, o := range stale {
		if s.view.path.Contains(o.Path) || o.Path.Contains(s.view.path) {
			message.Stale = append(message.Stale, &apiv1.StalePath{Path: o.Path.String(), Since: o.Since.String(), Hop: o.Hop})
		}
	}
	return s.send(&apiv1.FollowResponse{Body: &apiv1.FollowResponse_Staleness{Staleness: message}})
}
