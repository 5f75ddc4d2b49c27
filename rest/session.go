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

// Who is who the caller is to this node.
type Who struct {
	Name    string   `json:"name" example:"admin" doc:"Of the user."`
	Node    string   `json:"node" example:"berlin" doc:"Where the user is at home."`
	Rules   []string `json:"rules" nullable:"false" example:"[\"/** administer\"]" doc:"What the user may do: pattern and right, in order; the first that matches holds."`
	Expires string   `json:"expires,omitempty" format:"date-time" doc:"When the session or the token ends."`
}

type whoAnswer struct{ Body Who }

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
		description: "Who the caller is to this node, and what they may do.",
	}, func(ctx context.Context, _ *struct{}) (*whoAnswer, error) {
		who, err := h.cfg.Core.Who(ctx, &apiv1.WhoRequest{})
		if err != nil {
			return nil, err
		}
		return &whoAnswer{Who{Name: who.GetName(), Node: who.GetNode(), Rules: append([]string{}, who.GetRules()...), Expires: who.GetExpires()}}, nil
	})
	register(h, operation{
		id: "closeSession", tag: "session", method: http.MethodDelete, path: "/session", summary: "Log out", status: http.StatusNoContent,
		description: "Ends the caller's session, and what it has open. The token of a program is ended by removing its context.",
		problems:    []problemCase{cannot},
	}, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		_, err := h.cfg.Core.Logout(ctx, &apiv1.LogoutRequest{})
		return nil, err
	})
}
