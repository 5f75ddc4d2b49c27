package server

import (
	"context"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"
	"banyan/tree"
)

const (
	// explainTime is how long the nodes on the way are waited for, all together: the deadline goes with the question.
	explainTime = 5 * time.Second
	// mostExplained bounds the words of another node.
	mostExplained = 600
)

// Explain asks the nodes on the way to a mounted context what they would decide: the neighbour, which asks on. Who cannot be asked is named.
func (l *links) Explain(ctx context.Context, who access.Principal, at model.Address, need model.Right, route tree.Route) []explainedHop {
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	hops, err := l.askWhy(ctx, who, at, need)
	if err == nil {
		return hops
	}
	why := err.Error()
	if model.KindOf(err) == model.KindUnsupported {
		why = "its version says nothing of what it would decide"
	}
	for _, hop := range route {
		hops = append(hops, explainedHop{node: hop.Name, need: need, text: hop.Name + " cannot be asked: " + why})
	}
	return hops
}

func (l *links) askWhy(ctx context.Context, who access.Principal, at model.Address, need model.Right) ([]explainedHop, error) {
	p, mounted := l.point(at.Path)
	if !mounted {
		return nil, model.Errorf(model.KindUnavailable, "there is no link to it")
	}
	below, _ := p.path.Below(at.Path)
	answer, err := l.hub.AskWhy(ctx, p.link, &linkv1.ExplainRequest{
		Principal: l.principalOf(who), Export: p.export, Path: below.String(), Name: at.Name, Right: modelv1.Right(need),
	})
	if err != nil {
		return nil, err
	}
	if err := proto.ToError(answer.GetError()); err != nil {
		return nil, err
	}
	var hops []explainedHop
	for _, h := range answer.GetHops()[:min(len(answer.GetHops()), access.MaxHops)] {
		hops = append(hops, explainedHop{
			node: pki.Printable(h.GetNode(), mostExplained), known: h.GetKnown(), allowed: h.GetAllowed(), rule: int(h.GetRule()),
			origin: pki.Printable(h.GetOrigin(), mostExplained), has: model.Right(h.GetHas()), need: model.Right(h.GetNeed()), text: pki.Printable(h.GetText(), mostExplained),
		})
	}
	return hops, nil
}

// explainTo answers a consumer. Of what it may not see it hears the same as of what is not there.
func (l *links) explainTo(ctx context.Context, link string, request *linkv1.ExplainRequest) (*linkv1.ExplainResponse, error) {
	who, root, err := l.consumerOf(link, request.GetExport(), request.GetPrincipal())
	if err != nil {
		return nil, err
	}
	below, err := model.ParsePath(request.GetPath())
	if err != nil {
		return nil, err
	}
	at := model.Address{Name: request.GetName()}
	if at.Path, err = root.Join(below); err != nil {
		return nil, err
	}
	if at.Name != "" {
		if err := model.CheckName(at.Name); err != nil {
			return nil, err
		}
	}
	need := model.Right(min(max(0, request.GetRight()), modelv1.Right(model.RightAdminister)))
	c, there := l.tree.Lookup(at.Path)
	if !there || !l.node.router.decide(who, access.Entity{Path: at.Path, Kind: c.Schema.Kind}, model.RightView, false).Allowed {
		return &linkv1.ExplainResponse{Hops: []*linkv1.ExplainedHop{{
			Node: l.self.Name, Known: true, Need: modelv1.Right(max(need, model.RightView)), Text: "denied by " + l.self.Name + ": nothing is there that may be seen over this link",
		}}}, nil
	}
	answer := &linkv1.ExplainResponse{}
	for _, h := range l.node.explain(ctx, who, who, at, need) {
		answer.Hops = append(answer.Hops, &linkv1.ExplainedHop{
			Node: h.node, Known: h.known, Allowed: h.allowed, Rule: int32(h.rule), Origin: h.origin, Has: modelv1.Right(h.has), Need: modelv1.Right(h.need), Text: h.text,
		})
	}
	return answer, nil
}
