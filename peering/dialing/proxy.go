package dialing

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"banyan/model"
	"banyan/peering"
)

// None is the proxy of a link that uses none, whatever the environment says.
const None = "none"

// proxy is one that was found for an address.
type proxy struct {
	address string // HOST:PORT
	host    string
	secured bool // it is spoken to over TLS
	user    string
	word    string // password
	asked   bool   // user and password are given
}

// String is the proxy as people write it, without its password.
func (p *proxy) String() string {
	if p.secured {
		return "https://" + p.address
	}
	return "http://" + p.address
}

// CheckProxy refuses what is no proxy of a link: it is empty, none, http://HOST:PORT or https://HOST:PORT.
func CheckProxy(text string) error {
	if text == "" || text == None {
		return nil
	}
	_, err := parseProxy(text, false)
	return err
}

// CheckUser refuses a name that cannot be told to a proxy.
func CheckUser(name string) error {
	if strings.Contains(name, ":") {
		return model.Errorf(model.KindInvalid, "the name of a user at a proxy has no colon")
	}
	return nil
}

// parseProxy reads the URL of a proxy. Errors do not repeat it: a password may stand in it.
func parseProxy(text string, mayHoldPassword bool) (*proxy, error) {
	const remedy = "write http://HOST:PORT, https://HOST:PORT or none"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || len(text) > 1024:
		return nil, &model.Error{Kind: model.KindInvalid, Detail: "this is no URL of a proxy", Remedy: remedy}
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, &model.Error{Kind: model.KindInvalid, Detail: "a proxy that is spoken to by " + u.Scheme + " is not supported", Remedy: remedy}
	case u.User != nil && !mayHoldPassword:
		return nil, &model.Error{Kind: model.KindInvalid, Detail: "user and password do not stand in the URL of a proxy, which everybody sees who sees the link", Remedy: "give proxy_user and proxy_password"}
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, &model.Error{Kind: model.KindInvalid, Detail: "a proxy has no path", Remedy: remedy}
	}
	p := &proxy{host: u.Hostname(), secured: u.Scheme == "https"}
	port := u.Port()
	if port == "" {
		if port = "80"; p.secured {
			port = "443"
		}
	}
	p.address = net.JoinHostPort(p.host, port)
	if u.User != nil {
		p.asked, p.user = true, u.User.Username()
		p.word, _ = u.User.Password()
	}
	return p, nil
}

// proxyOf is the proxy for an address, nil for none: the link's own where it has one, else what the environment says.
func (d *Dialer) proxyOf(address string, of peering.Proxy) (*proxy, error) {
	if of.URL == None {
		return nil, nil
	}
	if of.URL != "" {
		p, err := parseProxy(of.URL, false)
		if err != nil {
			return nil, err
		}
		if hasZone(address) {
			return nil, &model.Error{Kind: model.KindInvalid, Detail: "an address with a zone is on this machine's own network, where no proxy reaches", Remedy: "set proxy to none"}
		}
		p.asked, p.user, p.word = of.User != "", of.User, of.Password
		return p, nil
	}
	if hasZone(address) {
		return nil, nil
	}
	found, err := d.cfg.Environment(&http.Request{URL: &url.URL{Scheme: "https", Host: address}})
	if err != nil || found == nil {
		return nil, environmentError(err)
	}
	p, err := parseProxy(found.String(), true)
	return p, environmentError(err)
}

// environmentError says where a bad proxy comes from; the text of the cause may hold a password.
func environmentError(err error) error {
	if err == nil {
		return nil
	}
	return &model.Error{Kind: model.KindInvalid, Detail: "HTTPS_PROXY in the environment of the node is no proxy", Remedy: "correct it, or set proxy of the link, which outweighs it"}
}

func hasZone(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() != "" || strings.Contains(host, "%")
}
