package main

import (
	"slices"
	"testing"
)

// TestReachedAt: a node that listens at one address can be reached there, with a certificate for it, without anything being said twice.
func TestReachedAt(t *testing.T) {
	for _, test := range []struct {
		api   string
		given []string
		want  []string
		login string
	}{
		{"127.0.0.1:8443", nil, nil, "https://127.0.0.1:8443"},
		{"localhost:8443", nil, nil, "https://localhost:8443"},
		{"10.0.0.5:8443", nil, []string{"10.0.0.5", "localhost", "127.0.0.1", "::1"}, "https://10.0.0.5:8443"},
		{"[fd00::5]:8443", nil, []string{"fd00::5", "localhost", "127.0.0.1", "::1"}, "https://[fd00::5]:8443"},
		{"hq.example:8443", nil, []string{"hq.example", "localhost", "127.0.0.1", "::1"}, "https://hq.example:8443"},
		{"10.0.0.5:8443", []string{"hq.example"}, []string{"hq.example"}, "https://hq.example:8443"},
		{"0.0.0.0:8443", nil, nil, "https://localhost:8443"},
		{"[::]:8443", nil, nil, "https://localhost:8443"},
		{":8443", nil, nil, "https://localhost:8443"},
	} {
		hosts := reachedAt(test.api, test.given)
		if !slices.Equal(hosts, test.want) {
			t.Errorf("at %s with %v the certificate is for %v, expected %v", test.api, test.given, hosts, test.want)
		}
		if login := loginAddress(nodeFile("x", test.api, "127.0.0.1:7443"), hosts); login != test.login {
			t.Errorf("at %s with %v one logs in at %s, expected %s", test.api, test.given, login, test.login)
		}
	}
}
