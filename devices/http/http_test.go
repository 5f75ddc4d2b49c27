package http_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/devices/http"
	"banyan/model"
)

func TestDriver(t *testing.T) {
	n := startNginx(t)
	devicetest.Run(t, http.Driver{}, devices.Settings{"url": model.String("https://" + n.secure + "/"), "ca": model.String(n.authority.PEM)})
}

func with(url string, more ...any) devices.Settings {
	s := devices.Settings{"url": model.String(url)}
	for i := 0; i < len(more); i += 2 {
		name := more[i].(string)
		switch v := more[i+1].(type) {
		case string:
			s[name] = model.String(v)
		case bool:
			s[name] = model.Bool(v)
		case int:
			s[name] = model.Int64(int64(v))
		case time.Duration:
			s[name] = model.Duration(v)
		}
	}
	return s
}

type expectation struct {
	name     string
	settings devices.Settings
	state    string
	text     string // in last_error
	shows    map[string]string
}

func check(t *testing.T, tests []expectation) {
	t.Helper()
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			p := devicetest.Poll(t, http.Driver{}, c.settings)
			if p.State != c.state || !strings.Contains(p.Text, c.text) || (c.text == "") != (p.Text == "") {
				t.Errorf("the state is %s, %q; expected %s, %q", p.State, p.Text, c.state, c.text)
			}
			for name, want := range c.shows {
				if got := string(p.Named(name).Value.JSON()); got != want {
					t.Errorf("%s is %s, expected %s", name, got, want)
				}
			}
			if secret := "swordfish"; strings.Contains(p.Text, secret) || strings.Contains(fmt.Sprint(p.All()), secret) {
				t.Errorf("a secret is shown: %q, %v", p.Text, p.All())
			}
		})
	}
}

func TestAgainstNginx(t *testing.T) {
	n := startNginx(t)
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	plain, secure, ca := "http://"+n.plain, "https://"+n.secure, n.authority.PEM
	check(t, []expectation{
		{"plain", with(plain + "/"), "ok", "", map[string]string{"status": `"200"`, "protocol": `"HTTP/1.1"`, "size": `"16"`, "certificate_check": `"none"`, "body_complete": "true"}},
		{"TLS with HTTP/2", with(secure+"/", "ca", ca, "body_contains", `"ok"`), "ok", "",
			map[string]string{"protocol": `"HTTP/2.0"`, "certificate_check": `"verified"`, "certificate_subject": `"CN=127.0.0.1"`, "body_matches": "true", "server_address": `"` + n.secure + `"`}},
		{"TLS with HTTP/1.1", with(secure+"/", "ca", ca, "http2", false), "ok", "", map[string]string{"protocol": `"HTTP/1.1"`}},
		{"unknown authority", with(secure + "/"), "failed", "signed by nobody who is trusted", map[string]string{"certificate_check": `"failed"`, "certificate_issuer": `"CN=Test Authority"`}},
		{"not checked", with(secure+"/", "insecure_skip_verify", true), "ok", "", map[string]string{"certificate_check": `"skipped"`}},
		{"HTTP to a port with TLS", with("http://" + n.secure + "/"), "failed", "status is 400", nil},
		{"TLS to a port without", with("https://" + n.plain + "/"), "failed", "TLS", nil},
		{"404", with(plain + "/missing"), "failed", "the status is 404 Not Found", map[string]string{"status": `"404"`}},
		{"404 as expected", with(plain+"/missing", "expected_status", "200, 404"), "ok", "", map[string]string{"status": `"404"`}},
		{"503", with(plain + "/broken"), "failed", "the status is 503 Service Unavailable", nil},
		{"body without the text", with(plain+"/", "body_contains", "error"), "failed", "not in the body of 16 bytes", map[string]string{"body_matches": "false"}},
		{"body without the pattern", with(plain+"/", "body_pattern", "^ok"), "failed", "not in the body", nil},
		{"body beyond what is read", with(plain+"/", "body_contains", "ok", "max_body", 5), "failed", "first 5 bytes", nil},
		{"redirects", with(plain+"/moved", "ca", ca), "ok", "", map[string]string{"redirects": `"2"`, "final_url": `"` + secure + `/"`, "status": `"200"`, "certificate_check": `"verified"`}},
		{"redirects, not followed", with(plain+"/moved", "max_redirects", 0), "ok", "", map[string]string{"status": `"302"`, "redirects": `"0"`}},
		{"redirects for ever", with(plain + "/loop"), "failed", "more than 5 redirects", map[string]string{"status": `"302"`}},
		{"redirect to another scheme", with(plain + "/odd"), "failed", "no address for HTTP", nil},
		{"HEAD", with(plain+"/big.bin", "method", "HEAD"), "ok", "", map[string]string{"size": `"0"`, "body_complete": "true"}},
		{"huge body", with(plain+"/big.bin", "max_body", 1<<20), "ok", "", map[string]string{"size": `"1048576"`, "body_complete": "false"}},
		{"slow body", with(plain+"/drip", "timeout", 600*time.Millisecond), "no-response", "after the status 200 and", map[string]string{"status": `"200"`}},
		{"request", with(plain+"/echo", "method", "PUT", "headers", "X-Probe: 1\nHost: other", "body_pattern", "^method=PUT auth= key= agent=banyan host=other probe=1$"), "ok", "", nil},
		{"secrets", with(plain+"/echo", "secret_headers", "X-Key: swordfish", "username", "alice", "password", "swordfish", "body_pattern", "auth=Basic YWxpY2U6c3dvcmRmaXNo key=swordfish"), "ok", "", nil},
		{"secrets go to nobody else", with(secure+"/elsewhere", "ca", ca, "secret_headers", "X-Key: swordfish", "username", "alice", "password", "swordfish", "body_contains", "auth= key= "), "ok", "",
			map[string]string{"redirects": `"1"`}},
		{"password", with(plain+"/secret", "username", "alice", "password", "wonder"), "ok", "", nil},
		{"wrong password", with(plain+"/secret", "username", "alice", "password", "swordfish"), "failed", "the status is 401 Unauthorized", nil},
	})
}

// TestCertificateDays: nginx's certificate is good for two days.
func TestCertificateDays(t *testing.T) {
	n := startNginx(t)
	p := devicetest.Poll(t, http.Driver{}, with("https://"+n.secure+"/", "ca", n.authority.PEM))
	if left := p.Named("certificate_days_left").Value.Float64(); left < 1.99 || left > 2 {
		t.Errorf("of two days %v are left", left)
	}
}

// TestPhases: a server that waits in each phase; the figures show which, and add up to the whole.
func TestPhases(t *testing.T) {
	wait := 150 * time.Millisecond
	server := httptest.NewUnstartedServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		time.Sleep(wait)
		w.WriteHeader(200)
		w.(nethttp.Flusher).Flush()
		time.Sleep(2 * wait)
		_, _ = io.WriteString(w, "done")
	}))
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	p := devicetest.Poll(t, http.Driver{}, with(server.URL, "insecure_skip_verify", true))
	of := func(name string) time.Duration { return p.Named(name).Value.Duration() }
	if of("first_byte_time") < wait || of("first_byte_time") > 2*wait || of("body_time") < 2*wait || of("body_time") > 3*wait {
		t.Errorf("first byte %s, body %s", of("first_byte_time"), of("body_time"))
	}
	if of("connect_time") <= 0 || of("connect_time") > wait/2 || of("tls_time") <= 0 || of("tls_time") > wait/2 {
		t.Errorf("connect %s, TLS %s", of("connect_time"), of("tls_time"))
	}
	sum := of("dns_time") + of("connect_time") + of("tls_time") + of("first_byte_time") + of("body_time")
	if off := of("latency") - sum; off < 0 || off > 20*time.Millisecond {
		t.Errorf("the phases are %s together, the whole is %s", sum, of("latency"))
	}
}

// raw is a server that does anything with a connection, after it has read a request's head.
func raw(t *testing.T, secure *tls.Config, answer func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			running.Go(func() {
				defer c.Close()
				var to = c
				if secure != nil {
					to = tls.Server(c, secure)
				}
				for in := bufio.NewReader(to); ; {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if strings.TrimSpace(line) == "" {
						break
					}
				}
				answer(to)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

func TestBadServers(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	short := 300 * time.Millisecond
	ca := devicetest.NewAuthority(t)
	now := time.Now()
	say := func(text string) func(net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, text) }
	}
	hang := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	closed := freePort(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects, and reads nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	check(t, []expectation{
		{"refused", with("http://" + closed), "failed", "connecting to " + closed + ": refused: nothing listens there", nil},
		{"silent", with("http://"+raw(t, nil, hang), "timeout", short), "no-response", "waiting for the answer of 127.0.0.1", nil},
		{"never accepted", with("https://"+silent.Addr().String(), "timeout", short), "no-response", "TLS with 127.0.0.1", nil},
		{"slow-loris", with("http://"+raw(t, nil, func(c net.Conn) {
			for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}), "timeout", short), "no-response", "reading the answer of", nil},
		{"slow body", with("http://"+raw(t, nil, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
			hang(c)
		}), "timeout", short), "no-response", "after the status 200 and 4 bytes of the body there came no more in time", map[string]string{"status": `"200"`, "size": `"4"`}},
		{"garbage", with("http://" + raw(t, nil, say("\x00\x01\x02 what?\r\n\r\n"))), "failed", "malformed HTTP", nil},
		{"endless status line", with("http://" + raw(t, nil, func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 10_000)); err != nil {
					return
				}
			}
		})), "failed", "exceeded", nil},
		{"endless headers", with("http://" + raw(t, nil, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "X: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
					return
				}
			}
		})), "failed", "exceeded", nil},
		{"endless body", with("http://"+raw(t, nil, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 10_000)); err != nil {
					return
				}
			}
		}), "body_contains", "y"), "failed", "not in the first 1048576 bytes", map[string]string{"size": `"1048576"`, "body_complete": "false"}},
		{"closed without a word", with("http://" + raw(t, nil, func(net.Conn) {})), "failed", "closed the connection", nil},
		{"cut in the headers", with("http://" + raw(t, nil, say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n"))), "failed", "closed the connection in the middle", nil},
		{"cut in the body", with("http://" + raw(t, nil, say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))), "failed", "cut after 4 bytes", map[string]string{"status": `"200"`}},
		{"reset in the body", with("http://" + raw(t, nil, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			time.Sleep(30 * time.Millisecond)
			_ = c.(*net.TCPConn).SetLinger(0)
		})), "failed", "reset the connection", nil},
		{"cut in a chunk", with("http://" + raw(t, nil, say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf"))), "failed", "cut after", nil},
		{"broken chunks", with("http://" + raw(t, nil, say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf"))), "failed", "reading the answer", nil},
		{"half closed", with("http://" + raw(t, nil, func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite(); hang(c) })), "failed", "closed the connection", nil},
		{"redirects to where nobody is", with("http://" + raw(t, nil, say("HTTP/1.1 302 Found\r\nLocation: http://"+closed+"/x?secret=swordfish\r\n\r\n"))), "failed", "refused", nil},
		{"expired", with("https://"+raw(t, ca.Server(now.Add(-48*time.Hour), now.Add(-24*time.Hour), "127.0.0.1"), hang), "ca", ca.PEM), "failed", "the certificate expired on",
			map[string]string{"certificate_check": `"failed"`}},
		{"wrong name", with("https://"+raw(t, ca.Server(now.Add(-time.Hour), now.Add(time.Hour), "other.example.org"), hang), "ca", ca.PEM), "failed", "not for 127.0.0.1 but for other.example.org", nil},
		{"name that is set", with("https://"+raw(t, ca.Server(now.Add(-time.Hour), now.Add(time.Hour), "other.example.org"), say("HTTP/1.1 204 No Content\r\n\r\n")), "ca", ca.PEM, "server_name", "other.example.org"),
			"ok", "", map[string]string{"status": `"204"`}},
	})
}

func TestSilence(t *testing.T) {
	if !devicetest.InNamespace(t) {
		return
	}
	devicetest.Firewall(t, "ip daddr 127.9.9.9 drop")
	check(t, []expectation{
		{"dropped", with("http://127.9.9.9/", "timeout", 300*time.Millisecond), "no-response", "connecting to 127.9.9.9:80: no answer in time", nil},
		{"no route", with("http://192.0.2.1/"), "no-response", "no route", nil},
	})
}

// TestKeptConnection: with keep_alive one connection serves all polls, without it each has its own; the certificate shows in both.
func TestKeptConnection(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	for _, keep := range []bool{true, false} {
		var connections atomic.Int64
		server := httptest.NewUnstartedServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) { _, _ = io.WriteString(w, "x") }))
		server.Config.ConnState = func(_ net.Conn, s nethttp.ConnState) {
			if s == nethttp.StateNew {
				connections.Add(1)
			}
		}
		server.EnableHTTP2 = true
		server.StartTLS()
		settings, err := devices.Resolve(devices.Complete(http.Driver{}.Schema()), with(server.URL, "keep_alive", keep, "insecure_skip_verify", true))
		if err != nil {
			t.Fatal(err)
		}
		d, err := http.Driver{}.Open(settings)
		if err != nil {
			t.Fatal(err)
		}
		record := devicetest.NewRecorder(http.Driver{}.Schema())
		for range 3 {
			if err := d.Poll(t.Context(), record); err != nil {
				t.Fatal(err)
			}
			if got := record.Named("certificate_check").Value.Text(); got != "skipped" {
				t.Errorf("kept %v: certificate_check is %q", keep, got)
			}
		}
		if got := record.Named("connect_time").Value.Duration(); (got == 0) != keep {
			t.Errorf("kept %v: connecting took %s", keep, got)
		}
		if want := map[bool]int64{true: 1, false: 3}[keep]; connections.Load() != want {
			t.Errorf("kept %v: %d connections for 3 polls", keep, connections.Load())
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	}
}

// TestProxy: through a proxy only where one is set; its password is sent to it alone.
func TestProxy(t *testing.T) {
	if !devicetest.InNamespace(t) { // net/http reads the environment once for each process
		return
	}
	n := startNginx(t)
	var seen atomic.Pointer[string]
	proxy := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		what := r.Method + " " + r.Host + " " + r.Header.Get("Proxy-Authorization")
		seen.Store(&what)
		to, err := net.Dial("tcp", r.Host)
		if err != nil || r.Method != nethttp.MethodConnect {
			w.WriteHeader(nethttp.StatusBadGateway)
			return
		}
		defer to.Close()
		from, _, err := w.(nethttp.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); to.Close() }()
		_, _ = io.Copy(from, to)
	}))
	defer proxy.Close()
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("HTTP_PROXY", proxy.URL)
	secure := "https://" + n.secure + "/"
	// The environment never counts for loopback addresses.
	check(t, []expectation{{"environment that is not asked for", with("http://192.0.2.1/"), "no-response", "no route", nil}})
	if seen.Load() != nil {
		t.Errorf("the proxy of the environment was used: %s", *seen.Load())
	}
	check(t, []expectation{
		{"environment", with("http://192.0.2.1/", "proxy", "environment"), "failed", "the status is 502", nil},
		{"proxy", with(secure, "ca", n.authority.PEM, "proxy", proxy.URL, "proxy_username", "alice", "proxy_password", "swordfish"), "ok", "",
			map[string]string{"server_address": `"` + strings.TrimPrefix(proxy.URL, "http://") + `"`, "certificate_check": `"verified"`}},
	})
	if got := seen.Load(); got == nil || *got != "CONNECT "+n.secure+" Basic YWxpY2U6c3dvcmRmaXNo" {
		t.Errorf("the proxy saw %v", got)
	}
}

func TestDiscover(t *testing.T) {
	n := startNginx(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, port, _ := net.SplitHostPort(n.secure)
	at := netip.MustParseAddr("127.0.0.1")
	found, is, err := http.Driver{}.Discover(ctx, at, devices.Settings{"url": model.String("https://:" + port + "/")})
	if err != nil || !is || found.Settings["url"].Text() != "https://"+n.secure+"/" || found.Description != "answers over HTTP/2.0 with the status 200" {
		t.Errorf("found %+v, %v, %v", found, is, err)
	}
	_, port, _ = net.SplitHostPort(freePort(t))
	if _, is, err := (http.Driver{}).Discover(ctx, at, devices.Settings{"url": model.String("http://:" + port)}); is || err != nil {
		t.Errorf("where nothing listens: %v, %v", is, err)
	}
	if _, _, err := (http.Driver{}).Discover(ctx, at, devices.Settings{"url": model.String("http://host/")}); model.KindOf(err) != model.KindInvalid {
		t.Errorf("a hint with a host: %v", err)
	}
}

func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY"} {
		_ = os.Unsetenv(name)
	}
	os.Exit(m.Run())
}
