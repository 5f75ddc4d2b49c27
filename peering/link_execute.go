package peering

import (
	"context"
	"time"

	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// execute hands a request to the provider, where the feed of its export stands.
func (l *link) execute(ctx context.Context, request *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
	client, err := l.clientFor(request.GetExport())
	if err != nil {
		return nil, err
	}
	response, err := client.Execute(ctx, request)
	if err != nil && !proto.Told(err) && ctx.Err() == nil {
		return nil, l.unanswered(proto.FromStatus(err))
	}
	return response, proto.FromStatus(err)
}

// unanswered is the error of a request to which no answer came. It may have been done, or not even sent: gRPC says the same of both.
func (l *link) unanswered(err error) error {
	switch model.KindOf(err) {
	case model.KindUnavailable, model.KindCanceled, model.KindInternal, model.KindUnknownFate:
		return &model.Error{
			Kind: model.KindUnknownFate, Detail: "the connection of link " + l.cfg.Name + " ended before the answer came", Err: quiet{err},
			Remedy: "look what became of it; a request that is kept for a time is sent again, and done once",
		}
	}
	if offends(err) {
		return &model.Error{
			Kind: model.KindUnknownFate, Detail: "the other node of link " + l.cfg.Name + " answered what no node does: " + err.Error(), Err: quiet{err},
			Remedy: "look what became of it, and what is wrong with that node: the link is ended",
		}
	}
	return err
}

// clientFor is the way to the provider for what concerns an export that is mounted.
func (l *link) clientFor(export string) (linkv1.LinkServiceClient, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state, since := l.status.State, l.status.Since
	for _, f := range l.feeds {
		if f.mount.Export != export {
			continue
		}
		state, since = f.status.State, f.status.Since
		switch state {
		case StateUp, StateStarting, StateStalled:
			if l.line != nil && f.session != nil {
				return l.line.client, nil
			}
		}
	}
	return nil, notSent{&model.Error{
		Kind: model.KindUnavailable, Detail: "link " + l.cfg.Name + " is " + string(state) + " since " + since.Std().UTC().Format(time.RFC3339),
		Remedy: "try again when the link is up",
	}}
}
