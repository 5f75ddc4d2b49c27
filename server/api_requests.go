package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/store"
)

// until reads until when a request is sent: a length of time, so that no clock but this node's counts, or an instant.
func (a *api) until(text string, async bool) (model.Time, bool, error) {
	if text == "" {
		if async {
			return 0, false, &model.Error{Kind: model.KindInvalid, Detail: "only a request with a time until which it is sent is answered before it is done", Remedy: "give until, like 10m"}
		}
		return 0, false, nil
	}
	if length, err := time.ParseDuration(text); err == nil {
		if length <= 0 || length > mostUntil {
			return 0, false, model.Errorf(model.KindInvalid, "until: a request is kept for more than nothing and %s at most", mostUntil)
		}
		return model.TimeOf(a.router.now().Add(length)), async, nil
	}
	at, err := model.ParseTime(text)
	if err != nil {
		return 0, false, model.Errorf(model.KindInvalid, "until: %.64q is neither a length of time like 10m nor an instant like 2026-01-02T15:04:05Z", text)
	}
	return at, async, nil
}

// keptOf is what is told of a request that was kept; nil for one that was not.
func (a *api) keptOf(ctx context.Context, done *Response) *apiv1.RequestInfo {
	if done.Kept == [16]byte{} {
		return nil
	}
	k, there := a.node.ledger.row(done.Kept)
	if !there {
		return nil
	}
	return a.requestInfo(ctx, &k)
}

// Requests lists requests that are sent until they are answered, the newest first.
func (a *api) Requests(ctx context.Context, q *apiv1.RequestsRequest) (*apiv1.RequestsResponse, error) {
	if q.GetId() != "" {
		one, err := a.oneRequest(ctx, q.GetId(), q.GetWait())
		if err != nil {
			return nil, err
		}
		return &apiv1.RequestsResponse{Requests: []*apiv1.RequestInfo{one}}, nil
	}
	limit := int(q.GetLimit())
	if limit == 0 {
		limit = defaultList
	}
	after, err := parseID(q.GetAfter())
	switch {
	case err != nil:
		return nil, err
	case limit < 1 || limit > maxList:
		return nil, model.Errorf(model.KindInvalid, "a limit of %d: 1 to %d are allowed", limit, maxList)
	case q.GetWait():
		return nil, model.Errorf(model.KindInvalid, "wait goes with the ID of a request")
	}
	out := &apiv1.RequestsResponse{}
	passed := q.GetAfter() == ""
	for _, k := range a.node.ledger.all(q.GetEnded()) {
		switch {
		case !passed:
			passed = k.ID == after
		case !a.maySee(ctx, &k):
		case len(out.GetRequests()) == limit:
			out.More = true
			return out, nil
		default:
			out.Requests = append(out.Requests, a.requestInfo(ctx, &k))
		}
	}
	return out, nil
}

// oneRequest is what is known of a request; with wait once it has ended, or shortly before the caller's deadline.
func (a *api) oneRequest(ctx context.Context, text string, wait bool) (*apiv1.RequestInfo, error) {
	k, err := a.requestNamed(ctx, text)
	if err != nil {
		return nil, err
	}
	id := k.ID
	if wait && !k.Fate.Ended() {
		waiting, cancel := context.WithTimeout(ctx, attemptTime)
		if deadline, limited := ctx.Deadline(); limited {
			left := time.Until(deadline)
			cancel()
			waiting, cancel = context.WithTimeout(ctx, min(attemptTime, left-min(mostMargin, left/10)))
		}
		k, _ = a.node.ledger.await(waiting, id)
		cancel()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !a.maySee(ctx, &k) {
			return nil, noRequest()
		}
	}
	return a.requestInfo(ctx, &k), nil
}

// requestNamed finds a request by its ID, or by the first digits of it, among those that who asks may see: what is hidden from them makes nothing ambiguous.
func (a *api) requestNamed(ctx context.Context, text string) (kept, error) {
	if !isPrefix(text) {
		id, err := parseID(text)
		if err != nil {
			return kept{}, &model.Error{Kind: model.KindInvalid, Detail: "the ID of a request has 32 hexadecimal digits, of which the first four or more do", Remedy: "see banyan requests --all"}
		}
		if k, there := a.node.ledger.row(id); there && a.maySee(ctx, &k) {
			return k, nil
		}
		return kept{}, noRequest()
	}
	var found []kept
	for _, k := range a.node.ledger.all(true) {
		if strings.HasPrefix(idText(k.ID), strings.ToLower(text)) && a.maySee(ctx, &k) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return kept{}, noRequest()
	case 1:
		return found[0], nil
	}
	return kept{}, &model.Error{Kind: model.KindInvalid, Detail: fmt.Sprintf("the IDs of %d requests begin with %s", len(found), text), Remedy: "give more digits"}
}

// isPrefix reports whether a text is the beginning of an ID and not the whole of one. Fewer digits than four are a slip.
func isPrefix(text string) bool {
	return len(text) >= 4 && len(text) < 2*len(store.RequestID{}) && strings.Trim(text, "0123456789abcdefABCDEF") == ""
}

func noRequest() error {
	return &model.Error{Kind: model.KindNotFound, Detail: "there is no such request that you may see", Remedy: "see banyan requests --all"}
}

// CancelRequest ends a request that was made here, and has not been sent.
func (a *api) CancelRequest(ctx context.Context, q *apiv1.CancelRequestRequest) (*apiv1.RequestInfo, error) {
	if q.GetId() == "" {
		return nil, model.Errorf(model.KindInvalid, "which request? Give its ID")
	}
	k, err := a.requestNamed(ctx, q.GetId())
	if err != nil {
		return nil, err
	}
	id := k.ID
	who := callerOf(ctx).Principal
	if !a.mine(who, &k) && !a.administers(who) {
		return nil, model.Errorf(model.KindDenied, "denied by %s: a request is cancelled by who made it, or who may administer the node", a.node.cfg.Name)
	}
	if err := a.node.ledger.cancel(ctx, who, id); err != nil {
		return nil, err
	}
	k, _ = a.node.ledger.row(id)
	return a.requestInfo(ctx, &k), nil
}

// mine reports whether somebody made a request here. A token with a scope has made only what it may see.
func (a *api) mine(who access.Principal, k *kept) bool {
	return who.Link == "" && who.Scope == nil && a.node.ledger.isOf(&k.Ledger, who.Chain.Person.Name)
}

func (a *api) administers(who access.Principal) bool {
	return a.router.decide(who, access.Entity{Path: systemPath, Kind: KindNode}, model.RightAdminister, true).Allowed
}

// maySee reports whether a request may be known of: by who made it, who may see what it is about, and who may administer the node.
func (a *api) maySee(ctx context.Context, k *kept) bool {
	who := callerOf(ctx).Principal
	if k.ID == [16]byte{} {
		return false
	}
	if a.mine(who, k) || a.administers(who) {
		return true
	}
	path, err := model.ParsePath(k.Path)
	if err != nil || path.IsRoot() {
		return false
	}
	entity := access.Entity{Path: path}
	if c, there := a.node.tree.Lookup(path); there {
		entity.Kind = c.Schema.Kind
	}
	return a.router.decide(who, entity, model.RightView, false).Allowed
}

// requestInfo is what the caller is told of a request that they may see. Who made it, what was wrong and what was answered is told to who made it, and
// to who may administer the node.
func (a *api) requestInfo(ctx context.Context, k *kept) *apiv1.RequestInfo {
	who := callerOf(ctx).Principal
	info := &apiv1.RequestInfo{
		Id: idText(k.ID), Role: k.Role.String(), Fate: k.Fate.String(), Operation: k.Operation, Path: k.Path, Name: k.Name, Made: k.Made.String(),
		Until: k.Until.String(), Since: k.Since.String(), Attempts: int64(k.Attempts), Via: k.Via,
	}
	problem := problemOfRow(&k.Ledger)
	if problem == nil {
		problem = k.waits
	}
	if problem != nil {
		info.Kind = problem.Kind.String()
	}
	own := a.mine(who, k)
	if !own && !a.administers(who) {
		return info
	}
	info.Who = k.Who
	if problem != nil {
		bare := *problem
		bare.Op, bare.Path, bare.Name = "", model.Root, ""
		info.Problem = bare.Error()
	}
	if !own || k.Role != store.RoleMade || k.Fate != model.FateDone {
		return info
	}
	if done, err := a.node.ledger.outcome(ctx, k); err == nil {
		if !done.Revision.IsZero() {
			info.Revision = done.Revision.String()
		}
		info.Results = a.results(who, done.Results, a.functionOf(k))
	}
	return info
}

// functionOf is what a request calls, nil where that is not known any more.
func (a *api) functionOf(k *kept) *model.Function {
	path, err := model.ParsePath(k.Path)
	if err != nil {
		return nil
	}
	c, there := a.node.tree.Lookup(path)
	if !there {
		return nil
	}
	at := c.Schema.FunctionIndex(k.Name)
	if at < 0 {
		return nil
	}
	return &c.Schema.Functions[at]
}

// all are the requests of the ledger, the newest first.
func (l *ledger) all(ended bool) []kept {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []kept
	for _, k := range l.rows {
		if ended || !k.Fate.Ended() {
			all = append(all, *k)
		}
	}
	slices.SortFunc(all, func(a, b kept) int {
		if a.Made != b.Made {
			return int(max(-1, min(1, b.Made-a.Made)))
		}
		return strings.Compare(idText(a.ID), idText(b.ID))
	})
	return all
}

// cancel ends a request that nothing was sent of.
func (l *ledger) cancel(ctx context.Context, who access.Principal, id store.RequestID) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	k, _ := l.row(id)
	switch {
	case k.Fate.Ended():
		return &model.Error{Kind: model.KindConflict, Detail: "it has ended: it is " + k.Fate.String()}
	case k.Role != store.RoleMade:
		return &model.Error{Kind: model.KindConflict, Detail: "it was not made here", Remedy: "cancel it at the node where it was made"}
	case k.Doubt || k.Fate != model.FatePending:
		return &model.Error{
			Kind: model.KindConflict, Detail: "it was sent, and may have been done", Remedy: "wait for its fate: banyan requests show " + idText(id) + " --wait",
		}
	}
	row := k.Ledger
	row.Fate, row.Since = model.FateFailed, model.TimeOf(l.now())
	row.Problem = problemBytes(&model.Error{Kind: model.KindCanceled, Detail: "cancelled by " + who.Chain.String() + ", and not done"})
	return l.put(ctx, row, l.endRows(&row)...)
}
