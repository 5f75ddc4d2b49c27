package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// A light probe is a provider with all that a node has below its settings: an identity, a tree with contexts of ten variables, and a hub that dials
// and keeps a real link with TLS. Many of them live in one process: what is measured is the node that they are linked to.
type lightProbe struct {
	name string
	tree *tree.Tree
	hub  *peering.Hub
}

const (
	probeVariables = 10
	probeJoins     = 4 // at a time
	joinTries      = 5
)

// probesSay is a line of the process with probes: Took is how long it was until what was asked for was so, and Up how many links are up.
type probesSay struct {
	Up   int
	Took time.Duration
}

// runProbes is so many light probes, with so many contexts each. It reads tokens, one for each probe, joins, and then does what each line says: "up" waits
// until all are linked, "cut" resets all connections and waits until all are linked again.
func runProbes(o *options) error {
	stopProfile, err := profileTo(o.profile, "probes")
	if err != nil {
		return err
	}
	defer stopProfile()
	orders := bufio.NewScanner(os.Stdin)
	orders.Buffer(nil, 64<<20)
	if !orders.Scan() {
		return errors.New("there are no tokens")
	}
	var tokens []string
	if err := json.Unmarshal(orders.Bytes(), &tokens); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	dials := &cuttable{open: make(map[net.Conn]bool)}
	probes := make([]*lightProbe, len(tokens))
	failed := make(chan error, len(tokens))
	room := make(chan struct{}, probeJoins)
	for i := range probes {
		work.Go(func() {
			room <- struct{}{}
			var err error
			probes[i], err = joinProbe(ctx, o, i, tokens[i], dials, &work)
			<-room
			failed <- err
		})
	}
	for range probes {
		if err := <-failed; err != nil {
			return err
		}
	}
	say := json.NewEncoder(os.Stdout)
	if err := say.Encode(probesSay{}); err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for orders.Scan() {
			lines <- orders.Text()
		}
	}()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	for {
		select {
		case line, more := <-lines:
			if !more {
				return nil // whoever measures has gone
			}
			if err := obey(line, probes, dials, say); err != nil {
				return err
			}
		case <-end:
			return nil
		}
	}
}

// obey does what a line says.
func obey(line string, probes []*lightProbe, dials *cuttable, say *json.Encoder) error {
	began, since := time.Now(), time.Time{}
	if line == "cut" {
		since = began
		dials.cut()
	}
	up, err := allProbesUp(probes, since)
	if err != nil {
		return err
	}
	return say.Encode(probesSay{up, time.Since(began)})
}

// probesTime is how long all probes may take to be linked.
const probesTime = 150 * time.Second

// allProbesUp waits until all probes are linked, on connections that began after a moment.
func allProbesUp(probes []*lightProbe, since time.Time) (up int, err error) {
	for began := time.Now(); time.Since(began) < probesTime; time.Sleep(5 * time.Millisecond) {
		up = 0
		for _, p := range probes {
			if status, there := p.hub.Status("centre"); there && status.State == peering.StateUp && status.Since.Std().After(since) {
				up++
			}
		}
		if up == len(probes) {
			return up, nil
		}
	}
	return up, fmt.Errorf("after %s %d of %d probes are linked", probesTime, up, len(probes))
}

// cuttable dials, and resets what it has dialled.
type cuttable struct {
	mu   sync.Mutex // guards open
	open map[net.Conn]bool
}

func (c *cuttable) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err == nil {
		c.mu.Lock()
		c.open[conn] = true
		c.mu.Unlock()
	}
	return conn, err
}

// cut resets all connections, without a word.
func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	clear(c.open)
}

// joinProbe makes a probe, joins by a token, and lets it run until ctx ends.
func joinProbe(ctx context.Context, o *options, number int, text string, dials *cuttable, work *sync.WaitGroup) (*lightProbe, error) {
	token, err := pki.ParseToken(text)
	if err != nil {
		return nil, err
	}
	p := &lightProbe{name: fmt.Sprintf("probe-%04d", number)}
	authority, err := pki.Create(filepath.Join(o.dir, p.name), p.name, time.Now())
	if err != nil {
		return nil, err
	}
	leaf, err := authority.LinkLeaf(pki.LeafConfig{})
	if err != nil {
		return nil, err
	}
	epoch := model.Epoch{Ordinal: 1, Random: 1}
	p.tree = tree.New(tree.Config{FirstChange: 1})
	if err := probeContent(p.tree, authority.ID(), epoch, o.contexts); err != nil {
		return nil, err
	}
	known := directory{}
	p.hub = peering.NewHub(peering.HubConfig{
		Self: tree.Hop{Node: authority.ID(), Name: p.name}, Epoch: epoch, Chain: model.Chain{{Epoch: epoch, First: 1}}, Tree: p.tree,
		Certificate: leaf.Current, Pins: known, Dial: peering.DialEach(dials.dial),
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr}),
	})
	work.Go(func() { _ = p.hub.Run(ctx, nil) })
	work.Go(func() { _ = leaf.Run(ctx) })
	secret := token.Secret.Reveal()
	attempt := sha256.Sum256(secret)
	var who pki.Peer
	for range joinTries { // who joins has seconds, which are few where the machine is busy; the same attempt may be made again
		_, who, _, err = p.hub.Join(ctx, token, peering.Proxy{}, &linkv1.RedeemRequest{
			Secret: secret, Name: p.name, Roots: [][]byte{authority.Root().Raw}, Attempt: attempt[:],
		})
		if err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s joins: %w", p.name, err)
	}
	known[who.Node] = who.Root
	p.hub.Reconcile([]peering.LinkConfig{{
		Name: "centre", Peer: who.Node, Role: pki.RoleProvider, Dials: true, Addresses: token.Addresses,
		Exports: []peering.Export{{Name: "all", View: follow.NewView(p.tree, model.Root, everything{})}},
	}})
	return p, nil
}

// probeContent fills a tree with contexts of ten variables, in folders of a thousand, and publishes each variable once.
func probeContent(t *tree.Tree, node model.NodeID, epoch model.Epoch, contexts int) error {
	device := model.Schema{Kind: "device"}
	for i := range probeVariables {
		device.Variables = append(device.Variables, model.Variable{Name: fmt.Sprintf("v%d", i), Type: model.TypeFloat64})
	}
	schema, err := proto.NewSchema(device)
	if err != nil {
		return err
	}
	const chunk = 1000
	var puts []tree.Put
	var batch tree.Batch
	now := model.TimeOf(time.Now())
	for n := range contexts {
		puts = append(puts, tree.Put{
			ID:   model.ContextID{Node: node, Epoch: epoch, Number: uint64(n + 1)},
			Path: model.MustPath(probeContext(n)), Schema: schema, Version: model.Version{Epoch: epoch, Number: 1},
		})
		if len(puts) < chunk && n < contexts-1 {
			continue
		}
		t.Apply(puts, nil)
		batch.Reset()
		for i := range puts {
			for v := range puts[i].Slots.Count {
				batch.Slots = append(batch.Slots, puts[i].Slots.First+tree.Slot(v))
				batch.Bits = append(batch.Bits, math.Float64bits(float64(n+1-len(puts)+i)))
				batch.Source = append(batch.Source, now)
			}
		}
		t.Publish(&batch)
		puts = puts[:0]
	}
	return nil
}

func probeContext(number int) string {
	return fmt.Sprintf("/sites/s%04d/device-%06d", number/1000, number)
}
