package topologies

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// Probes are many light probes in one process. Each is a provider with all that a node has below its settings: an identity, a tree with contexts of ten
// variables, and a hub that dials and keeps a real link with TLS. What is measured or tried is the node that they are linked to.
type Probes struct {
	cfg   ProbesConfig
	all   []*probe
	dials cuttable
	work  sync.WaitGroup
	end   context.CancelFunc
}

// ProbesConfig says what probes there are.
type ProbesConfig struct {
	Dir      string   // where their identities are kept
	Tokens   []string // an invitation to be a provider for each
	Contexts int      // of each
	Logger   hclog.Logger
}

type probe struct {
	name string
	tree *tree.Tree
	hub  *peering.Hub
}

const (
	probeJoins = 4               // at a time
	joinTime   = 2 * time.Minute // for each: who joins has seconds, which are few where the machine is busy
	joinPause  = 200 * time.Millisecond
)

// JoinProbes makes probes, lets them join, and returns when all have. They run until Close.
func JoinProbes(ctx context.Context, cfg ProbesConfig) (*Probes, error) {
	ctx, end := context.WithCancel(ctx)
	p := &Probes{cfg: cfg, all: make([]*probe, len(cfg.Tokens)), end: end}
	p.dials.open = make(map[net.Conn]bool)
	failed := make(chan error, len(p.all))
	room := make(chan struct{}, probeJoins)
	for i := range p.all {
		p.work.Go(func() {
			room <- struct{}{}
			var err error
			p.all[i], err = p.join(ctx, i)
			<-room
			failed <- err
		})
	}
	for range p.all {
		if err := <-failed; err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// Close ends all probes.
func (p *Probes) Close() {
	p.end()
	p.work.Wait()
}

// Up is how many probes are linked, on connections that began after a moment.
func (p *Probes) Up(since time.Time) (up int) {
	for _, one := range p.all {
		if status, there := one.hub.Status("centre"); there && status.State == peering.StateUp && status.Since.Std().After(since) {
			up++
		}
	}
	return up
}

// Cut resets all connections, without a word.
func (p *Probes) Cut() { p.dials.cut() }

// Dialled is how many connections were reached so far.
func (p *Probes) Dialled() uint64 { return p.dials.count.Load() }

// cuttable dials, and resets what it has dialled.
type cuttable struct {
	count atomic.Uint64
	mu    sync.Mutex // guards open
	open  map[net.Conn]bool
}

func (c *cuttable) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err == nil {
		c.count.Add(1)
		c.mu.Lock()
		c.open[conn] = true
		c.mu.Unlock()
	}
	return conn, err
}

func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	clear(c.open)
}

// ProbeName is what a probe calls itself.
func ProbeName(number int) string { return fmt.Sprintf("probe-%04d", number) }

// join makes a probe and joins by its token.
func (p *Probes) join(ctx context.Context, number int) (*probe, error) {
	token, err := pki.ParseToken(p.cfg.Tokens[number])
	if err != nil {
		return nil, err
	}
	made := &probe{name: ProbeName(number)}
	authority, err := pki.Create(filepath.Join(p.cfg.Dir, made.name), made.name, time.Now())
	if err != nil {
		return nil, err
	}
	leaf, err := authority.LinkLeaf(pki.LeafConfig{})
	if err != nil {
		return nil, err
	}
	epoch := model.Epoch{Ordinal: 1, Random: 1}
	made.tree = tree.New(tree.Config{FirstChange: 1})
	if err := FillProbe(made.tree, authority.ID(), epoch, p.cfg.Contexts); err != nil {
		return nil, err
	}
	known := Known{}
	made.hub = peering.NewHub(peering.HubConfig{
		Self: tree.Hop{Node: authority.ID(), Name: made.name}, Epoch: epoch, Chain: model.Chain{{Epoch: epoch, First: 1}}, Tree: made.tree,
		Certificate: leaf.Current, Pins: known, Dial: peering.DialEach(p.dials.dial), Logger: p.cfg.Logger,
	})
	p.work.Go(func() { _ = made.hub.Run(ctx, nil) })
	p.work.Go(func() { _ = leaf.Run(ctx) })
	who, err := made.redeem(ctx, token, authority)
	if err != nil {
		return nil, fmt.Errorf("%s joins: %w", made.name, err)
	}
	known[who.Node] = who.Root
	made.hub.Reconcile([]peering.LinkConfig{{
		Name: "centre", Peer: who.Node, Role: pki.RoleProvider, Dials: true, Addresses: token.Addresses,
		Exports: []peering.Export{{Name: "all", View: follow.NewView(made.tree, model.Root, Everything{})}},
	}})
	return made, nil
}

// redeem shows a token, again where that fails: the same attempt may be made as often as one likes.
func (p *probe) redeem(ctx context.Context, token pki.Token, authority *pki.Authority) (who pki.Peer, err error) {
	secret := token.Secret.Reveal()
	attempt := sha256.Sum256(secret)
	for began := time.Now(); time.Since(began) < joinTime && ctx.Err() == nil; time.Sleep(joinPause) {
		_, who, _, err = p.hub.Join(ctx, token, peering.Proxy{}, &linkv1.RedeemRequest{
			Secret: secret, Name: p.name, Roots: [][]byte{authority.Root().Raw}, Attempt: attempt[:],
		})
		if err == nil {
			return who, nil
		}
	}
	return who, err
}
