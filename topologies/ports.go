package topologies

import (
	"errors"
	"net"
	"syscall"
	"time"

	"banyan/model"
)

// drawAddresses finds ports of this machine that nobody uses now. They are all held until the last one is found, so that none comes twice.
func drawAddresses(count int) ([]string, error) {
	addresses := make([]string, count)
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, model.Errorf(model.KindExhausted, "no port can be had: %w", err)
		}
		defer l.Close()
		addresses[i] = l.Addr().String()
	}
	return addresses, nil
}

// closing is how long the connections of a process that was killed may keep its port from the next one.
const closing = time.Second

// taken reports whether somebody listens on an address, and goes on to do so.
func taken(address string) bool {
	for end := time.Now().Add(closing); ; time.Sleep(closing / 50) {
		l, err := net.Listen("tcp", address)
		if err == nil {
			_ = l.Close() // nobody was accepted
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return false
		}
		if time.Now().After(end) {
			return true
		}
	}
}

// settleAddresses gives a node that does not run the addresses that it will have: the fixed ones, those that it had while they are free, else
// new ones. It says which could not be kept.
func settleAddresses(n *Node, s *nodeState, say func(format string, args ...any)) error {
	for _, listener := range []struct {
		what, fixed string
		to          *string
	}{{"links", n.Listeners.Links, &s.Links}, {"the API", n.Listeners.API, &s.API}} {
		had := *listener.to
		switch {
		case listener.fixed != "":
			if taken(listener.fixed) {
				return &model.Error{
					Kind: model.KindUnavailable, Detail: n.Name + ": the port of " + listener.fixed + ", for " + listener.what + ", is taken by another program",
					Remedy: "end that program, or leave the listener out of the file: then a free port is drawn",
				}
			}
			*listener.to = listener.fixed
			continue
		case had != "" && !taken(had):
			continue
		}
		drawn, err := drawAddresses(1)
		if err != nil {
			return err
		}
		*listener.to = drawn[0]
		if had != "" {
			say("%s: %s, for %s, is taken by another program; it is now %s", n.Name, had, listener.what, drawn[0])
		}
	}
	return nil
}
