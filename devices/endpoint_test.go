package devices

import (
	"net"
	"strings"
	"testing"
)

func TestParseEndpoint(t *testing.T) {
	for _, c := range []struct {
		text  string
		usual uint16
		want  string // or what the refusal says
	}{
		{"192.0.2.1:80", 0, "192.0.2.1:80"}, {"[2001:db8::1]:80", 0, "[2001:db8::1]:80"}, {"a.example.org:1", 0, "a.example.org:1"},
		{"192.0.2.1", 53, "192.0.2.1:53"}, {"2001:db8::1", 53, "[2001:db8::1]:53"}, {"[2001:db8::1]", 53, "[2001:db8::1]:53"}, {"a", 53, "a:53"}, {"a:5", 53, "a:5"},
		{"[fe80::1%eth0]:80", 0, "[fe80::1%eth0]:80"},
		{"", 53, "missing"}, {"a", 0, "no host with a port"}, {"a:0", 0, "use a number"}, {"a:65536", 0, "use a number"}, {"a:http", 0, "use a number"},
		{":80", 0, "host is missing"}, {"a b:80", 0, "neither"}, {"-a:80", 0, "neither"}, {"a/b:80", 0, "neither"}, {"a\x00b", 53, "neither"},
		{strings.Repeat("a", 254) + ":80", 0, "neither"},
	} {
		e, err := ParseEndpoint("address", c.text, c.usual)
		if err != nil && strings.Contains(err.Error(), c.want) || err == nil && e.String() == c.want {
			continue
		}
		t.Errorf("%q is %s, %v; expected %q", c.text, e, err, c.want)
	}
}

func FuzzParseEndpoint(f *testing.F) {
	f.Add("192.0.2.1:80", uint16(0))
	f.Add("[::1]", uint16(53))
	f.Fuzz(func(t *testing.T, text string, usual uint16) {
		e, err := ParseEndpoint("address", text, usual)
		if err != nil {
			return
		}
		if host, _, err := net.SplitHostPort(e.String()); err != nil || host != e.Host || e.Port == 0 {
			t.Errorf("%q became %+v: %v", text, e, err)
		}
	})
}
