package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"banyan/proto/apiv1"
	"banyan/server"
	"banyan/topologies"

	"connectrpc.com/connect"
)

// world is the running network with what happens to it.
type world struct {
	cfg     config
	plan    *plan
	dir     string
	network *topologies.Network
	members []*member
	links   []*link
	views   []view
	random  *rand.Rand // of the one goroutine that plans
	books   books
	began   time.Time
	gauges  gauges
	events  *os.File // what happened, a line each
}

// member is a node.
type member struct {
	index int
	name  string
	stays bool // its process lives as long as the soak, so that it shows slopes
	world *world

	mu      sync.Mutex // guards what is below
	client  *topologies.Client
	life    int
	busy    bool      // something is done to it
	changed time.Time // when that ended
	users   map[string]bool
	heads   []string // of its audit log, as they were
}

// link is an edge as it is now.
type link struct {
	edge
	index              int
	inviter, joiner    *member
	provider, consumer *member
	line               *relay

	mu      sync.Mutex // guards what is below
	paths   string     // what the provider shows
	right   string
	busy    bool
	changed time.Time
}

const everything = "/devices/**,/from/**"

// build makes the network and waits until it stands.
func build(ctx context.Context, cfg config) (w *world, err error) {
	w = &world{cfg: cfg, random: rand.New(rand.NewPCG(cfg.seed, 1)), dir: cfg.dir}
	w.plan = newPlan(w.random)
	w.views = w.plan.views()
	w.books.init(w)
	if w.dir == "" {
		if w.dir, err = os.MkdirTemp("", "banyan-soak-"); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.end(true))
			w = nil
		}
	}()
	if w.events, err = os.Create(filepath.Join(w.dir, "events")); err != nil {
		return w, err
	}
	w.say("seed %d: %s", cfg.seed, w.plan)
	file := filepath.Join(w.dir, "topology.yaml")
	if err := os.WriteFile(file, []byte(w.plan.topology()), 0o600); err != nil {
		return w, err
	}
	command := func(config string) []string {
		node := slices.Index(w.plan.names, filepath.Base(filepath.Dir(config)))
		return append(append([]string{"env", leafVariable + "=" + cfg.leaf.String()}, cfg.environment(node)...), cfg.program, "serve", config)
	}
	w.network, err = topologies.Up(ctx, topologies.Config{Dir: filepath.Join(w.dir, "network"), Command: command, LockWithin: time.Minute}, file)
	if err != nil {
		return w, err
	}
	for i, name := range w.plan.names {
		// The top and the last one, which is a leaf, live on; so does every third.
		w.members = append(w.members, &member{index: i, name: name, world: w, stays: i%3 == 0 || i == len(w.plan.names)-1, users: map[string]bool{}})
		if err := w.members[i].create(ctx, counterDevice, "counter", map[string]string{"poll_interval": "1h"}); err != nil {
			return w, err
		}
	}
	for i, e := range w.plan.edges {
		if err := w.makeLink(ctx, i, e); err != nil {
			return w, err
		}
	}
	w.began = time.Now()
	return w, nil
}

func (w *world) makeLink(ctx context.Context, index int, e edge) (err error) {
	l := &link{edge: e, index: index, provider: w.members[e.provider], consumer: w.members[e.consumer], paths: everything, right: "configure", changed: time.Now()}
	l.inviter, l.joiner = l.consumer, l.provider
	if e.consumerDials {
		l.inviter, l.joiner = l.provider, l.consumer
	}
	l.line, err = newRelay(func() string {
		at, err := w.network.Listening(l.inviter.name)
		if err != nil {
			return "127.0.0.1:1" // nothing listens there
		}
		return at.Links
	})
	if err != nil {
		return err
	}
	w.links = append(w.links, l)
	return l.join(ctx)
}

// join links the two nodes as people do.
func (l *link) join(ctx context.Context) error {
	mount := map[string]string{"mount": "/from/" + l.provider.name}
	shown := map[string]string{"paths": l.paths, "right": l.right}
	invite := map[string]string{"name": l.joiner.name, "role": "consumer", "addresses": l.line.address()}
	redeem := map[string]string{"name": l.inviter.name}
	ofConsumer, ofProvider := invite, redeem
	if l.consumerDials {
		invite["role"] = "provider"
		ofConsumer, ofProvider = redeem, invite
	}
	for name, text := range mount {
		ofConsumer[name] = text
	}
	for name, text := range shown {
		ofProvider[name] = text
	}
	invitation, err := l.inviter.call(ctx, "/links", "invite", invite)
	if err != nil {
		return fmt.Errorf("inviting %s at %s: %w", l.joiner.name, l.inviter.name, err)
	}
	redeem["token"] = invitation["token"]
	if _, err := l.joiner.call(ctx, "/links", "join", redeem); err != nil {
		return fmt.Errorf("joining %s at %s: %w", l.inviter.name, l.joiner.name, err)
	}
	return nil
}

func (l *link) String() string { return l.provider.name + "->" + l.consumer.name }

// ends are both ends, each with the path of its link.
func (l *link) ends() map[*member]string {
	return map[*member]string{l.provider: "/links/" + l.consumer.name, l.consumer: "/links/" + l.provider.name}
}

// end stops the network and removes it, unless it is to be looked at.
func (w *world) end(keep bool) error {
	for _, m := range w.members {
		m.forget()
	}
	var err error
	if w.network != nil {
		err = w.network.Down(context.Background(), keep)
		w.network.Close()
	}
	for _, l := range w.links {
		l.line.close()
	}
	if w.events != nil {
		err = errors.Join(err, w.events.Close())
	}
	if keep {
		w.say("the network lies in %s", w.dir)
		return err
	}
	if w.cfg.dir == "" {
		err = errors.Join(err, os.RemoveAll(w.dir))
	}
	return err
}

func (w *world) say(format string, args ...any) {
	elapsed := time.Duration(0)
	if !w.began.IsZero() {
		elapsed = time.Since(w.began).Round(time.Second)
	}
	w.books.print(fmt.Sprintf("%8s  ", elapsed) + fmt.Sprintf(format, args...))
}

// log writes a line into the file events, for whoever looks into what went wrong.
func (w *world) log(format string, args ...any) {
	w.books.mu.Lock()
	defer w.books.mu.Unlock()
	fmt.Fprintf(w.events, "%s %8s  %s\n", time.Now().UTC().Format("15:04:05.000"), time.Since(w.began).Round(100*time.Millisecond), fmt.Sprintf(format, args...))
}

// wait pauses, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// patience bounds one request to a node.
const patience = 10 * time.Second

// at is a client of the node's administrator.
func (m *member) at(ctx context.Context) (*topologies.Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client != nil {
		return m.client, nil
	}
	c, err := m.world.network.Client(ctx, m.name, server.AdminName)
	if err == nil {
		m.client = c
	}
	return c, err
}

// forget drops the client: sessions end with the process.
func (m *member) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client != nil {
		m.client.Close()
		m.client = nil
	}
}

// ask makes one request. A session that ended with its process is opened anew, once.
func ask[Q, S any](ctx context.Context, m *member, method func(*topologies.Client) func(context.Context, *Q) (*S, error), q *Q) (*S, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for try := 0; ; try++ {
		c, err := m.at(ctx)
		if err != nil {
			return nil, err
		}
		s, err := method(c)(ctx, q)
		if connect.CodeOf(err) != connect.CodeUnauthenticated || try > 0 {
			return s, err
		}
		m.forget()
	}
}

func (m *member) get(ctx context.Context, address string) (*apiv1.Reading, error) {
	return ask(ctx, m, func(c *topologies.Client) func(context.Context, *apiv1.GetRequest) (*apiv1.Reading, error) {
		return c.Tree.Get
	}, &apiv1.GetRequest{Address: address})
}

// says is the text of a variable or setting, or what kept it from being read.
func (m *member) says(ctx context.Context, address string) string {
	r, err := m.get(ctx, address)
	if err != nil {
		return "error: " + err.Error()
	}
	return r.GetValue().GetStringValue()
}

func (m *member) set(ctx context.Context, address, text string) error {
	_, err := ask(ctx, m, func(c *topologies.Client) func(context.Context, *apiv1.SetRequest) (*apiv1.SetResponse, error) {
		return c.Tree.Set
	},
		&apiv1.SetRequest{Address: address, Text: text})
	return err
}

func (m *member) create(ctx context.Context, path, kind string, texts map[string]string) error {
	_, err := ask(ctx, m, func(c *topologies.Client) func(context.Context, *apiv1.CreateRequest) (*apiv1.CreateResponse, error) {
		return c.Tree.Create
	},
		&apiv1.CreateRequest{Path: path, Kind: kind, Texts: texts})
	return err
}

func (m *member) remove(ctx context.Context, path string) error {
	_, err := ask(ctx, m, func(c *topologies.Client) func(context.Context, *apiv1.RemoveRequest) (*apiv1.RemoveResponse, error) {
		return c.Tree.Remove
	},
		&apiv1.RemoveRequest{Path: path, Below: true})
	if connect.CodeOf(err) == connect.CodeNotFound {
		return nil
	}
	return err
}

func (m *member) request(ctx context.Context, q *apiv1.CallRequest) (*apiv1.CallResponse, error) {
	return ask(ctx, m, func(c *topologies.Client) func(context.Context, *apiv1.CallRequest) (*apiv1.CallResponse, error) {
		return c.Tree.Call
	}, q)
}

// call calls a function, with its results as texts.
func (m *member) call(ctx context.Context, path, function string, texts map[string]string) (map[string]string, error) {
	answer, err := m.request(ctx, &apiv1.CallRequest{Path: path, Function: function, Texts: texts})
	results := map[string]string{}
	for _, r := range answer.GetResults() {
		results[r.GetName()] = strings.Trim(r.GetValue().String(), `"`)
		if text := r.GetValue().GetStringValue(); text != "" {
			results[r.GetName()] = text
		}
	}
	return results, err
}
