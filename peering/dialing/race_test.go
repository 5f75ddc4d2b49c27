package dialing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"banyan/model"
	"banyan/peering"
)

// world is a network in which each address answers in its own way.
type world struct {
	nature
	mu    sync.Mutex // guards tried
	began time.Time
	tried []string // address@time
}

// nature is how a world is.
type nature struct {
	answers map[string]time.Duration // after how long somebody answers
	refuses map[string]time.Duration // after how long it is refused; all other addresses are silent
	names   map[string][]string      // NAME/FAMILY to its addresses
	slow    map[string]time.Duration // NAME/FAMILY that takes so long
}

func (w *world) dialer() *Dialer {
	w.began = time.Now()
	return New(Config{Environment: nothing, Connect: w.connect, Resolve: w.resolve})
}

func (w *world) connect(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	w.tried = append(w.tried, fmt.Sprintf("%s@%s", to.Addr(), time.Since(w.began)))
	w.mu.Unlock()
	wait, err := time.Hour, error(nil)
	if after, there := w.answers[to.Addr().String()]; there {
		wait = after
	} else if after, there := w.refuses[to.Addr().String()]; there {
		wait, err = after, syscall.ECONNREFUSED
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	return pipe{here, there}, nil
}

type pipe struct {
	net.Conn
	other net.Conn
}

func (p pipe) Close() error { return errors.Join(p.Conn.Close(), p.other.Close()) }

func (w *world) resolve(ctx context.Context, family, host string) ([]netip.Addr, error) {
	select {
	case <-time.After(w.slow[host+"/"+family]):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	found := w.names[host+"/"+family]
	if len(found) == 0 {
		return nil, &net.DNSError{Name: host, IsNotFound: true}
	}
	var ips []netip.Addr
	for _, text := range found {
		ips = append(ips, netip.MustParseAddr(text))
	}
	return ips, nil
}

func TestRace(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		nature
		addresses []string
		to        string        // address that wins, "" for none
		took      time.Duration // until then
		tries     string
		says      []string
	}{
		"the first answers": {
			nature: nature{answers: map[string]time.Duration{"10.0.0.1": 100 * ms, "10.0.0.2": 1 * ms}}, addresses: []string{"10.0.0.1:1", "10.0.0.2:1"},
			to: "10.0.0.1:1", took: 100 * ms, tries: "10.0.0.1@0s",
		},
		"the first is silent": {
			nature: nature{answers: map[string]time.Duration{"10.0.0.2": 100 * ms}}, addresses: []string{"10.0.0.1:1", "10.0.0.2:1"},
			to: "10.0.0.2:1", took: 350 * ms, tries: "10.0.0.1@0s 10.0.0.2@250ms",
		},
		"the first refuses": {
			nature:    nature{answers: map[string]time.Duration{"10.0.0.2": 100 * ms}, refuses: map[string]time.Duration{"10.0.0.1": 10 * ms}},
			addresses: []string{"10.0.0.1:1", "10.0.0.2:1"}, to: "10.0.0.2:1", took: 110 * ms, tries: "10.0.0.1@0s 10.0.0.2@10ms",
		},
		"the first is slow, and still first": {
			nature:    nature{answers: map[string]time.Duration{"10.0.0.1": 300 * ms, "10.0.0.2": 100 * ms}},
			addresses: []string{"10.0.0.1:1", "10.0.0.2:1"}, to: "10.0.0.1:1", took: 300 * ms, tries: "10.0.0.1@0s 10.0.0.2@250ms",
		},
		"all are silent": {
			addresses: []string{"10.0.0.1:1", "10.0.0.2:1"}, took: 5 * time.Second, tries: "10.0.0.1@0s 10.0.0.2@250ms",
			says: []string{"dialling 10.0.0.1:1: nobody answers", "dialling 10.0.0.2:1: nobody answers"},
		},
		"all refuse": {
			nature:    nature{refuses: map[string]time.Duration{"10.0.0.1": 10 * ms, "10.0.0.2": 10 * ms}},
			addresses: []string{"10.0.0.1:1", "10.0.0.2:1"}, took: 20 * ms, tries: "10.0.0.1@0s 10.0.0.2@10ms", says: []string{"10.0.0.2:1: connection refused"},
		},
		"seven are silent": {
			nature:    nature{answers: map[string]time.Duration{"10.0.0.8": 0}},
			addresses: []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1", "10.0.0.5:1", "10.0.0.6:1", "10.0.0.7:1", "10.0.0.8:1"},
			to:        "10.0.0.8:1", took: 1750 * ms,
		},
		"a name of both families, of which IPv6 leads nowhere": {
			nature: nature{names: map[string][]string{"hq/ip6": {"2001:db8::1", "2001:db8::2"}, "hq/ip4": {"10.0.0.1", "10.0.0.2"}}, answers: map[string]time.Duration{"10.0.0.1": 0},
				slow: map[string]time.Duration{"hq/ip4": ms}},
			addresses: []string{"hq:1"}, to: "hq:1", took: 250 * ms, tries: "2001:db8::1@0s 10.0.0.1@250ms",
		},
		"a name server that answers for one family only": {
			nature:    nature{names: map[string][]string{"hq/ip4": {"10.0.0.1"}}, answers: map[string]time.Duration{"10.0.0.1": 0}, slow: map[string]time.Duration{"hq/ip6": time.Hour}},
			addresses: []string{"hq:1"}, to: "hq:1", took: 0, tries: "10.0.0.1@0s",
		},
		"a name that is known late comes first all the same": {
			nature: nature{names: map[string][]string{"hq/ip4": {"10.0.0.1"}}, answers: map[string]time.Duration{"10.0.0.1": 0, "10.0.0.2": 0},
				slow: map[string]time.Duration{"hq/ip6": 100 * ms, "hq/ip4": 100 * ms}},
			addresses: []string{"hq:1", "10.0.0.2:1"}, to: "hq:1", took: 100 * ms,
		},
		"a name server that is silent costs a moment": {
			nature:    nature{answers: map[string]time.Duration{"10.0.0.2": 0}, slow: map[string]time.Duration{"hq/ip6": time.Hour, "hq/ip4": time.Hour}},
			addresses: []string{"hq:1", "10.0.0.2:1"}, to: "10.0.0.2:1", took: 250 * ms,
		},
		"a name that is not there": {
			nature: nature{answers: map[string]time.Duration{"10.0.0.2": 0}}, addresses: []string{"nobody:1", "10.0.0.2:1"}, to: "10.0.0.2:1", took: 0,
		},
		"no name is there": {addresses: []string{"nobody:1"}, took: 0, says: []string{"there is no name nobody"}},
		"no address":       {addresses: []string{"nobody"}, took: 0, says: []string{"HOST:PORT"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{nature: c.nature}
				got, err := w.dialer().Dial(t.Context(), peering.Destination{Addresses: c.addresses})
				took := time.Since(w.began)
				synctest.Wait() // all that was started and lost ends
				if got.Address != c.to || (err == nil) != (c.to != "") {
					t.Errorf("to %q, %v", got.Address, err)
				}
				if took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if tries := strings.Join(w.tried, " "); c.tries != "" && tries != c.tries {
					t.Errorf("tried %s, want %s", tries, c.tries)
				}
				for _, text := range c.says {
					if err == nil || !strings.Contains(err.Error(), text) || model.KindOf(err) != model.KindUnavailable {
						t.Errorf("%v does not say %q", err, text)
					}
				}
				if got.Conn != nil {
					if err := got.Conn.SetDeadline(time.Now()); err != nil {
						t.Errorf("the connection that won was closed: %v", err)
					}
					_ = got.Conn.Close()
				}
			})
		})
	}
}

// TestLosersAreClosed: of connections that come after the first one none stays open.
func TestLosersAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var open []net.Conn
		d := New(Config{Environment: nothing, Connect: func(context.Context, netip.AddrPort) (net.Conn, error) {
			time.Sleep(time.Second) // it does not listen to anybody
			here, there := net.Pipe()
			mu.Lock()
			defer mu.Unlock()
			open = append(open, there)
			return here, nil
		}})
		got, err := d.Dial(t.Context(), peering.Destination{Addresses: []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		_ = got.Conn.Close()
		mu.Lock()
		defer mu.Unlock()
		if len(open) != 3 {
			t.Fatalf("%d connections", len(open))
		}
		if slices.ContainsFunc(open, func(c net.Conn) bool { _, err := c.Write([]byte("x")); return err == nil }) {
			t.Error("one is open")
		}
	})
}
