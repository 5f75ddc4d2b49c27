package peering

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"banyan/doorstep"
	"banyan/model"
	"banyan/pki"
)

// Destination is where a connection is to lead, and how it gets out.
type Destination struct {
	Addresses []string // host:port, the preferred one first
	Proxy     Proxy
}

// Proxy is the proxy of a link.
type Proxy struct {
	URL            string // http://HOST:PORT or https://HOST:PORT; "none" is none, and empty is what the environment of the node says
	User, Password string // where it asks for them
}

// Dialled is a connection of which nobody has proved anything yet.
type Dialled struct {
	Conn    net.Conn
	Address string // which of the addresses of the destination it leads to
	Route   string // how, for people; never with a password
}

// Dialer opens connections. It takes a few seconds at most. Its error is of kind unavailable, and says of each address what was wrong.
type Dialer interface {
	Dial(ctx context.Context, to Destination) (Dialled, error)
}

// DialEach is a Dialer by a function that connects to one address; the addresses are tried in order, and no proxy is used. Networks in memory have
// one.
type DialEach func(ctx context.Context, address string) (net.Conn, error)

var _ Dialer = DialEach(nil)

// Dial connects to the first of the addresses that answers.
func (d DialEach) Dial(ctx context.Context, to Destination) (Dialled, error) {
	var problems []string
	for _, address := range to.Addresses {
		one, cancel := context.WithTimeout(ctx, dialTime)
		conn, err := d(one, address)
		cancel()
		if err == nil {
			return Dialled{Conn: conn, Address: address, Route: address}, nil
		}
		problems = append(problems, "dialling "+address+": "+err.Error())
	}
	return Dialled{}, &model.Error{Kind: model.KindUnavailable, Detail: strings.Join(problems, "; ")}
}

// proveTime is how long an address where somebody answered gets to prove that it is the peer, where there are others to be tried.
const proveTime = 3 * time.Second

// connectTo opens a connection to the first of the addresses where the peer proves to be. Addresses are tried beside each other only until one answers,
// so that the peer never sees a second connection that nobody needs. It runs over the line of link, which is empty where there is none yet, and counts
// on its meter.
func (h *Hub) connectTo(ctx context.Context, link string, to Destination, config pki.Config) (*provenConn, string, error) {
	config.Admit = func(pki.Peer) error { return nil }
	left := slices.Clone(to.Addresses)
	var problems []error
	for len(left) > 0 {
		dialled, err := h.dialOver(ctx, link, Destination{left, to.Proxy})
		if err != nil {
			problems = append(problems, err)
			break
		}
		left = slices.DeleteFunc(left, func(address string) bool { return address == dialled.Address })
		config.Timeout = 0
		if len(left) > 0 {
			config.Timeout = proveTime
		}
		metered := &meteredConn{Conn: dialled.Conn}
		if link != "" {
			metered.belongs(h.meters.of(link))
		}
		secured, who, err := pki.Connect(ctx, doorstep.Gather(metered), config)
		if err == nil {
			if err = h.succeed(ctx, who); err != nil {
				_ = secured.Close()
			}
		}
		if err == nil {
			who.Address = dialled.Address
			return h.newProvenConn(secured, who), dialled.Route, nil
		}
		problems = append(problems, err)
	}
	return nil, "", telling(problems)
}

// telling is the error that says most: what the peer itself refuses, else all that was tried.
func telling(problems []error) error {
	for _, err := range problems {
		if _, refused := pki.RefusalOf(err); refused {
			return err
		}
	}
	if len(problems) == 1 {
		return problems[0]
	}
	var texts []string
	for _, err := range problems {
		texts = append(texts, err.Error())
	}
	return &model.Error{Kind: model.KindUnavailable, Detail: strings.Join(texts, "; "), Err: quiet{errors.Join(problems...)}}
}

// quiet keeps errors whose texts stand elsewhere.
type quiet struct{ error }

func (quiet) Error() string   { return "" }
func (q quiet) Unwrap() error { return q.error }
