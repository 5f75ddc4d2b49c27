package server

import (
	"context"

	"banyan/access"
	"banyan/model"
)

// Functions of the node about who is logged in, and who may not log in for now. What people do with their own sessions they do by the methods about
// themselves (Who, Logout), which need no right.
const (
	functionSessions    = "sessions"
	functionEndSession  = "end_session"
	functionEndSessions = "end_sessions"
	functionLocks       = "locks"
	functionUnlock      = "unlock"
)

var sessionFunctions = []model.Function{
	{
		Name: functionSessions, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Who is logged in here, and which tokens were used since the start.",
		Parameters:  []model.Field{{Name: "user", Type: model.TypeString, Optional: true, Description: "Only those of this user."}},
		Results:     []model.Field{{Name: "sessions", Type: model.TypeTable, Description: "One row for each session and each token."}},
	},
	{
		Name: functionEndSession, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Ends a session; its streams end within a second. A token is ended by removing its context.",
		Parameters:  []model.Field{{Name: "id", Type: model.TypeString, Description: "Of the session, as sessions tells it."}},
	},
	{
		Name: functionEndSessions, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Ends all sessions of a user; their streams end within a second.",
		Parameters:  []model.Field{{Name: "user", Type: model.TypeString, Description: "Whose."}},
		Results:     []model.Field{{Name: "ended", Type: model.TypeInt64, Description: "How many there were."}},
	},
	{
		Name: functionLocks, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Names and addresses that may not log in for now, after too many tries with a wrong password.",
		Results:     []model.Field{{Name: "locks", Type: model.TypeTable, Description: "One row for each; names need not be those of users."}},
	},
	{
		Name: functionUnlock, Right: model.RightAdminister, Local: true, Idempotent: true,
		Description: "Lets a name or an address log in again at once.",
		Parameters:  []model.Field{{Name: "what", Type: model.TypeString, Description: "The name or the address, as locks tells it."}},
		Results:     []model.Field{{Name: "locked", Type: model.TypeBool, Description: "Whether it was locked."}},
	},
}

// sessionCalls are what they do.
func (n *Node) sessionCalls() map[string]systemCall {
	return map[string]systemCall{
		functionSessions: n.tellSessions, functionEndSession: n.endSession, functionEndSessions: n.endSessions,
		functionLocks: n.tellLocks, functionUnlock: n.unlock,
	}
}

var sessionColumns = []model.Column{
	{Name: "id", Type: model.TypeString}, {Name: "user", Type: model.TypeString}, {Name: "from", Type: model.TypeString}, {Name: "since", Type: model.TypeTime},
	{Name: "used", Type: model.TypeTime}, {Name: "expires", Type: model.TypeTime}, {Name: "kind", Type: model.TypeString}, {Name: "streams", Type: model.TypeInt64},
}

// mostTold bounds the rows of a table that tells of people.
const mostTold = 2_000

func (n *Node) tellSessions(_ context.Context, _ access.Principal, g given) ([]model.Argument, error) {
	user := g.text("user", "")
	table := &model.Table{Columns: sessionColumns}
	for _, p := range append(n.sessions.present(user), n.tokens.present(user)...) {
		if len(table.Rows) == mostTold {
			break
		}
		table.Rows = append(table.Rows, []model.Value{
			model.String(p.id), model.String(p.user), model.String(p.from), model.Instant(p.since), model.Instant(p.used), model.Instant(p.expires),
			model.String(p.kind), model.Int64(p.streams),
		})
	}
	return []model.Argument{{Name: "sessions", Value: model.TableValue(table)}}, nil
}

func (n *Node) endSession(_ context.Context, _ access.Principal, g given) ([]model.Argument, error) {
	id := g.text("id", "")
	if n.sessions.endWhere(func(s *session) bool { return s.id == id }) == 0 {
		return nil, noSession()
	}
	return nil, nil
}

func noSession() error {
	return &model.Error{Kind: model.KindInvalid, Detail: "there is no such session", Remedy: "it may have ended: list the sessions again"}
}

func (n *Node) endSessions(_ context.Context, _ access.Principal, g given) ([]model.Argument, error) {
	ended := n.sessions.endOf(g.text("user", ""))
	return []model.Argument{{Name: "ended", Value: model.Int64(int64(ended))}}, nil
}

var lockColumns = []model.Column{
	{Name: "what", Type: model.TypeString}, {Name: "kind", Type: model.TypeString}, {Name: "tries", Type: model.TypeInt64}, {Name: "until", Type: model.TypeTime},
}

func (n *Node) tellLocks(context.Context, access.Principal, given) ([]model.Argument, error) {
	table := &model.Table{Columns: lockColumns}
	for _, l := range n.sessions.lockout.locks() {
		if len(table.Rows) == mostTold {
			break
		}
		kind := "address"
		if l.name {
			kind = "name"
		}
		table.Rows = append(table.Rows, []model.Value{model.String(l.what), model.String(kind), model.Int64(int64(l.tries)), model.Instant(model.TimeOf(l.until))})
	}
	return []model.Argument{{Name: "locks", Value: model.TableValue(table)}}, nil
}

func (n *Node) unlock(_ context.Context, _ access.Principal, g given) ([]model.Argument, error) {
	return []model.Argument{{Name: "locked", Value: model.Bool(n.sessions.lockout.unlock(g.text("what", "")))}}, nil
}
