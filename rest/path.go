package rest

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// Prefix is where everything of this package lies.
const Prefix = "/api/v1"

// tails are the resources whose URL ends with a path or an address of the tree.
var tails = map[string]bool{"contexts": true, "settings": true, "children": true, "export": true, "values": true, "functions": true}

// canonical is the request with the path of the tree at the end of its URL as one segment. Both forms mean the same:
//
//	/api/v1/contexts/devices/local        as people type it, with one slash or two before devices
//	/api/v1/contexts/%2Fdevices%2Flocal   as a client encodes the parameter "/devices/local"
//
// A slash at the beginning may be left out; nothing at all is the root. Nothing else is made good: what then is no path the model's parser
// refuses. Escapes are undone once. It is false for a URL that net/http would answer with a redirection to another one.
func canonical(r *http.Request) (*http.Request, bool) {
	escaped := r.URL.EscapedPath()
	rest, ours := strings.CutPrefix(escaped, Prefix+"/")
	resource, tail, deeper := strings.Cut(rest, "/")
	if !ours || !deeper || !tails[resource] {
		return r, escaped == path.Clean(escaped) || escaped == path.Clean(escaped)+"/"
	}
	decoded, err := url.PathUnescape(tail)
	if err != nil {
		return r, false // net/http has refused such a URL before
	}
	decoded = rooted(decoded)
	clone := new(http.Request)
	*clone = *r
	clone.URL = new(url.URL)
	*clone.URL = *r.URL
	base := Prefix + "/" + resource + "/"
	clone.URL.Path, clone.URL.RawPath = base+decoded, base+url.PathEscape(decoded)
	return clone, true
}

// redirects reports whether net/http would answer a request for which it found the pattern by sending it on: to where a path of the tree would follow, as
// nothing at all does here. A client would change the root's settings when it has left out what it means.
func redirects(r *http.Request, pattern string) bool {
	return strings.HasSuffix(pattern, "...}") && !strings.Contains(strings.TrimPrefix(r.URL.EscapedPath(), Prefix+"/"), "/")
}

// rooted puts the slash at the beginning that a path of the tree has.
func rooted(tail string) string {
	if strings.HasPrefix(tail, "/") {
		return tail
	}
	return "/" + tail
}

// router is the mux, in which the path of the tree at the end of a URL takes whatever is there. For the document it is an ordinary parameter.
type router struct{ *http.ServeMux }

// HandleFunc adds a route as huma writes it.
func (m router) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	if deeper, found := strings.CutSuffix(pattern, "}"); found {
		pattern = deeper + "...}"
	}
	m.ServeMux.HandleFunc(pattern, handler)
}

// routeName is what Routes calls the pattern of a route.
func routeName(pattern string) string { return strings.Replace(pattern, "...}", "}", 1) }
