package rehearsal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"banyan/model"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ what, schedule, is, problem string }{
		{what: "delay=300ms jitter=50ms, rate=20k loss=2% block=in", is: "delay=300ms jitter=50ms rate=20000 loss=2% block=in"},
		{what: "cut refuse block=both", is: "block=both cut refuse"},
		{what: "loss=100", is: "loss=100%"},
		{schedule: "after=10s for=5s cut repeat=3; for=1s delay=1s # slow\n\n", is: "after=10s for=5s cut repeat=3; for=1s delay=1s"},
		{what: "delay=1s", schedule: "for=1s block=out", is: "delay=1s; for=1s block=out"},
		{problem: "nothing is to be done"},
		{what: "none", problem: "nothing is to be done"},
		{what: "slow", problem: `"slow" is nothing`},
		{what: "delay=2m", problem: "at most 1m0s"},
		{what: "delay=-1s", problem: "at most 1m0s"},
		{what: "jitter=1s", problem: "jitter is at most"},
		{what: "rate=1", problem: "rate is"},
		{what: "rate=9999999999G", problem: "cannot be read"},
		{what: "loss=101%", problem: "between 0% and 100%"},
		{what: "loss=NaN", problem: "between 0% and 100%"},
		{what: "block=up", problem: "in, out or both"},
		{schedule: "cut", problem: "for of a step"},
		{schedule: "for=1s cut repeat=0", problem: "repeat of a step"},
		{schedule: strings.Repeat("for=1s cut;", mostSteps+1), problem: "at most 64 steps"},
	} {
		p, err := ParsePlan(c.what, c.schedule, time.Minute)
		switch {
		case c.problem != "":
			if err == nil || !strings.Contains(err.Error(), c.problem) || model.KindOf(err) != model.KindInvalid {
				t.Errorf("%q %q: %v", c.what, c.schedule, err)
			}
		case err != nil || p.String() != c.is:
			t.Errorf("%q %q is %q, %v", c.what, c.schedule, p.String(), err)
		}
	}
	for _, lasts := range []time.Duration{0, -1, time.Hour + 1} {
		if _, err := ParsePlan("cut", "", lasts); err == nil {
			t.Errorf("for %s is taken", lasts)
		}
	}
}

func FuzzParsePlan(f *testing.F) {
	f.Add("delay=1s loss=2%", "after=1s for=2s block=in repeat=3")
	f.Fuzz(func(t *testing.T, what, schedule string) {
		p, err := ParsePlan(what, schedule, time.Minute)
		if err != nil {
			return
		}
		for since := time.Duration(0); since < p.For; since += 7 * time.Second {
			e, next := p.At(since)
			if err := e.check(); err != nil || next <= 0 || since+next > p.For {
				t.Fatalf("%q %q: at %s %v for %s, %v", what, schedule, since, e, next, err)
			}
		}
	})
}

func TestPlan(t *testing.T) {
	p, err := ParsePlan("delay=1s", "after=10s for=5s cut repeat=2; for=1s block=in", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for since := time.Duration(0); since < p.For; {
		e, next := p.At(since)
		told = append(told, fmt.Sprint(since, " ", e.String()))
		since += next
	}
	want := "0s delay=1s|10s delay=1s cut|15s delay=1s|25s delay=1s cut|30s delay=1s block=in|31s delay=1s"
	if got := strings.Join(told, "|"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// pair is a connection on a line, and its other end.
func pair(t *testing.T, l *Line) (here *Conn, there net.Conn) {
	near, far := net.Pipe()
	c := NewConn(near)
	if err := c.Join(l); err != nil {
		t.Fatal(err)
	}
	return c, far
}

// rehearse runs a plan on a line until the test ends it.
func rehearse(t *testing.T, l *Line, what, schedule string, lasts time.Duration) (end func()) {
	t.Helper()
	p, err := ParsePlan(what, schedule, lasts)
	if err != nil {
		t.Fatal(err)
	}
	p.Seed = rand.Uint64()
	t.Logf("seed %d", p.Seed)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx, p, func(Effects) {}) }()
	synctest.Wait()
	return func() { cancel(); <-done }
}

// arrival sends text one way and says when it has all come.
func arrival(t *testing.T, from io.Writer, to io.Reader, text string) time.Duration {
	t.Helper()
	began := time.Now()
	go func() { _, _ = io.WriteString(from, text) }()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		t.Fatalf("%q came of %q: %v", clip(got), clip([]byte(text)), err)
	}
	return time.Since(began).Round(time.Millisecond)
}

func clip(b []byte) []byte { return b[:min(len(b), 40)] }

// TestEffects: each way, what is done to the bytes, and that it is over when it is over.
func TestEffects(t *testing.T) {
	for what, c := range map[string]struct {
		bytes   int
		in, out time.Duration // how long until all has come, at least
		spread  time.Duration // and at most so much more
	}{
		"delay=300ms":             {1, 300 * time.Millisecond, 300 * time.Millisecond, 0},
		"delay=300ms jitter=50ms": {1, 250 * time.Millisecond, 250 * time.Millisecond, 100 * time.Millisecond},
		"rate=1k":                 {2000, 2 * time.Second, 2 * time.Second, 0},
		"rate=100k delay=1s":      {1_000_000, 11 * time.Second, 11 * time.Second, time.Second},
		"block=in":                {1, 10 * time.Second, 0, 0},
		"block=out":               {1, 0, 10 * time.Second, 0},
		"block=both":              {1, 10 * time.Second, 10 * time.Second, 0},
		"loss=30%":                {100_000, 200 * time.Millisecond, 200 * time.Millisecond, time.Minute},
		"refuse":                  {1, 0, 0, 0},
	} {
		t.Run(what, func(t *testing.T) {
			for _, inward := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					l := NewLine()
					here, there := pair(t, l)
					lasts := time.Minute
					if strings.Contains(what, "block") {
						lasts = 10 * time.Second
					}
					end := rehearse(t, l, what, "", lasts)
					text := strings.Repeat("x", c.bytes)
					least, took := c.out, time.Duration(0)
					if inward {
						least, took = c.in, arrival(t, there, here, text)
					} else {
						took = arrival(t, here, there, text)
					}
					if took < least || took > least+c.spread {
						t.Errorf("it took %s, want %s to %s", took, least, least+c.spread)
					}
					end()
					if took := arrival(t, here, there, "after"); took != 0 {
						t.Errorf("after the end it takes %s", took)
					}
					if took := arrival(t, there, here, "after"); took != 0 {
						t.Errorf("after the end it takes %s inwards", took)
					}
					_, _ = here.Close(), there.Close()
					synctest.Wait()
				})
			}
		})
	}
}

// TestNothingIsLostOrOvertakes: whatever is done to a line, a stream stays that stream, also while effects come and go, from begin to end.
func TestNothingIsLostOrOvertakes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, uint64(round)))
			l := NewLine()
			here, there := pair(t, l)
			sent := make([]byte, 300_000)
			for i := range sent {
				sent[i] = byte(random.Uint32())
			}
			stop := rehearse(t, l, "", "after=1s for=700ms delay=200ms jitter=200ms repeat=3; for=1s block=both; for=2s rate=50k loss=1%; after=500ms for=300ms block=in; for=1s block=out delay=50ms", 20*time.Second)
			for _, way := range []struct {
				from io.Writer
				to   io.Reader
			}{{here, there}, {there, here}} {
				pauses := rand.New(rand.NewPCG(seed, uint64(round)+100))
				var sending sync.WaitGroup
				sending.Go(func() {
					for rest := sent; len(rest) > 0; {
						n := min(len(rest), 1+pauses.IntN(8000))
						if _, err := way.from.Write(rest[:n]); err != nil {
							return
						}
						rest = rest[n:]
						time.Sleep(time.Duration(pauses.IntN(200)) * time.Millisecond)
					}
				})
				got := make([]byte, len(sent))
				if _, err := io.ReadFull(way.to, got); err != nil || !bytes.Equal(got, sent) {
					t.Fatalf("round %d: what came is not what was sent: %v", round, err)
				}
				sending.Wait()
			}
			stop()
			_, _ = here.Close(), there.Close()
		})
	}
}

// TestCut: standing connections break at both ends, none comes about, and there are some again afterwards.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLine()
		here, there := pair(t, l)
		failed := make(chan error, 2)
		for _, c := range []net.Conn{here, there} {
			go func() {
				_, err := c.Read(make([]byte, 1))
				failed <- err
			}()
		}
		synctest.Wait()
		end := rehearse(t, l, "cut", "", time.Minute)
		for range 2 {
			if err := <-failed; err == nil {
				t.Error("a read goes on")
			}
		}
		if err := l.Dial(t.Context()); model.KindOf(err) != model.KindUnavailable {
			t.Errorf("dialling: %v", err)
		}
		near, far := net.Pipe()
		if err := NewConn(near).Join(l); err == nil {
			t.Error("a connection comes about")
		}
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Error("its other end does not notice")
		}
		end()
		if err := l.Dial(t.Context()); err != nil {
			t.Errorf("afterwards dialling fails: %v", err)
		}
		again, other := pair(t, l)
		arrival(t, again, other, "again")
		_, _ = again.Close(), other.Close()
	})
}

// TestDialling: behind silence nobody answers, and behind a delay later.
func TestDialling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLine()
		dial := func(within time.Duration) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			began := time.Now()
			err := l.Dial(ctx)
			return time.Since(began), err
		}
		end := rehearse(t, l, "block=in", "", time.Minute)
		if took, err := dial(5 * time.Second); took != 5*time.Second || err == nil || !strings.Contains(err.Error(), "nobody answers") {
			t.Errorf("%s, %v", took, err)
		}
		go func() { time.Sleep(2 * time.Second); end() }()
		if took, err := dial(5 * time.Second); took != 2*time.Second || err != nil {
			t.Errorf("silence that ends: %s, %v", took, err)
		}
		end = rehearse(t, l, "delay=400ms", "", time.Minute)
		if took, err := dial(5 * time.Second); took != 800*time.Millisecond || err != nil {
			t.Errorf("%s, %v", took, err)
		}
		end()
	})
}

// TestCloseIsSilentToo: behind a block the other end does not learn that a connection was closed, and what was sent comes first.
func TestCloseIsSilentToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLine()
		here, there := pair(t, l)
		end := rehearse(t, l, "block=out", "", time.Minute)
		if _, err := here.Write([]byte("last")); err != nil {
			t.Fatal(err)
		}
		_ = here.Close()
		if _, err := here.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a read here after Close: %v", err)
		}
		_ = there.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := there.Read(make([]byte, 9)); n != 0 || !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "timeout") {
			t.Errorf("the other end reads %d bytes, %v", n, err)
		}
		_ = there.SetReadDeadline(time.Time{})
		end()
		if rest, err := io.ReadAll(there); string(rest) != "last" || err != nil {
			t.Errorf("then %q, %v", rest, err)
		}
	})
}

// TestDeadlines hold also while bytes are held back.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLine()
		here, there := pair(t, l)
		end := rehearse(t, l, "block=both", "", time.Minute)
		began := time.Now()
		_ = here.SetReadDeadline(began.Add(time.Second))
		if _, err := here.Read(make([]byte, 1)); err == nil || time.Since(began) != time.Second {
			t.Errorf("read: %v after %s", err, time.Since(began))
		}
		_ = here.SetDeadline(began.Add(3 * time.Second))
		if n, err := here.Write(make([]byte, 2*mostHeld)); err == nil || time.Since(began) != 3*time.Second || n < mostHeld || n > mostHeld+chunkBytes {
			t.Errorf("write: %d, %v after %s", n, err, time.Since(began))
		}
		_ = here.SetDeadline(time.Time{})
		end()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		time.Sleep(time.Second)
		if n, err := here.Write([]byte("x")); n != 1 || err != nil {
			t.Errorf("afterwards: %d, %v", n, err)
		}
		_, _ = here.Close(), there.Close()
	})
}

// TestOneAtATime: the second rehearsal of a line is refused, and the first goes on.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLine()
		end := rehearse(t, l, "cut", "", time.Minute)
		p, _ := ParsePlan("refuse", "", time.Minute)
		if err := l.Run(t.Context(), p, nil); model.KindOf(err) != model.KindExists {
			t.Errorf("the second: %v", err)
		}
		if l.Dial(t.Context()) == nil {
			t.Error("the first is over")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := l.Dial(t.Context()); err != nil {
			t.Errorf("it is not over when it should: %v", err)
		}
		end()
	})
}

// BenchmarkOff is what a line costs that nothing is done to.
func BenchmarkOff(b *testing.B) {
	for _, wrapped := range []bool{false, true} {
		b.Run(fmt.Sprintf("wrapped=%v", wrapped), func(b *testing.B) {
			var conn net.Conn = nothing{}
			if wrapped {
				c := NewConn(conn)
				_ = c.Join(NewLine())
				conn = c
			}
			p := make([]byte, 1)
			for b.Loop() {
				_, _ = conn.Write(p)
				_, _ = conn.Read(p)
			}
		})
	}
}

type nothing struct{ net.Conn }

func (nothing) Read(p []byte) (int, error)  { return len(p), nil }
func (nothing) Write(p []byte) (int, error) { return len(p), nil }
