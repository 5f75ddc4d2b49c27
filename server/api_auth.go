package server

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"

	"banyan/access"
	"banyan/model"

	"connectrpc.com/connect"
)

type callerKey struct{}

// callerOf is who calls; a method that answers strangers has the zero Caller.
func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// gate lets in whom the table of methods says, before anything of the request is read. What the caller may do is decided by what it asks for.
func (a *api) gate(ctx context.Context, spec connect.Spec, peer connect.Peer, header http.Header) (context.Context, error) {
	requirement, err := Methods.Of(spec.Procedure)
	if err == nil {
		ctx, err = a.enter(ctx, requirement, header, peer.Addr)
	}
	if err != nil {
		return nil, a.out(err)
	}
	return ctx, nil
}

// enter puts into the context who calls, and from which address (HOST:PORT), or refuses whom the requirement does not answer. What is not declared
// answers nobody.
func (a *api) enter(ctx context.Context, requirement access.Requirement, header http.Header, address string) (context.Context, error) {
	caller, err := a.authenticate(ctx, header, address)
	if err == nil {
		if full := a.node.letIn(ctx); full != nil {
			return ctx, full
		}
	}
	if tooMany := a.node.limits.admit(&caller, address); tooMany != nil {
		return ctx, tooMany
	}
	switch requirement.Who {
	case access.Public:
		// Whoever shows who they are may be told more than a stranger; a token that has ended makes a stranger.
		err = nil
	case access.Authenticated, access.Entitled, access.Declared, access.Filtered:
	default:
		return ctx, model.Errorf(model.KindDenied, "this answers nobody here")
	}
	if err != nil {
		return ctx, err
	}
	return context.WithValue(ctx, callerKey{}, caller), nil
}

// authenticate finds whose token a request carries. It says the same of a token that never was, of one that has ended, and of one that may not be used
// from there. Also of a stranger it is known from where they ask.
func (a *api) authenticate(ctx context.Context, header http.Header, address string) (Caller, error) {
	scheme, token, _ := strings.Cut(header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && len(token) <= 256 {
		hash := tokenHash(sha256.Sum256([]byte(token)))
		switch {
		case strings.HasPrefix(token, sessionPrefix):
			if c, ok := a.node.sessions.caller(hash, address); ok {
				return c, nil
			}
		case strings.HasPrefix(token, tokenPrefix):
			if c, ok := a.node.tokens.caller(ctx, hash, address); ok {
				return c, nil
			}
		}
	}
	return Caller{From: address}, &model.Error{
		Kind: model.KindUnauthenticated, Detail: "no valid token was given", Remedy: "log in, and send the header Authorization: Bearer TOKEN",
	}
}
