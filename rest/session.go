package rest

import (
	"context"
	"net/http"

	"banyan/proto/apiv1"
)

// Credentials are by what somebody logs in.
type Credentials struct {
	_        struct{} `additionalProperties:"false"`
	Name     string   `json:"name" maxLength:"255" example:"admin" doc:"Of the user."`
	Password string   `json:"password" maxLength:"1024" format:"password" doc:"After five wrong ones within a quarter of an hour a name is locked for the rest of it."`
}

type loginRequest struct{ Body Credentials }

// OpenedSession is a session that was opened.
type OpenedSession struct {
	Token   string `json:"token" doc:"For the header Authorization: Bearer TOKEN. It is told this once."`
	Expires string `json:"expires" format:"date-time" doc:"When it ends, whatever happens. A restart of the node ends it, too."`
}

type sessionAnswer struct{ Body OpenedSession }

type whoRequest struct {
	Address string `query:"address" maxLength:"1281" example:"/devices/local:poll_interval" doc:"PATH or PATH:NAME: explain whether the caller may act there."`
	Right   string `query:"right" enum:"view,operate,configure,administer" doc:"The right to explain; left out it is the one that is declared for the address."`
}

// Who is who the caller is to this node.
type Who struct {
	Name        string       `json:"name" example:"admin" doc:"Of the user."`
	Node        string       `json:"node" example:"berlin" doc:"Where the user is at home."`
	Rules       []string     `json:"rules" nullable:"false" example:"[\"/** administer\"]" doc:"What the user may do: pattern and right, in order; the first that matches holds."`
	Scope       []string     `json:"scope,omitempty" nullable:"false" doc:"Of a token: rules of the same form that narrow those."`
	Token       string       `json:"token,omitempty" doc:"The path of the token with which the caller asks."`
	Expires     string       `json:"expires,omitempty" format:"date-time" doc:"When the session or the token ends."`
	Sessions    []Session    `json:"sessions" nullable:"false" doc:"All sessions of the user, and the tokens that were used since the node's start."`
	Explanation *Explanation `json:"explanation,omitempty" doc:"Where an address was given."`
}

// Session is somebody who is logged in, or a token in use.
type Session struct {
	ID      string `json:"id" doc:"Names it, and gives nothing to whoever reads it."`
	Kind    string `json:"kind" example:"session" doc:"session or token."`
	From    string `json:"from,omitempty" example:"127.0.0.1:52100" doc:"The address of its last request."`
	Since   string `json:"since,omitempty" format:"date-time" doc:"When it began."`
	Used    string `json:"used,omitempty" format:"date-time" doc:"When it was used last."`
	Expires string `json:"expires,omitempty" format:"date-time" doc:"When it ends."`
	Streams int64  `json:"streams" doc:"How many it has open."`
	Current bool   `json:"current,omitempty" doc:"The one that asks."`
}

// Explanation is why something is allowed or denied.
type Explanation struct {
	Allowed bool           `json:"allowed" doc:"As far as this node knows."`
	Text    string         `json:"text" example:"denied by berlin, rule 3: alice has operate, configure is needed" doc:"For a person."`
	Remedy  string         `json:"remedy,omitempty" doc:"What is to be done so that it is allowed."`
	Hops    []ExplainedHop `json:"hops" nullable:"false" doc:"What each node on the way decides."`
}

// ExplainedHop is what one node decides.
type ExplainedHop struct {
	Node    string    `json:"node" example:"berlin" doc:"Which."`
	Allowed bool      `json:"allowed" doc:"What it decides."`
	Known   bool      `json:"known" doc:"Where it is false the node decides by rules that only it knows."`
	Rule    int32     `json:"rule,omitempty" doc:"The number of the rule that decides."`
	Origin  string    `json:"origin,omitempty" doc:"Where that rule stands: the user, a role, a token's scope, an export."`
	Has     RightName `json:"has,omitempty" doc:"The right that there is."`
	Need    RightName `json:"need,omitempty" doc:"The right that is needed."`
	Text    string    `json:"text,omitempty" doc:"For a person."`
}

type whoAnswer struct{ Body Who }

type closeRequest struct {
	Session string `query:"session" maxLength:"64" doc:"The id of another session of the caller's, as getSession tells it. Left out, the session that asks is ended."`
	All     bool   `query:"all" doc:"All sessions of the caller's."`
}

// Closed is how many sessions were ended.
type Closed struct {
	Ended int64 `json:"ended" doc:"How many."`
}

type closedAnswer struct{ Body Closed }

// addSession adds logging in and out.
func (h *Handler) addSession() {
	register(h, operation{
		id: "openSession", tag: "session", method: http.MethodPost, path: "/session", summary: "Log in", status: http.StatusCreated,
		description: "With a name and a password; the answer has a token. Programs use a token of their own, which the function create_token of a user draws.",
		problems:    []problemCase{badRequest, {http.StatusUnauthorized, "The name or the password is wrong; which of them nobody learns."}, tooLarge, wrongType},
	}, func(ctx context.Context, in *loginRequest) (*sessionAnswer, error) {
		opened, err := h.cfg.Core.Login(ctx, &apiv1.LoginRequest{Name: in.Body.Name, Password: in.Body.Password})
		if err != nil {
			return nil, err
		}
		return &sessionAnswer{OpenedSession{Token: opened.GetToken(), Expires: opened.GetExpires()}}, nil
	})
	register(h, operation{
		id: "getSession", tag: "session", method: http.MethodGet, path: "/session", summary: "Find out who one is",
		description: "Who the caller is to this node, what they may do, and where else they are logged in.", problems: []problemCase{badRequest, notThere},
	}, h.who)
	register(h, operation{
		id: "closeSession", tag: "session", method: http.MethodDelete, path: "/session", summary: "Log out",
		description: "Ends a session of the caller's, and what it has open. The token of a program is ended by removing its context.",
		problems:    []problemCase{badRequest, denied, notThere, cannot},
	}, func(ctx context.Context, in *closeRequest) (*closedAnswer, error) {
		done, err := h.cfg.Core.Logout(ctx, &apiv1.LogoutRequest{Session: in.Session, All: in.All})
		if err != nil {
			return nil, err
		}
		return &closedAnswer{Closed{Ended: done.GetEnded()}}, nil
	})
}

func (h *Handler) who(ctx context.Context, in *whoRequest) (*whoAnswer, error) {
	request := &apiv1.WhoRequest{Right: in.Right}
	if in.Address != "" {
		request.Address = rooted(in.Address)
	}
	who, err := h.cfg.Core.Who(ctx, request)
	if err != nil {
		return nil, err
	}
	out := Who{
		Name: who.GetName(), Node: who.GetNode(), Rules: append([]string{}, who.GetRules()...), Scope: who.GetScope(), Token: who.GetToken(),
		Expires: who.GetExpires(), Sessions: []Session{},
	}
	for _, s := range who.GetSessions() {
		out.Sessions = append(out.Sessions, Session{
			ID: s.GetId(), Kind: s.GetKind(), From: s.GetFrom(), Since: s.GetSince(), Used: s.GetUsed(), Expires: s.GetExpires(),
			Streams: s.GetStreams(), Current: s.GetCurrent(),
		})
	}
	if e := who.GetExplanation(); e != nil {
		out.Explanation = &Explanation{Allowed: e.GetAllowed(), Text: e.GetText(), Remedy: e.GetRemedy(), Hops: []ExplainedHop{}}
		for _, hop := range e.GetHops() {
			out.Explanation.Hops = append(out.Explanation.Hops, ExplainedHop{
				Node: hop.GetNode(), Allowed: hop.GetAllowed(), Known: hop.GetKnown(), Rule: hop.GetRule(), Origin: hop.GetOrigin(),
				Has: RightName(hop.GetHas()), Need: RightName(hop.GetNeed()), Text: hop.GetText(),
			})
		}
	}
	return &whoAnswer{out}, nil
}
