package dns_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"banyan/devices"
	"banyan/devices/devicetest"
	driver "banyan/devices/dns"
	"banyan/model"
)

func TestDriver(t *testing.T) {
	devicetest.Run(t, driver.Driver{}, devices.Settings{"server": model.String(startNSD(t).plain)})
}

func with(server string, more ...any) devices.Settings {
	s := devices.Settings{"server": model.String(server), "name": model.String("www.example.org"), "recursion": model.Bool(false)}
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
			p := devicetest.Poll(t, driver.Driver{}, c.settings)
			if p.State != c.state || !strings.Contains(p.Text, c.text) || (c.text == "") != (p.Text == "") {
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

func TestAgainstNSD(t *testing.T) {
	n := startNSD(t)
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	ca := n.authority.PEM
	check(t, []expectation{
		{"as expected", with(n.plain, "expected_answers", "192.0.2.80"), "ok", "", map[string]string{"matches": "true"}},
		{"exactly", with(n.plain, "expected_answers", "192.0.2.80\n\n192.0.2.81\n", "answers_exactly", true), "ok", "", nil},
		{"one too many", with(n.plain, "expected_answers", "192.0.2.80", "answers_exactly", true), "failed", "there is 192.0.2.81, which is not expected", map[string]string{"matches": "false"}},
		{"one missing", with(n.plain, "expected_answers", "192.0.2.80\n192.0.2.90"), "failed", "there is no 192.0.2.90", map[string]string{"count": `"2"`, "matches": "false"}},
		{"no such name", with(n.plain, "name", "nowhere.example.org"), "failed", "the answer is NXDOMAIN", map[string]string{"rcode": `"NXDOMAIN"`}},
		{"no such type", with(n.plain, "type", "MX"), "failed", "there is no record of the type MX", map[string]string{"rcode": `"NOERROR"`, "count": `"0"`}},
		{"a type that should not be there", with(n.plain, "expected_rcode", "NODATA"), "failed", "there are 2 records of the type A", nil},
		{"a zone that it does not have", with(n.plain, "name", "example.com"), "failed", "the answer is REFUSED", nil},
		{"refused as expected", with(n.plain, "name", "example.com", "expected_rcode", "REFUSED"), "ok", "", nil},
		{"over TLS", with(n.secure, "transport", "tls", "ca", ca), "ok", "", map[string]string{"certificate_check": `"verified"`, "count": `"2"`}},
		{"over TLS, unknown authority", with(n.secure, "transport", "tls"), "failed", "signed by nobody who is trusted", map[string]string{"certificate_check": `"failed"`}},
		{"over TLS, wrong name", with(n.secure, "transport", "tls", "ca", ca, "server_name", "ns.example.org"), "failed", "not for ns.example.org but for 127.0.0.1", nil},
	})
}

// udp answers datagrams at an address of its own; tcp likewise at the same port, where it is not nil.
func serve(t *testing.T, udp func(query []byte, reply func([]byte)), tcp func(net.Conn)) string {
	t.Helper()
	address := freePort(t)
	u, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		b := make([]byte, 4096)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			if udp != nil {
				udp(append([]byte(nil), b[:n]...), func(answer []byte) { _, _ = u.WriteTo(answer, from) })
			}
		}
	})
	t.Cleanup(func() { u.Close(); running.Wait() })
	if tcp == nil {
		return address
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { defer c.Close(); _ = c.SetDeadline(time.Now().Add(2 * time.Second)); tcp(c) })
		}
	})
	t.Cleanup(func() { l.Close() })
	return address
}

// answer makes the answer to a query, changed as wanted.
func answer(query []byte, change func(*dns.Msg)) []byte {
	var q, a dns.Msg
	if q.Unpack(query) != nil {
		return nil
	}
	a.SetReply(&q)
	a.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: net.IPv4(192, 0, 2, 1)}}
	if change != nil {
		change(&a)
	}
	packed, _ := a.Pack()
	return packed
}

func TestBadServers(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	short := 400 * time.Millisecond
	first := func() func(query []byte, reply func([]byte)) { // drops the first of each name
		seen := map[string]bool{}
		return func(query []byte, reply func([]byte)) {
			if key := string(query[12:]); seen[key] {
				reply(answer(query, nil))
			} else {
				seen[key] = true
			}
		}
	}()
	always := func(change func(*dns.Msg)) func([]byte, func([]byte)) {
		return func(query []byte, reply func([]byte)) { reply(answer(query, change)) }
	}
	truncated := always(func(m *dns.Msg) { m.Truncated, m.Answer = true, nil })
	stream := func(say func(c net.Conn, answer []byte)) func(net.Conn) {
		return func(c net.Conn) {
			var length [2]byte
			if _, err := io.ReadFull(c, length[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(length[:]))
			if _, err := io.ReadFull(c, query); err == nil {
				a := answer(query, nil)
				say(c, append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
			}
		}
	}
	hang := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	check(t, []expectation{
		{"refused", with(freePort(t)), "failed", "refused: nothing listens there", nil},
		{"refused over tcp", with(freePort(t), "transport", "tcp"), "failed", "refused: nothing listens there", nil},
		{"silent", with(serve(t, nil, nil), "timeout", short), "no-response", "no answer in time", map[string]string{"attempts_used": `"2"`}},
		{"silent over tcp", with(serve(t, nil, hang), "transport", "tcp", "timeout", short), "no-response", "waiting for the answer of", nil},
		{"silent over tls", with(serve(t, nil, hang), "transport", "tls", "timeout", short), "no-response", "TLS with", nil},
		{"the first is lost", with(serve(t, first, nil), "timeout", short), "ok", "", map[string]string{"attempts_used": `"2"`, "answers": `"192.0.2.1"`, "ttl_min": `"5s"`}},
		{"another number", with(serve(t, always(func(m *dns.Msg) { m.Id++ }), nil), "timeout", short), "no-response", "no answer in time", nil},
		{"another question", with(serve(t, always(func(m *dns.Msg) { m.Question[0].Name = "evil.example.org." }), nil), "timeout", short), "no-response", "no answer in time", nil},
		{"the query itself", with(serve(t, func(query []byte, reply func([]byte)) { reply(query) }, nil), "timeout", short), "no-response", "no answer in time", nil},
		{"forgeries and then the answer", with(serve(t, func(query []byte, reply func([]byte)) {
			reply(answer(query, func(m *dns.Msg) { m.Id++ }))
			reply([]byte{1})
			reply(nil)
			reply(answer(query, func(m *dns.Msg) { m.Question[0].Name = "evil.example.org." }))
			reply(answer(query, nil))
		}, nil)), "ok", "", map[string]string{"answers": `"192.0.2.1"`}},
		{"capital letters in the question", with(serve(t, always(func(m *dns.Msg) { m.Question[0].Name = "WWW.example.ORG." }), nil)), "ok", "", nil},
		{"garbage", with(serve(t, func(query []byte, reply func([]byte)) {
			reply(append(query[:2:2], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff garbage"...))
		}, nil)), "failed", "the answer cannot be read", nil},
		{"SERVFAIL without a question", with(serve(t, always(func(m *dns.Msg) { m.Rcode, m.Question, m.Answer = dns.RcodeServerFailure, nil, nil }), nil)), "failed", "the answer is SERVFAIL", nil},
		{"a code that is unknown", with(serve(t, always(func(m *dns.Msg) { m.Rcode, m.Answer = 13, nil }), nil)), "failed", "the answer is RCODE13", nil},
		{"truncated", with(serve(t, truncated, stream(func(c net.Conn, a []byte) { _, _ = c.Write(a) }))), "ok", "", map[string]string{"truncated": "true", "count": `"1"`}},
		{"truncated, no tcp", with(serve(t, truncated, nil)), "failed", "does not fit into udp; over tcp: connecting to", nil},
		{"in single bytes", with(serve(t, nil, stream(func(c net.Conn, a []byte) {
			for _, b := range a {
				_, _ = c.Write([]byte{b})
				time.Sleep(time.Millisecond)
			}
		})), "transport", "tcp"), "ok", "", nil},
		{"slow-loris", with(serve(t, nil, stream(func(c net.Conn, a []byte) {
			for _, b := range a {
				_, _ = c.Write([]byte{b})
				time.Sleep(20 * time.Millisecond)
			}
		})), "transport", "tcp", "timeout", short), "no-response", "reading the answer of", nil},
		{"cut", with(serve(t, nil, stream(func(c net.Conn, a []byte) { _, _ = c.Write(a[:len(a)-3]) })), "transport", "tcp"), "failed", "closed the connection in the middle", nil},
		{"closed at once", with(serve(t, nil, func(net.Conn) {}), "transport", "tcp"), "failed", "the connection", nil},
		{"half closed", with(serve(t, nil, func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite(); hang(c) }), "transport", "tcp"), "failed", "closed the connection", nil},
		{"a foreign answer over tcp", with(serve(t, nil, stream(func(c net.Conn, a []byte) { a[2]++; _, _ = c.Write(a) })), "transport", "tcp"), "failed", "no answer to the query", nil},
		{"65535 bytes of nothing", with(serve(t, nil, stream(func(c net.Conn, _ []byte) { _, _ = c.Write([]byte(strings.Repeat("\xff", 70_000))) })), "transport", "tcp"), "failed", "no answer to the query", nil},
	})
}

func TestSilence(t *testing.T) {
	if !devicetest.InNamespace(t) {
		return
	}
	devicetest.Firewall(t, "ip daddr 127.9.9.9 drop")
	check(t, []expectation{
		{"dropped", with("127.9.9.9", "timeout", 300*time.Millisecond), "no-response", "asking 127.9.9.9:53: no answer in time", nil},
		{"dropped, tcp", with("127.9.9.9", "transport", "tcp", "timeout", 300*time.Millisecond), "no-response", "connecting to 127.9.9.9:53: no answer in time", nil},
		{"no route", with("192.0.2.1"), "no-response", "no route", nil},
	})
}

func TestDiscover(t *testing.T) {
	n := startNSD(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, port, _ := net.SplitHostPort(n.plain)
	at := netip.MustParseAddr("127.0.0.1")
	found, is, err := driver.Driver{}.Discover(ctx, at, devices.Settings{"server": model.String(":" + port)})
	if err != nil || !is || found.Settings["server"].Text() != n.plain || found.Description != "answers DNS queries, this one with REFUSED" {
		t.Errorf("found %+v, %v, %v", found, is, err)
	}
	_, port, _ = net.SplitHostPort(freePort(t))
	if _, is, err := (driver.Driver{}).Discover(ctx, at, devices.Settings{"server": model.String(":" + port)}); is || err != nil {
		t.Errorf("where nothing listens: %v, %v", is, err)
	}
}
