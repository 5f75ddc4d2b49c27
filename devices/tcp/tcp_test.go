package tcp_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/devices/tcp"
	"banyan/model"
)

// serve answers each connection at a port of its own; with a configuration for TLS, inside of that.
func serve(t *testing.T, secure *tls.Config, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	over := make(chan struct{})
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				ended := make(chan struct{})
				defer close(ended)
				defer conn.Close()
				go func() {
					select {
					case <-over:
						conn.Close()
					case <-ended:
					}
				}()
				if secure != nil {
					answer(tls.Server(conn, secure))
				} else {
					answer(conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(over)
		running.Wait()
	})
	return l.Addr().String()
}

func say(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text); _, _ = io.Copy(io.Discard, c) }
}

// refused is an address at which nothing listens: bound, so that nobody else gets it, and never listened at.
// refused is an address where nothing listens, and nothing will: the port is held by a socket that does not.
func refused(t *testing.T) string {
	t.Helper()
	held, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(held) })
	if err := syscall.Bind(held, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(held)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(at.(*syscall.SockaddrInet4).Port))
}

func with(address string, more ...any) devices.Settings {
	s := devices.Settings{"address": model.String(address), "timeout": model.Duration(5 * time.Second)}
	for i := 0; i < len(more); i += 2 {
		name := more[i].(string)
		switch v := more[i+1].(type) {
		case string:
			s[name] = model.String(v)
		case bool:
			s[name] = model.Bool(v)
		case time.Duration:
			s[name] = model.Duration(v)
		}
	}
	return s
}

func TestDriver(t *testing.T) {
	devicetest.Run(t, tcp.Driver{}, devices.Settings{"address": model.String(serve(t, nil, say("220 mail.example.org ESMTP\r\n")))})
}

// TestConversations holds what each way of answering gives. The time limit is what devicetest.Poll checks.
func TestConversations(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	short := 300 * time.Millisecond
	hour := time.Hour
	ca := devicetest.NewAuthority(t)
	now := time.Now()
	good := ca.Server(now.Add(-hour), now.Add(240*hour), "127.0.0.1")
	expired := ca.Server(now.Add(-48*hour), now.Add(-24*hour), "127.0.0.1")
	early := ca.Server(now.Add(24*hour), now.Add(48*hour), "127.0.0.1")
	other := ca.Server(now.Add(-hour), now.Add(hour), "other.example.org")
	stranger := devicetest.NewAuthority(t).Server(now.Add(-hour), now.Add(hour), "127.0.0.1")
	hang := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	tests := []struct {
		name     string
		settings devices.Settings
		state    string
		text     string // in last_error
		shows    map[string]string
	}{
		{"open", with(serve(t, nil, hang)), "ok", "", map[string]string{"open": "true", "certificate_check": `"none"`}},
		{"refused", with(refused(t)), "failed", "refused: nothing listens there", map[string]string{"open": "false"}},
		{"refused as it should", with(refused(t), "wanted", "closed"), "ok", "", map[string]string{"open": "false"}},
		{"open and should not", with(serve(t, nil, hang), "wanted", "closed"), "failed", "has to be closed", map[string]string{"open": "true"}},
		{"no such name", with("no-such-host.invalid:1"), "*", "no-such-host.invalid", nil},
		{"greeting", with(serve(t, nil, say("220 hello\r\n")), "expect", "220 "), "ok", "", map[string]string{"banner": `"220 hello"`, "matches": "true"}},
		{"pattern", with(serve(t, nil, say("SSH-2.0-x")), "expect_pattern", `^SSH-2\.0`), "ok", "", map[string]string{"matches": "true"}},
		{"answer", with(serve(t, nil, func(c net.Conn) {
			b := make([]byte, 5)
			_, _ = io.ReadFull(c, b)
			fmt.Fprintf(c, "you said %s", b)
			hang(c)
		}), "send", "hello", "expect", "said hello"), "ok", "", map[string]string{"matches": "true"}},
		{"in pieces", with(serve(t, nil, func(c net.Conn) {
			for _, piece := range []string{"2", "20", " he", "llo"} {
				_, _ = io.WriteString(c, piece)
				time.Sleep(5 * time.Millisecond)
			}
			hang(c)
		}), "expect", "220 hello"), "ok", "", nil},
		{"silent", with(serve(t, nil, hang), "read_banner", true, "timeout", short), "no-response", "took the connection and says nothing", map[string]string{"open": "true"}},
		{"wrong words and then silence", with(serve(t, nil, say("554 no")), "expect", "220", "timeout", short), "no-response", "sent 6 bytes, and not what is expected",
			map[string]string{"matches": "false", "banner": `"554 no"`}},
		{"slow-loris", with(serve(t, nil, func(c net.Conn) {
			for {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(3 * time.Millisecond)
			}
		}), "expect", "220", "timeout", short), "no-response", "and not what is expected", nil},
		{"flood", with(serve(t, nil, func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 10_000)); err != nil {
					return
				}
			}
		}), "expect", "220"), "failed", "not within the first 65536 bytes", nil},
		{"garbage", with(serve(t, nil, say("\x00\xff\x1b[2Jx\r\n\a")), "read_banner", true), "ok", "", map[string]string{"banner": `"...[2Jx\n."`}},
		{"closed at once", with(serve(t, nil, func(net.Conn) {}), "expect", "220"), "failed", "closed the connection without a word", nil},
		{"closed early", with(serve(t, nil, func(c net.Conn) { _, _ = io.WriteString(c, "22") }), "expect", "220"), "failed", "sent 2 bytes, not what is expected, and closed", nil},
		{"half closed", with(serve(t, nil, func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite(); hang(c) }), "send", "x", "expect", "220"), "failed", "closed the connection without a word", nil},
		{"cut", with(serve(t, nil, func(c net.Conn) {
			_, _ = io.WriteString(c, "22")
			time.Sleep(20 * time.Millisecond)
			_ = c.(*net.TCPConn).SetLinger(0)
		}), "expect", "220"), "failed", "reset the connection", nil},

		{"TLS", with(serve(t, good, say("220 hello")), "tls", true, "ca", ca.PEM, "expect", "220"), "ok", "",
			map[string]string{"certificate_check": `"verified"`, "certificate_subject": `"CN=127.0.0.1"`, "certificate_issuer": `"CN=Test Authority"`}},
		{"expired", with(serve(t, expired, hang), "tls", true, "ca", ca.PEM), "failed", "the certificate expired on", map[string]string{"certificate_check": `"failed"`, "open": "true"}},
		{"not yet valid", with(serve(t, early, hang), "tls", true, "ca", ca.PEM), "failed", "is valid from", nil},
		{"wrong name", with(serve(t, other, hang), "tls", true, "ca", ca.PEM), "failed", "not for 127.0.0.1 but for other.example.org", nil},
		{"name that is set", with(serve(t, other, say("x")), "tls", true, "ca", ca.PEM, "server_name", "other.example.org", "read_banner", true), "ok", "", nil},
		{"unknown authority", with(serve(t, stranger, hang), "tls", true, "ca", ca.PEM), "failed", "signed by nobody who is trusted", map[string]string{"certificate_check": `"failed"`}},
		{"unknown to the system", with(serve(t, good, hang), "tls", true), "failed", "signed by nobody who is trusted", nil},
		{"not checked", with(serve(t, expired, say("x")), "tls", true, "insecure_skip_verify", true, "read_banner", true), "ok", "", map[string]string{"certificate_check": `"skipped"`}},
		{"no TLS there", with(serve(t, nil, say("220 hello\r\n")), "tls", true), "failed", "TLS with", map[string]string{"open": "true"}},
		{"TLS that hangs", with(serve(t, nil, hang), "tls", true, "timeout", short), "no-response", "TLS with", map[string]string{"open": "true"}},
		{"TLS cut", with(serve(t, nil, func(net.Conn) {}), "tls", true), "failed", "TLS with", nil},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			p := devicetest.Poll(t, tcp.Driver{}, c.settings)
			if c.state != "*" && p.State != c.state || !strings.Contains(p.Text, c.text) || (c.text == "") != (p.Text == "") {
				t.Errorf("the state is %s, %q; expected %s, %q", p.State, p.Text, c.state, c.text)
			}
			for name, want := range c.shows {
				if got := string(p.Named(name).Value.JSON()); got != want {
					t.Errorf("%s is %s, expected %s", name, got, want)
				}
			}
		})
	}
}

func TestDaysLeft(t *testing.T) {
	ca := devicetest.NewAuthority(t)
	server := ca.Server(time.Now().Add(-48*time.Hour), time.Now().Add(-36*time.Hour), "127.0.0.1")
	p := devicetest.Poll(t, tcp.Driver{}, with(serve(t, server, say("")), "tls", true, "ca", ca.PEM))
	if left := p.Named("certificate_days_left").Value.Float64(); left > -1.49 || left < -1.51 {
		t.Errorf("a day and a half after it expired %v days are left", left)
	}
}

// TestSilence: packets that are dropped give no-response within the timeout, for a connection and in the middle of one.
func TestSilence(t *testing.T) {
	if !devicetest.InNamespace(t) {
		return
	}
	devicetest.Firewall(t, "ip daddr 127.9.9.9 drop")
	p := devicetest.Poll(t, tcp.Driver{}, with("127.9.9.9:80", "timeout", 300*time.Millisecond))
	if p.State != devices.StateNoResponse || !strings.HasSuffix(p.Text, "connecting to 127.9.9.9:80: no answer in time") {
		t.Errorf("dropped: %s, %q", p.State, p.Text)
	}
	if open := p.Named("open"); open.Value.Bool() || open.Value.IsNone() {
		t.Errorf("dropped: open is %v", open.Value)
	}
	p = devicetest.Poll(t, tcp.Driver{}, with("127.9.9.9:80", "wanted", "closed", "timeout", 300*time.Millisecond))
	if p.State != devices.StateNoResponse {
		t.Errorf("a port that has to be closed, dropped: %s, %q", p.State, p.Text)
	}
	p = devicetest.Poll(t, tcp.Driver{}, with("192.0.2.1:80"))
	if p.State != devices.StateNoResponse || !strings.Contains(p.Text, "this node has no route there") {
		t.Errorf("without a route: %s, %q", p.State, p.Text)
	}
	said := serve(t, nil, func(c net.Conn) {
		_, _ = io.WriteString(c, "22")
		time.Sleep(20 * time.Millisecond)
		devicetest.Firewall(t, "tcp sport != 0 drop")
		_, _ = io.WriteString(c, "0 hello")
	})
	p = devicetest.Poll(t, tcp.Driver{}, with(said, "expect", "220", "timeout", 500*time.Millisecond))
	if p.State != devices.StateNoResponse || !strings.Contains(p.Text, "sent 2 bytes") {
		t.Errorf("dropped in the middle: %s, %q", p.State, p.Text)
	}
}

func TestDiscover(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	address := serve(t, nil, say("hello"))
	_, port, _ := net.SplitHostPort(address)
	at := netip.MustParseAddr("127.0.0.1")
	found, is, err := tcp.Driver{}.Discover(ctx, at, devices.Settings{"address": model.String(":" + port)})
	if err != nil || !is || found.Kind != "tcp" || found.Settings["address"].Text() != address {
		t.Errorf("found %+v, %v, %v", found, is, err)
	}
	_, port, _ = net.SplitHostPort(refused(t))
	if _, is, err := (tcp.Driver{}).Discover(ctx, at, devices.Settings{"address": model.String(":" + port)}); is || err != nil {
		t.Errorf("where nothing listens: %v, %v", is, err)
	}
	if _, is, err := (tcp.Driver{}).Discover(ctx, at, nil); is || model.KindOf(err) != model.KindInvalid {
		t.Errorf("without a port: %v, %v", is, err)
	}
}
