package server

import (
	"context"
	"fmt"
	"os"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/store"
)

// Login opens a session.
func (a *api) Login(ctx context.Context, q *apiv1.LoginRequest) (*apiv1.LoginResponse, error) {
	token, expires, err := a.node.sessions.login(ctx, q.GetName(), q.GetPassword(), callerOf(ctx).address)
	if err != nil {
		return nil, err
	}
	if err := a.node.letIn(ctx); err != nil {
		return nil, err
	}
	return &apiv1.LoginResponse{Token: token, Expires: expires.String()}, nil
}

// Logout ends sessions of the caller's: this one, another one, or all. A token of a program is ended by removing it.
func (a *api) Logout(ctx context.Context, q *apiv1.LogoutRequest) (*apiv1.LogoutResponse, error) {
	caller := callerOf(ctx)
	name := caller.Principal.Chain.Person.Name
	meant := func(s *session) bool { return s == caller.session }
	switch {
	case q.GetAll():
		meant = func(s *session) bool { return s.name == name }
	case q.GetSession() != "":
		meant = func(s *session) bool { return s.name == name && s.id == q.GetSession() }
	case caller.session == nil:
		return nil, model.Errorf(model.KindUnsupported, "this is a token of a program: remove its context to end it")
	}
	if caller.Principal.Scope != nil {
		return nil, model.Errorf(model.KindDenied, "denied by %s: a token with a scope ends no sessions", a.node.cfg.Name)
	}
	ended := a.node.sessions.endWhere(meant)
	if ended == 0 && q.GetSession() != "" {
		return nil, noSession()
	}
	what := "this session"
	if q.GetAll() {
		what = fmt.Sprintf("all %d sessions", ended)
	} else if q.GetSession() != "" {
		what = "session " + q.GetSession()
	}
	// They have ended whether or not that can be written down.
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWait)
	defer cancel()
	if err := a.node.audit.write(wait, store.Audit{Who: auditText(name), From: auditText(caller.From), Operation: "logout", What: auditText(what), Outcome: outcomeDone}); err != nil {
		a.log.Warn("a logout could not be recorded", "user", name, "error", err)
	}
	return &apiv1.LogoutResponse{Ended: int64(ended)}, nil
}

// Who answers who the caller is, what they may do, and where they are logged in.
func (a *api) Who(ctx context.Context, q *apiv1.WhoRequest) (*apiv1.WhoResponse, error) {
	caller := callerOf(ctx)
	person := caller.Principal.Chain.Person
	out := &apiv1.WhoResponse{Name: person.Name, Node: person.Node, Expires: caller.Expires.String(), Sessions: a.sessionsOf(&caller)}
	if caller.token != nil {
		out.Token = caller.token.path.String()
	}
	for _, r := range caller.Principal.Scope.Rules() {
		out.Scope = append(out.Scope, r.Pattern.String()+" "+r.Right.String())
	}
	user, enabled := enabledUser(a.node.tree, person.Name)
	if !enabled {
		return out, nil
	}
	if q.GetAddress() != "" {
		var err error
		if out.Explanation, err = a.node.explainSelf(ctx, caller.Principal, q.GetAddress(), q.GetRight()); err != nil {
			return nil, err
		}
	}
	rules, err := policyRules(a.node.policies, &user)
	for _, r := range rules {
		out.Rules = append(out.Rules, r.Pattern.String()+" "+r.Right.String())
	}
	return out, err
}

// sessionsOf are those of the caller. A token with a scope sees itself alone: the others are not its business.
func (a *api) sessionsOf(caller *Caller) []*apiv1.Session {
	var out []*apiv1.Session
	name := caller.Principal.Chain.Person.Name
	for _, p := range append(a.node.sessions.present(name), a.node.tokens.present(name)...) {
		current := caller.session != nil && p.id == caller.session.id || caller.token != nil && p.id == caller.token.path.Base()
		if caller.Principal.Scope != nil && !current {
			continue
		}
		if len(out) == mostTold {
			break
		}
		out = append(out, &apiv1.Session{
			Id: p.id, User: p.user, From: p.from, Since: p.since.String(), Used: p.used.String(), Expires: p.expires.String(), Kind: p.kind,
			Streams: p.streams, Current: current,
		})
	}
	return out
}

// Info answers which node this is. Strangers learn what they need for finding out whether they are at the right one; how the node is, whoever may
// see it.
func (a *api) Info(ctx context.Context, _ *apiv1.InfoRequest) (*apiv1.InfoResponse, error) {
	n := a.node
	out := &apiv1.InfoResponse{Name: n.cfg.Name, Id: n.ID().String()}
	who := callerOf(ctx).Principal
	if !a.router.decide(who, access.Entity{Path: systemPath, Kind: KindNode}, model.RightView, false).Allowed {
		return out, nil
	}
	contexts, _ := n.tree.Count()
	out.Version, out.Epoch, out.Started = n.cfg.Version, n.store.Epoch().String(), model.TimeOf(n.started).String()
	out.Contexts, out.ProcessId = int64(contexts), int64(os.Getpid())
	return out, nil
}
