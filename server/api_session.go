package server

import (
	"context"
	"os"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
)

// Login opens a session.
func (a *api) Login(ctx context.Context, q *apiv1.LoginRequest) (*apiv1.LoginResponse, error) {
	token, expires, err := a.node.sessions.login(ctx, q.GetName(), q.GetPassword())
	if err != nil {
		return nil, err
	}
	return &apiv1.LoginResponse{Token: token, Expires: expires.String()}, nil
}

// Logout ends the caller's session. A token of a program is ended by removing it.
func (a *api) Logout(ctx context.Context, _ *apiv1.LogoutRequest) (*apiv1.LogoutResponse, error) {
	caller := callerOf(ctx)
	if caller.session == nil {
		return nil, model.Errorf(model.KindUnsupported, "this is a token of a program: remove its context to end it")
	}
	a.node.sessions.logout(&caller)
	return &apiv1.LogoutResponse{}, nil
}

// Who answers who the caller is, and what they may do.
func (a *api) Who(ctx context.Context, _ *apiv1.WhoRequest) (*apiv1.WhoResponse, error) {
	caller := callerOf(ctx)
	person := caller.Principal.Chain.Person
	out := &apiv1.WhoResponse{Name: person.Name, Node: person.Node, Expires: caller.Expires.String()}
	user, enabled := enabledUser(a.node.tree, person.Name)
	if !enabled {
		return out, nil
	}
	rules, err := policyRules(a.node.policies, &user)
	for _, r := range rules {
		out.Rules = append(out.Rules, r.Pattern.String()+" "+r.Right.String())
	}
	return out, err
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
