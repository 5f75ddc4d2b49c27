package server

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/time/rate"
)

// BenchmarkGet is what reading one value costs the node by REST and by the JSON method, without the network.
func BenchmarkGet(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "node")
	if _, err := Init(b.Context(), dir, "berlin", nil); err != nil {
		b.Fatal(err)
	}
	cfg := testConfig(dir)
	n, err := New(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = n.Close() })
	token, key := drawToken(sessionPrefix)
	user, _ := enabledUser(n.tree, AdminName)
	n.sessions.byHash[key] = &session{id: "x", user: user.ID, name: AdminName, hash: key, expires: n.cfg.Now().Add(sessionLifetime), used: n.cfg.Now()}
	handler := n.routes()
	n.limits.changes.Store(0) // no limit: an allowance that was never looked up is as of then
	n.sessions.byHash[key].allowed.rate = rate.NewLimiter(rate.Inf, 0)
	for name, request := range map[string]func() *http.Request{
		"REST": func() *http.Request {
			return httptest.NewRequest(http.MethodGet, "/api/v1/values/system:"+settingHosts, nil)
		},
		"JSON": func() *http.Request {
			r := httptest.NewRequest(http.MethodPost, "/banyan.api.v1.TreeService/Get", strings.NewReader(`{"address":"/system:`+settingHosts+`"}`))
			r.Header.Set("Content-Type", "application/json")
			return r
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, w := request(), httptest.NewRecorder()
				r.Header.Set("Authorization", "Bearer "+token)
				if handler.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
