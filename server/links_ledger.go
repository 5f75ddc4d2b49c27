package server

import (
	"context"

	"banyan/model"
	"banyan/peering"
	"banyan/proto"
	"banyan/proto/linkv1"
)

// look answers a neighbour what became of a request.
func (l *links) look(ctx context.Context, link string, request *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
	return l.served(ctx, link, request, true)
}

// forwardKept hands on a request with a time until which it is sent, or asks what became of it. What is answered comes with what is wrong, if something
// is. The time is told in the clock of who receives it, by how far the heartbeats say that the two are apart.
func (l *links) forwardKept(ctx context.Context, p mountPoint, q *Request, request *linkv1.ExecuteRequest) (Response, error) {
	status, _ := l.hub.Status(p.link)
	request.Until, request.Owner, request.Attempt = int64(q.Until)+int64(status.Skew), proto.FromPosition(q.Owner), q.Attempt
	ask := l.hub.Ask
	if q.look {
		ask = l.hub.AskFate
	}
	answer, err := ask(ctx, p.link, request)
	if err != nil {
		sent := !peering.NotSent(err)
		return Response{handed: sent, broken: sent}, err
	}
	response, err := answered(&p, answer)
	response.Fate, response.Owner, response.Via, response.handed = model.Fate(answer.GetFate()), proto.ToPosition(answer.GetOwner()), answer.GetVia(), true
	return response, err
}
