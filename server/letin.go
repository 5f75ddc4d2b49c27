package server

import (
	"context"
	"net"
	"net/http"
	"strconv"

	"banyan/doorstep"
	"banyan/model"
)

type stepKey struct{}

// withStep keeps in the context of a connection's requests where it stands.
func withStep(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, stepKey{}, doorstep.ConnOf(conn))
}

func stepOf(ctx context.Context) *doorstep.Conn {
	c, _ := ctx.Value(stepKey{}).(*doorstep.Conn)
	return c
}

// letIn takes the connection of a request in, on which somebody has proved who they are: by a token, or by a password.
func (n *Node) letIn(ctx context.Context) error {
	if c := stepOf(ctx); c != nil && !c.LetIn() {
		most := n.cfg.Ceilings.Connections
		return &model.Error{
			Kind: model.KindExhausted, Detail: strconv.Itoa(most) + " connections are open, no more may be",
			Remedy: "try again when some have ended, or raise limits: connections in the node's configuration file and start it again",
		}
	}
	return nil
}

// forStrangers lets a connection on which nobody has proved who they are end with an answer while there is time for one, rather than in the middle of the next
// request.
func forStrangers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := stepOf(r.Context()); c != nil && !c.Inside() && c.Left() < doorstep.Within/2 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
