package peering

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/model"
	"banyan/tree"
)

// passage is what a proxy does with the bytes of one direction.
type passage int

const (
	pass   passage = iota
	drop           // they are taken and lost
	freeze         // they are not taken: the sender's buffers fill up
)

// proxy stands between two nodes. Connections over which something was lost are reset when it heals, as no byte stream survives that.
type proxy struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu     sync.Mutex
	moved  *sync.Cond
	modes  [2]passage // from who dialled, and towards it
	pairs  []*proxied
	count  int         // of connections so far
	limits map[int]int // bytes towards the one who dialled after which the connection of that number breaks
	over   bool
}

type proxied struct {
	conns  [2]net.Conn
	lost   bool
	number int
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, limits: make(map[int]int)}
	p.moved = sync.NewCond(&p.mu)
	p.work.Go(p.accept)
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.over = true
	p.moved.Broadcast()
	p.mu.Unlock()
	p.reset(func(*proxied) bool { return true })
	p.work.Wait()
}

func (p *proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = from.Close()
			continue
		}
		p.mu.Lock()
		p.count++
		pair := &proxied{conns: [2]net.Conn{from, to}, number: p.count}
		p.pairs = append(p.pairs, pair)
		over := p.over
		p.mu.Unlock()
		if over {
			_, _ = from.Close(), to.Close()
		}
		for direction := range 2 {
			p.work.Go(func() { p.carry(pair, direction) })
		}
	}
}

// carry takes bytes of one direction until the connection ends.
func (p *proxy) carry(pair *proxied, direction int) {
	defer func() { _, _ = pair.conns[0].Close(), pair.conns[1].Close() }()
	from, to := pair.conns[direction], pair.conns[1-direction]
	buffer := make([]byte, 16<<10)
	carried := 0
	for p.ready(direction) {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		mode, limit := p.modes[direction], p.limits[pair.number]
		pair.lost = pair.lost || mode != pass
		p.mu.Unlock()
		if carried += n; direction == 1 && limit > 0 && carried > limit {
			return
		}
		if mode != pass {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil && !errors.Is(err, io.EOF) {
			return
		}
	}
}

// ready waits while the direction is frozen.
func (p *proxy) ready(direction int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.modes[direction] == freeze && !p.over {
		p.moved.Wait()
	}
	return !p.over
}

func (p *proxy) set(forth, back passage) {
	p.mu.Lock()
	p.modes = [2]passage{forth, back}
	p.moved.Broadcast()
	p.mu.Unlock()
	if forth == pass && back == pass {
		p.reset(func(pair *proxied) bool { return pair.lost })
	}
}

func (p *proxy) reset(which func(*proxied) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pair := range p.pairs {
		if which(pair) {
			if tcp, ok := pair.conns[0].(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_, _ = pair.conns[0].Close(), pair.conns[1].Close()
		}
	}
}

// cuts are the ways in which a connection fails. The provider dials.
var cuts = map[string]func(*proxy){
	"both ways dropped":             func(p *proxy) { p.set(drop, drop) },
	"provider to consumer dropped":  func(p *proxy) { p.set(drop, pass) },
	"consumer to provider dropped":  func(p *proxy) { p.set(pass, drop) },
	"both ways frozen":              func(p *proxy) { p.set(freeze, freeze) },
	"provider to consumer frozen":   func(p *proxy) { p.set(freeze, pass) },
	"consumer to provider frozen":   func(p *proxy) { p.set(pass, freeze) },
	"reset, and then nothing comes": func(p *proxy) { p.set(drop, drop); p.reset(func(*proxied) bool { return true }) },
}

// Within two heartbeats and a margin both ends show a cut, the values being stale since the last heartbeat; it heals by itself.
func TestCutsAreNoticedAtBothEndsAndHeal(t *testing.T) {
	const margin = 1500 * time.Millisecond // for two busy cores
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known := pins{}
			hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
			p := newProxy(t, hq.address)
			berlin.put("/a")
			berlin.publish("/a", 1, "one", 1)
			hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, false)})
			berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, true, p.address())})
			up := func(n *linked, link string) func() bool {
				return func() bool { s, _ := n.hub.Status(link); return s.State == StateUp }
			}
			until(t, "the link is up at hq", up(hq, "down"))
			until(t, "the link is up at berlin", up(berlin, "up"))
			until(t, "the value is there", hq.reads("/m/a:load", "1 good"))

			began := time.Now()
			cut(p)
			until(t, "the value is stale", hq.reads("/m/a:load", "1 uncertain/stale"))
			until(t, "berlin shows it", func() bool { return !up(berlin, "up")() })
			if took := time.Since(began); took > 2*300*time.Millisecond+margin {
				t.Errorf("noticed after %v", took)
			}
			r, _ := hq.tree.Read(model.Address{Path: model.MustPath("/m/a"), Name: "load"})
			if off := r.Since.Std().Sub(began); off > 700*time.Millisecond || off < -700*time.Millisecond {
				t.Errorf("stale since %v after the cut, want the last heartbeat", off)
			}
			berlin.publish("/a", 2, "two", 2)
			p.set(pass, pass)
			until(t, "the new value is there", hq.reads("/m/a:load", "2 good"))
			until(t, "the link is up again", up(hq, "down"))
		})
	}
}

// What a provider says of a link that was cut is for people: it never has the words of gRPC.
func TestAProviderTellsACutPlainly(t *testing.T) {
	for _, name := range []string{"both ways frozen", "reset, and then nothing comes"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known := pins{}
			hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
			p := newProxy(t, hq.address)
			hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, false)})
			berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, true, p.address())})
			status := func() Status { s, _ := berlin.hub.Status("up"); return s }
			until(t, "the link is up", func() bool { return status().State == StateUp })
			cuts[name](p)
			until(t, "berlin shows it", func() bool { return status().State != StateUp })
			if s := status(); strings.Contains(s.Problem+s.Detail, "rpc error") {
				t.Errorf("berlin says %q, and the problem is %q", s.Detail, s.Problem)
			}
		})
	}
}

// A bulk connection that breaks in the middle of a listing costs nothing of it.
func TestListingSurvivesTheBulkConnection(t *testing.T) {
	for _, providerDials := range []bool{true, false} {
		t.Run(fmt.Sprintf("provider dials %v", providerDials), func(t *testing.T) {
			t.Parallel()
			known := pins{}
			hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
			target := hq
			if !providerDials {
				target = berlin
			}
			p := newProxy(t, target.address)
			const count = 6000
			for i := range count {
				berlin.put(fmt.Sprintf("/d%04d", i))
			}
			berlin.publish("/d0007", 7, "seven", 1)
			// The second connection of the first session is the bulk one. Its bytes are counted on the way to the one who dialled.
			p.limits[2] = 60_000
			if providerDials {
				p.limits[2] = 2000 // acknowledgements and window updates
			}
			hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, !providerDials, p.address())})
			berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, providerDials, p.address())})
			until(t, "everything is listed", func() bool { contexts, _ := hq.tree.Count(); return contexts == count })
			until(t, "the value is there and good", hq.reads("/m/d0007:load", "7 good"))
		})
	}
}

// Either end goes away in the middle of a listing and comes back.
func TestListingSurvivesItsEnds(t *testing.T) {
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	const count = 20_000
	for i := range count {
		berlin.put(fmt.Sprintf("/d%05d", i))
	}
	down, up := consume(hq, berlin, false), provide(berlin, hq, true, hq.address)
	some := func() bool { contexts, _ := hq.tree.Count(); return contexts > 100 }
	hq.hub.Reconcile([]LinkConfig{down})
	berlin.hub.Reconcile([]LinkConfig{up})
	until(t, "the listing has begun", some)
	hq.hub.Reconcile(nil)
	hq.hub.Reconcile([]LinkConfig{down})
	berlin.hub.Reconcile(nil)
	berlin.hub.Reconcile([]LinkConfig{up})
	berlin.tree.Apply(nil, []tree.Removal{{Path: model.MustPath("/d00001")}})
	until(t, "everything is listed", func() bool { contexts, _ := hq.tree.Count(); return contexts == count-1 })
	until(t, "it is good", hq.reads("/m/d19999:interval", "1s good"))
}

// A consumer that does not read any more does not hold up another one.
func TestFrozenConsumerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	known := pins{}
	hq, other, berlin := newLinked(t, "hq", known), newLinked(t, "other", known), newLinked(t, "berlin", known)
	p := newProxy(t, berlin.address)
	berlin.put("/a")
	berlin.publish("/a", 1, "one", 1)
	hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, true, p.address())})
	other.hub.Reconcile([]LinkConfig{consume(other, berlin, true, berlin.address)})
	second := provide(berlin, other, false)
	second.Name = "second"
	berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, false), second})
	until(t, "both have the value", func() bool { return hq.reads("/m/a:load", "1 good")() && other.reads("/m/a:load", "1 good")() })
	p.set(pass, freeze)
	for i := range 50 {
		value := float64(i + 2)
		berlin.publish("/a", value, "more", model.Time(i+2))
		began := time.Now()
		until(t, "the other one has it", other.reads("/m/a:load", fmt.Sprint(value, " good")))
		if took := time.Since(began); took > time.Second {
			t.Fatalf("a value took %v", took)
		}
	}
	p.set(pass, pass)
	until(t, "the frozen one has caught up", hq.reads("/m/a:load", "51 good"))
}

// A connection that the peer opens beside the one in use takes over: the peer has given up the old one, or is about to.
func TestSecondConnectionTakesOver(t *testing.T) {
	t.Parallel()
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	berlin.put("/a")
	berlin.publish("/a", 1, "one", 1)
	hq.hub.Reconcile([]LinkConfig{consume(hq, berlin, false)})
	berlin.hub.Reconcile([]LinkConfig{provide(berlin, hq, true, hq.address)})
	until(t, "the value is there", hq.reads("/m/a:load", "1 good"))
	l := berlin.hub.all()[0].link
	conn, err := l.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.adopt(conn)
	until(t, "the second connection is in use", func() bool { return l.uses(conn) })
	berlin.publish("/a", 2, "two", 2)
	until(t, "values come over it", hq.reads("/m/a:load", "2 good"))
}

// A mirror and a view are in use by one link at a time, however many reconcile.
func TestReconcileAtOnce(t *testing.T) {
	t.Parallel()
	known := pins{}
	hq, berlin := newLinked(t, "hq", known), newLinked(t, "berlin", known)
	berlin.put("/a")
	down, up := consume(hq, berlin, false), provide(berlin, hq, true, hq.address)
	hq.hub.Reconcile([]LinkConfig{down})
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			down, up := down, up
			if i%2 == 0 {
				down.Addresses = []string{"127.0.0.1:1"} // another config: the link starts anew
			}
			hq.hub.Reconcile([]LinkConfig{down})
			berlin.hub.Reconcile([]LinkConfig{up})
		})
	}
	work.Wait()
	until(t, "the listing is there", hq.reads("/m/a:interval", "1s good"))
}
