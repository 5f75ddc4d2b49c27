package rest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"banyan/model"
)

// reached is what an operation would get of a URL: the parameter, and whether it is one.
func reached(t testing.TB, target string) (string, bool) {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return "", false
	}
	mux := router{http.NewServeMux()}
	var got string
	var found bool
	mux.HandleFunc("GET "+Prefix+"/contexts/{path}", func(_ http.ResponseWriter, r *http.Request) {
		got, found = r.PathValue("path"), true
	})
	r, direct := canonical(&http.Request{Method: http.MethodGet, URL: u})
	if direct {
		mux.ServeHTTP(httptest.NewRecorder(), r)
	}
	return rooted(got), found
}

func TestPathsInURLs(t *testing.T) {
	for target, want := range map[string]string{
		"/api/v1/contexts/devices/local":        "/devices/local",
		"/api/v1/contexts/devices%2Flocal":      "/devices/local",
		"/api/v1/contexts/%2Fdevices%2Flocal":   "/devices/local",
		"/api/v1/contexts/%2fdevices/local":     "/devices/local",
		"/api/v1/contexts//devices/local":       "/devices/local",
		"/api/v1/contexts/":                     "/",
		"/api/v1/contexts/%2F":                  "/",
		"/api/v1/contexts//":                    "/",
		"/api/v1/contexts/a:b":                  "/a:b",
		"/api/v1/contexts/a%3Ab?x=1":            "/a:b",
		"/api/v1/contexts/%252Fdevices":         "/%2Fdevices", // undone once only
		"/api/v1/contexts/a/../b":               "/a/../b",     // and no path afterwards
		"/api/v1/contexts/a//b":                 "/a//b",
		"/api/v1/contexts/a/":                   "/a/",
		"/api/v1/contexts/children/settings/a":  "/children/settings/a",
		"/api/v1/contexts/%E2%82%AC":            "/€",
		"/api/v1/contexts/with%20space/%00/%0a": "/with space/\x00/\n",
	} {
		if got, found := reached(t, target); !found || got != want {
			t.Errorf("%s: %q, %v, not %q", target, got, found, want)
		}
	}
	for _, target := range []string{"/api/v1/contexts", "/api/v1/%63ontexts//a", "/api/v1/other/a/b", "/api/v1contexts/a", "/api//v1/contexts/a"} {
		if got, found := reached(t, target); found {
			t.Errorf("%s reaches %q", target, got)
		}
	}
}

// FuzzPathInURL: however a path is written into a URL, what comes out is that path; and whatever is in a URL, what comes out is a path to the
// model's parser or is none, never another one than people would read there.
func FuzzPathInURL(f *testing.F) {
	for _, seed := range []string{"devices/local", "%2Fdevices%2Flocal", "//a", "a%252Fb", "..%2f..", "a;b", "%", "?x", "#", "a\x00b", "%E2%82%AC"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, tail string) {
		if path, err := model.ParsePath("/" + strings.TrimPrefix(tail, "/")); err == nil {
			for _, form := range []string{path.String()[1:], path.String(), url.PathEscape(path.String()), strings.ReplaceAll(path.String(), "/", "%2f")} {
				if got, found := reached(t, "/api/v1/contexts/"+form); !found || got != path.String() {
					t.Errorf("%q as %q: %q, %v", path, form, got, found)
				}
			}
		}
		got, found := reached(t, "/api/v1/contexts/"+tail)
		if !found {
			return
		}
		plain, _, _ := strings.Cut(tail, "?")
		plain, err := url.PathUnescape(plain)
		if err != nil || got != "/"+strings.TrimPrefix(plain, "/") {
			t.Errorf("%q became %q", tail, got)
		}
	})
}
