package dialing

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"banyan/model"
	"banyan/peering"
)

// Config of a Dialer. Each field has a default.
type Config struct {
	// Resolve looks a name up in one family of addresses ("ip4" or "ip6"), afresh each time, so that an answer that changed is noticed; by default the
	// system's resolver.
	Resolve func(ctx context.Context, family, host string) ([]netip.Addr, error)
	// Connect opens a connection to one address; by default TCP.
	Connect func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	// Environment is the proxy that the environment names for a request, by default HTTPS_PROXY unless NO_PROXY excepts the host.
	Environment func(*http.Request) (*url.URL, error)
	// Roots are trusted to sign the certificates of proxies that are spoken to over TLS; by default the system's.
	Roots *x509.CertPool
	// Stagger is how long one attempt has for itself before the next address is tried beside it, default 250 ms (RFC 8305). A longer one costs that
	// time for each address where nobody answers; a shorter one connects twice where the other end is far away.
	Stagger time.Duration
	// Within bounds everything together, default 5 s: also what a proxy takes that hangs.
	Within time.Duration
}

// Dialer opens connections.
type Dialer struct{ cfg Config }

var _ peering.Dialer = (*Dialer)(nil)

// New makes a Dialer.
func New(cfg Config) *Dialer {
	if cfg.Resolve == nil {
		cfg.Resolve = net.DefaultResolver.LookupNetIP
	}
	if cfg.Connect == nil {
		cfg.Connect = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
		}
	}
	if cfg.Environment == nil {
		cfg.Environment = http.ProxyFromEnvironment
	}
	if cfg.Stagger == 0 {
		cfg.Stagger = 250 * time.Millisecond
	}
	if cfg.Within == 0 {
		cfg.Within = 5 * time.Second
	}
	return &Dialer{cfg}
}

// Dial connects to the first of the addresses that answers. The next one is tried when one has failed, and also when it has not answered for a
// moment: an address where nobody answers costs that moment. Which one comes first is not decided here by more than their order: IPv6 and IPv4
// addresses of a name take turns. The error says of each address what was wrong with it.
func (d *Dialer) Dial(ctx context.Context, to peering.Destination) (peering.Dialled, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Within)
	defer cancel()
	r := &race{dialer: d, outcomes: make(chan outcome), resolved: make(chan resolution)}
	for _, address := range to.Addresses {
		l := &lane{address: address}
		var err error
		if l.proxy, err = d.proxyOf(address, to.Proxy); err != nil {
			r.failed.add(address, err)
			continue
		}
		r.lanes = append(r.lanes, l)
	}
	if len(to.Addresses) == 0 {
		return peering.Dialled{}, model.Errorf(model.KindInvalid, "there is no address to dial")
	}
	return r.run(ctx)
}

// attempt opens one connection.
func (d *Dialer) attempt(ctx context.Context, l *lane, to netip.AddrPort) (peering.Dialled, error) {
	conn, err := d.cfg.Connect(ctx, to)
	if err != nil && l.proxy != nil {
		return peering.Dialled{}, proxyError(l.proxy, "cannot be reached: "+reason(err), "look whether it runs and whether that is its address")
	}
	if err != nil {
		return peering.Dialled{}, err
	}
	route := to.String()
	if l.proxy != nil {
		if conn, err = d.through(ctx, conn, l.proxy, l.address); err != nil {
			return peering.Dialled{}, err
		}
		route = l.address + " through " + l.proxy.String()
	}
	return peering.Dialled{Conn: conn, Address: l.address, Route: route}, nil
}
