package dialing

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"banyan/model"
	"banyan/peering"
)

const secretWord = "pa:ss wörd"

// listen answers each connection with handle.
func listen(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// peer is a node that says hello to whoever speaks.
func peer(t testing.TB) string {
	return listen(t, func(conn net.Conn) {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			_, _ = conn.Write([]byte("hello"))
		}
	})
}

// hello speaks over a connection that leads to a peer.
func hello(t testing.TB, conn net.Conn) {
	t.Helper()
	defer conn.Close()
	if _, err := conn.Write([]byte("?")); err != nil {
		t.Error(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || string(answer) != "hello" {
		t.Errorf("the peer says %q, %v", answer, err)
	}
}

// answering is a proxy that says one thing, whoever asks.
func answering(t testing.TB, text string) string {
	return listen(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, text)
		_, _ = io.Copy(io.Discard, conn)
	})
}

func nothing(*http.Request) (*url.URL, error) { return nil, nil }

// working is a proxy that lets one user through.
func working(t testing.TB, user, word string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := strings.TrimPrefix(r.Header.Get("Proxy-Authorization"), "Basic ")
		if user != "" && given != base64.StdEncoding.EncodeToString([]byte(user+":"+word)) {
			w.Header().Set("Proxy-Authenticate", "Basic realm=\"x\"")
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil || r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 Connection established\r\n\r\n")
		go func() {
			_, _ = io.Copy(to, conn)
			_ = to.Close()
		}()
		_, _ = io.Copy(conn, to)
	})
}

func TestThroughAProxy(t *testing.T) {
	plain := httptest.NewServer(working(t, "", ""))
	defer plain.Close()
	guarded := httptest.NewServer(working(t, "berlin", secretWord))
	defer guarded.Close()
	secured := httptest.NewTLSServer(working(t, "berlin", secretWord))
	defer secured.Close()
	at := peer(t)
	withUser := func(address string) func(*http.Request) (*url.URL, error) {
		return func(*http.Request) (*url.URL, error) {
			u, err := url.Parse(address)
			u.User = url.UserPassword("berlin", secretWord)
			return u, err
		}
	}
	roots := secured.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for name, c := range map[string]struct {
		environment func(*http.Request) (*url.URL, error)
		proxy       peering.Proxy
		route       string
	}{
		"none":                     {nothing, peering.Proxy{}, at},
		"set":                      {nothing, peering.Proxy{URL: plain.URL}, at + " through " + plain.URL},
		"set, with a password":     {nothing, peering.Proxy{URL: guarded.URL, User: "berlin", Password: secretWord}, at + " through " + guarded.URL},
		"set, over TLS":            {nothing, peering.Proxy{URL: secured.URL, User: "berlin", Password: secretWord}, at + " through " + secured.URL},
		"environment":              {withUser(guarded.URL), peering.Proxy{}, at + " through " + guarded.URL},
		"none outweighs":           {withUser("http://127.0.0.1:1"), peering.Proxy{URL: None}, at},
		"a setting outweighs":      {withUser("http://127.0.0.1:1"), peering.Proxy{URL: plain.URL}, at + " through " + plain.URL},
		"nobody else's name is it": {withUser(guarded.URL), peering.Proxy{URL: guarded.URL, User: "berlin", Password: secretWord}, at + " through " + guarded.URL},
	} {
		t.Run(name, func(t *testing.T) {
			d := New(Config{Environment: c.environment, Roots: roots})
			got, err := d.Dial(t.Context(), peering.Destination{Addresses: []string{at}, Proxy: c.proxy})
			if err != nil {
				t.Fatal(err)
			}
			if got.Address != at || got.Route != c.route {
				t.Errorf("%s by %s", got.Address, got.Route)
			}
			hello(t, got.Conn)
		})
	}
}

// TestProxiesThatFail: each says what is wrong and what to do, in bounded time and memory, and no password stands in it.
func TestProxiesThatFail(t *testing.T) {
	silent := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	slow := listen(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 ")
		_, _ = io.Copy(io.Discard, conn)
	})
	secured := httptest.NewTLSServer(working(t, "", ""))
	t.Cleanup(secured.Close)
	secured.Config.ErrorLog = nil
	gone := listen(t, func(net.Conn) {})
	endless := listen(t, func(conn net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
		for err := error(nil); err == nil; {
			_, err = io.WriteString(conn, "X-More: "+strings.Repeat("x", 1000)+"\r\n")
		}
	})
	interim := listen(t, func(conn net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		for err := error(nil); err == nil; {
			_, err = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}
	})
	user := peering.Proxy{User: "berlin", Password: secretWord}
	for name, c := range map[string]struct {
		proxy string
		with  peering.Proxy
		says  string
	}{
		"asks":            {answering(t, "HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"), peering.Proxy{}, "asks for a user and a password (407) (set proxy_user"},
		"does not accept": {answering(t, "HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: basic realm=x\r\n\r\n"), user, "does not accept the user and the password"},
		"asks otherwise":  {answering(t, "HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Negotiate\r\n\r\n"), user, "not by a password"},
		"forbids":         {answering(t, "HTTP/1.1 403 No\r\nContent-Length: 100000\r\n\r\n<html>"), user, "does not let connections through to hq.example:7443 (403 Forbidden)"},
		"cannot reach":    {answering(t, "HTTP/1.1 502 Bad\r\n\r\n"), user, "cannot reach hq.example:7443 (502"},
		"web server":      {answering(t, "HTTP/1.1 405 No\r\n\r\n"), user, "does not know CONNECT"},
		"redirects":       {answering(t, "HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n"), user, "refuses a connection"},
		"no HTTP":         {answering(t, "220 mail.example ESMTP\r\n"), user, "does not answer as a proxy for HTTP"},
		"garbage":         {answering(t, strings.Repeat("\x00\xff", 40<<10)), user, "bytes"},
		"huge headers":    {endless, user, "answers with more than 16384 bytes"},
		"never an answer": {interim, user, "answers without ever"},
		"speaks first":    {answering(t, "HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n"), user, "something else than the other node speaks first"},
		"ends":            {gone, user, "broke the connection off"},
		"silent":          {silent, user, "does not answer (look whether it works"},
		"stops half-way":  {slow, user, "does not answer (look"},
		"nobody there":    {"127.0.0.1:1", user, "cannot be reached: connection refused"},
		"no such name":    {"proxy.invalid:3128", user, "cannot be reached: there is no name proxy.invalid"},
		"wants TLS":       {strings.TrimPrefix(secured.URL, "https://"), user, ""},
		"speaks no TLS":   {"https:" + answering(t, "HTTP/1.1 400 Bad\r\n\r\n"), user, "breaks off when it is spoken to over TLS (write http://"},
		"speaks first, no TLS": {"https:" + listen(t, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "220 mail.example ESMTP\r\n")
			_, _ = io.Copy(io.Discard, conn)
		}), user, "does not speak TLS (write http://"},
		"silent before TLS": {"https:" + silent, user, "does not answer"},
		"is not trusted":    {"https:" + strings.TrimPrefix(secured.URL, "https://"), user, "cannot be trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.with.URL = "http://" + c.proxy
			if rest, is := strings.CutPrefix(c.proxy, "https:"); is {
				c.with.URL = "https://" + rest
			}
			d := New(Config{Environment: nothing, Within: time.Second})
			began := time.Now()
			got, err := d.Dial(t.Context(), peering.Destination{Addresses: []string{"hq.example:7443"}, Proxy: c.with})
			if err == nil {
				_ = got.Conn.Close()
				t.Fatal("it is through")
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %s", took)
			}
			if model.KindOf(err) != model.KindUnavailable || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "hq.example:7443") {
				t.Errorf("%s: %v", model.KindOf(err), err)
			}
			if strings.Contains(err.Error(), "wörd") {
				t.Errorf("the password stands in %q", err)
			}
		})
	}
}

func TestCheckProxy(t *testing.T) {
	for _, good := range []string{"", "none", "http://proxy:3128", "https://proxy.example.org", "http://[2001:db8::1]:8080/"} {
		if err := CheckProxy(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"proxy:3128", "socks5://proxy:1080", "http://", "http://u:geheim@proxy:3128", "http://proxy/path", "http://proxy?x", "http://pro xy", "NONE", "http://:80", "http://\x00geheim"} {
		if err := CheckProxy(bad); model.KindOf(err) != model.KindInvalid || strings.Contains(fmt.Sprint(err), "geheim") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if CheckUser("a:b") == nil || CheckUser("DOMAIN\\user") != nil {
		t.Error("names of users")
	}
}

// TestEnvironmentIsNoSecret: what stands in the environment and cannot be used is named, and not repeated.
func TestEnvironmentIsNoSecret(t *testing.T) {
	for _, environment := range []func(*http.Request) (*url.URL, error){
		func(*http.Request) (*url.URL, error) { return url.Parse("socks5://u:geheim@127.0.0.1:1") },
		func(*http.Request) (*url.URL, error) { return nil, errors.New("invalid proxy http://u:geheim@x") },
	} {
		_, err := New(Config{Environment: environment}).Dial(t.Context(), peering.Destination{Addresses: []string{"10.0.0.1:1"}})
		if err == nil || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "HTTPS_PROXY") {
			t.Error(err)
		}
	}
}

func TestZonesUseNoProxy(t *testing.T) {
	var connected []string
	d := New(Config{
		Environment: func(*http.Request) (*url.URL, error) { return url.Parse("http://127.0.0.1:1") },
		Connect: func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
			connected = append(connected, to.String())
			return nil, errors.New("that is enough")
		},
	})
	_, err := d.Dial(t.Context(), peering.Destination{Addresses: []string{"[fe80::1%eth0]:7443"}})
	if err == nil || fmt.Sprint(connected) != "[[fe80::1%eth0]:7443]" {
		t.Error(connected, err)
	}
	_, err = d.Dial(t.Context(), peering.Destination{Addresses: []string{"[fe80::1%eth0]:7443"}, Proxy: peering.Proxy{URL: "http://127.0.0.1:1"}})
	if err == nil || !strings.Contains(err.Error(), "zone") {
		t.Error(err)
	}
}

// FuzzAnswer: whatever a proxy says, a connection is through or is not, and nothing else happens.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 Connection established\r\nX: y\r\n\r\n", "HTTP/1.1 407 A\r\nProxy-Authenticate: Basic\r\n\r\n",
		"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x46", "", "HTTP/1.1 101 S\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			if _, err := http.ReadRequest(bufio.NewReader(there)); err == nil {
				_, _ = there.Write(answer)
			}
		}()
		conn, err := New(Config{Environment: nothing}).through(t.Context(), here, &proxy{address: "p:1", host: "p"}, "hq:7443")
		if err == nil {
			if !strings.HasPrefix(string(answer), "HTTP/1.") {
				t.Errorf("through after %q", answer)
			}
			_ = conn.Close()
		}
	})
}

// FuzzProxy: a proxy that is taken has an address to dial, and errors repeat nothing of the URL.
func FuzzProxy(f *testing.F) {
	for _, seed := range []string{"http://proxy:3128", "https://[::1]", "http://user:word@proxy", "socks5://x", "http://a b", "http://%zz", "http://proxy:99999/"} {
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, text string, mayHoldPassword bool) {
		p, err := parseProxy(text, mayHoldPassword)
		if err != nil {
			return
		}
		if host, port, err := net.SplitHostPort(p.address); err != nil || host == "" || port == "" || p.word != "" && !mayHoldPassword {
			t.Errorf("%q is dialled at %q", text, p.address)
		}
	})
}
