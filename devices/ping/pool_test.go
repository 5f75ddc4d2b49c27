package ping

import (
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// a round of a few probes to one target, sent at known times, without a socket.
func sent(p *pool, target string, count int) *round {
	r := &round{target: netip.MustParseAddr(target), wait: time.Second, tally: &tally{}, news: make(chan struct{}, 1)}
	r.six = r.target.Is6()
	for i := range count {
		one := &probe{round: r, key: p.freeKey(r.target), sent: time.Now()}
		one.echo = echo{id: 7, seq: one.key.seq, known: true, token: token{byte(i), 1}}
		p.probes[one.key] = one
		r.probes = append(r.probes, one)
	}
	return r
}

func reply(o *probe, after time.Duration, change func(*echo)) packet {
	e := o.echo
	if change != nil {
		change(&e)
	}
	b := request(o.round.six, e, 56)
	if b[0] = echoReply4; o.round.six {
		b[0] = echoReply6
	}
	return packet{from: o.round.target, data: b, hops: 60, at: o.sent.Add(after)}
}

// report quotes a probe's first bytes.
func report(o *probe, from string, kind, code byte, quoted int) packet {
	b := []byte{kind, code, 0, 0, 0, 0, 0, 0}
	if o.round.six {
		header := make([]byte, 40)
		header[0], header[6] = 0x60, 58
		copy(header[24:], o.round.target.AsSlice())
		b = append(b, header...)
	} else {
		header := make([]byte, 20)
		header[0], header[9] = 0x45, 1
		copy(header[16:], o.round.target.AsSlice())
		b = append(b, header...)
	}
	return packet{from: netip.MustParseAddr(from), data: append(b, request(o.round.six, o.echo, 56)[:quoted]...), at: o.sent.Add(time.Millisecond)}
}

// TestOnlyTrueAnswersCount changes each part of an answer in turn.
func TestOnlyTrueAnswersCount(t *testing.T) {
	for _, target := range []string{"192.0.2.1", "2001:db8::1"} {
		p := newPool()
		r := sent(p, target, 1)
		one := r.probes[0]
		other := reply(one, time.Millisecond, nil)
		other.from = netip.MustParseAddr("192.0.2.2")
		short := reply(one, time.Millisecond, nil)
		short.data = short.data[:echoHeader]
		asked := reply(one, time.Millisecond, nil)
		if asked.data[0] = echoRequest4; r.six {
			asked.data[0] = echoRequest6
		}
		for name, in := range map[string]packet{
			"identifier": reply(one, time.Millisecond, func(e *echo) { e.id++ }), "number": reply(one, time.Millisecond, func(e *echo) { e.seq++ }),
			"token": reply(one, time.Millisecond, func(e *echo) { e.token[15]++ }), "sender": other, "length": short, "request": asked,
			"nothing": {from: r.target}, "header of a report only": {from: r.target, data: []byte{3, 1, 0, 0, 0, 0, 0, 0}},
		} {
			if p.take(r.six, 7, in); one.done {
				t.Fatalf("%s: an answer with another %s counts", target, name)
			}
		}
		p.take(r.six, 7, reply(one, 3*time.Millisecond, nil))
		if f := r.figure(p); !one.came || f.received != 1 || f.last != 3*time.Millisecond || f.hops != 60 {
			t.Errorf("%s: the true answer does not count: %+v", target, f)
		}
	}
}

func TestReports(t *testing.T) {
	for _, c := range []struct {
		target, from string
		kind, code   byte
		quoted       int
		want         string
	}{
		{"192.0.2.1", "192.0.2.254", unreachable4, 1, 64, "the host cannot be reached, says 192.0.2.254"},
		{"192.0.2.1", "192.0.2.254", unreachable4, 13, 8, "a filter on the way prohibits it, says 192.0.2.254"}, // as much as RFC 792 asks for
		{"192.0.2.1", "192.0.2.254", timeExceeded4, 0, 64, "too many hops: there may be a loop, says 192.0.2.254"},
		{"192.0.2.1", "192.0.2.254", unreachable4, 200, 64, "it cannot be reached, says 192.0.2.254"},
		{"2001:db8::1", "2001:db8::fe", unreachable6, 0, 64, "there is no route, says 2001:db8::fe"},
		{"2001:db8::1", "2001:db8::fe", timeExceeded6, 0, 24, "too many hops: there may be a loop, says 2001:db8::fe"},
	} {
		p := newPool()
		r := sent(p, c.target, 2)
		in := report(r.probes[0], c.from, c.kind, c.code, c.quoted)
		p.take(r.six, 8, in)
		if c.quoted > 24 {
			bad := report(r.probes[0], c.from, c.kind, c.code, c.quoted)
			bad.data[len(bad.data)-c.quoted+echoHeader]++
			p.take(r.six, 7, bad)
		}
		if r.probes[0].done {
			t.Fatalf("%+v: a report that quotes something else counts", c)
		}
		p.take(r.six, 7, in)
		if f := r.figure(p); f.reason != c.want || f.received != 0 || f.loss != 100 {
			t.Errorf("%+v: got %+v", c, f)
		}
		p.take(r.six, 7, reply(r.probes[0], time.Millisecond, nil))
		if f := r.figure(p); f.reason != "" || f.received != 1 {
			t.Errorf("%+v: an answer after a report does not count: %+v", c, f)
		}
	}
}

func TestFigures(t *testing.T) {
	p := newPool()
	r := sent(p, "192.0.2.1", 6)
	ms := time.Millisecond
	for i, rtt := range map[int]time.Duration{0: 10 * ms, 1: 14 * ms, 2: 8 * ms, 4: 20 * ms, 5: 21 * ms} { // the fourth is lost
		p.take(false, 7, reply(r.probes[i], rtt, nil))
	}
	p.take(false, 7, reply(r.probes[1], 15*ms, nil))
	p.take(false, 7, reply(r.probes[1], 16*ms, nil))
	f := r.figure(p)
	if f.sent != 6 || f.received != 5 || f.loss < 16.66 || f.loss > 16.67 || f.least != 8*ms || f.most != 21*ms || f.last != 21*ms || f.average != 14600*time.Microsecond || f.duplicates != 2 {
		t.Errorf("got %+v", f)
	}
	if want := (4*ms + 6*ms + 1*ms) / 3; f.jitter != want || f.pairs != 3 { // not between the third and the fifth
		t.Errorf("jitter %s of %d pairs, expected %s", f.jitter, f.pairs, want)
	}
	r.probes[3].over = true
	p.take(false, 7, reply(r.probes[3], 2*time.Second, nil))
	p.take(false, 7, reply(r.probes[3], 3*time.Second, nil))
	if f := r.figure(p); f.received != 5 || f.late != 1 || f.duplicates != 3 {
		t.Errorf("after a late answer, which came twice: %+v", f)
	}
}

// TestUndecided: a ping that was sent just before the poll's time was over is neither lost nor received.
func TestUndecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool()
		r := sent(p, "192.0.2.1", 1)
		time.Sleep(1500 * time.Millisecond)
		later := sent(p, "192.0.2.1", 1).probes[0]
		r.probes = append(r.probes, later)
		r.leaveOutUndecided()
		if f := r.figure(p); f.sent != 1 || f.loss != 100 {
			t.Errorf("got %+v", f)
		}
		p.forget(r)
		if len(p.probes) != 0 {
			t.Errorf("%d probes are left", len(p.probes))
		}
	})
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pace{every: time.Millisecond, burst: 10}
		began := time.Now()
		for range 1011 {
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("1011 went in %s, expected 1000 a second after a burst of 10 and the first", took)
		}
		time.Sleep(time.Hour)
		began = time.Now()
		for range 21 {
			_ = p.wait(t.Context())
		}
		if took := time.Since(began); took != 10*time.Millisecond {
			t.Errorf("after an hour 21 went in %s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if p.wait(ctx) == nil {
			t.Error("nobody waits any more, and was let through")
		}
	})
}

func TestChecksum(t *testing.T) {
	b := request(false, echo{id: 1, seq: 2, token: token{3}}, 57)
	if checksum(b) != 0 {
		t.Errorf("the sum over a whole message is %x", checksum(b))
	}
	// RFC 1071, 3.
	if got := checksum([]byte{0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7}); got != ^uint16(0xddf2) {
		t.Errorf("the sum of RFC 1071's example is %x", got)
	}
}

// FuzzTake throws packets at a pool with one probe under way. Nothing panics, and only what bears the probe's token is an answer.
func FuzzTake(f *testing.F) {
	p := newPool()
	for _, target := range []string{"192.0.2.1", "2001:db8::1"} {
		r := sent(p, target, 1)
		f.Add(r.six, reply(r.probes[0], 0, nil).data, "")
		f.Add(r.six, report(r.probes[0], target, 3, 1, 64).data, "")
		f.Add(r.six, report(r.probes[0], target, 1, 1, 8).data, "a report")
	}
	f.Fuzz(func(t *testing.T, six bool, data []byte, queued string) {
		p := newPool()
		target := "192.0.2.1"
		if six {
			target = "2001:db8::1"
		}
		r := sent(p, target, 1)
		one := r.probes[0]
		delete(p.probes, one.key)
		one.key.seq, one.echo.seq = 9, 9
		one.echo.token = token{42, 43, 44, 45, 46, 47, 48, 49}
		p.probes[one.key] = one
		p.take(six, 7, packet{from: r.target, data: data, report: queued, at: one.sent})
		_ = withoutHeader(data)
		if one.came && (len(data) < echoHeader+tokenSize || binary.BigEndian.Uint16(data[6:]) != 9 || token(data[echoHeader:echoHeader+tokenSize]) != one.echo.token) {
			t.Errorf("%x is taken for an answer", data)
		}
	})
}
