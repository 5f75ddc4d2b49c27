package peering

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"time"

	"banyan/doorstep"
	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
)

// HubConfig is what all links of a node have in common.
type HubConfig struct {
	Self        tree.Hop
	Epoch       model.Epoch
	Chain       model.Chain // of this node's change numbers
	Tree        *tree.Tree
	Certificate func() *tls.Certificate
	Pins        pki.Pins
	// Frames paces what other nodes send; one for this hub alone when nil.
	Frames *doorstep.Frames
	Logger hclog.Logger
	// Beat is the time between heartbeats, default 2 s. A link counts as cut after two of them; shorter ones notice earlier and mistake a busy
	// machine for a cut.
	Beat time.Duration
	// Reconnect is the longest pause between two tries to connect, default 10 s. A longer one leaves a link down for as long after its cause has ended.
	Reconnect time.Duration
	// Now is the clock that people and peers are told, time.Now when nil. It may be set at any time: beats and pauses go by one that only ever runs.
	Now func() time.Time
	// Dial opens connections; a plain one when nil, without proxies.
	Dial Dialer
	// Lines are what the links run over; plain ones when nil.
	Lines Lines
	// Software is the program's version. Inspect adds to what the other end of a link is told of this one.
	Software string
	Inspect  func(link string, told *linkv1.InspectResponse)
	// Execute does what a consumer asks for over the link of this name.
	Execute func(ctx context.Context, link string, request *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error)
	// Look says what became of a request, and does nothing.
	Look func(ctx context.Context, link string, request *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error)
	// Explain says what this node and those behind it would decide on what a consumer asks about over the link of this name.
	Explain func(ctx context.Context, link string, request *linkv1.ExplainRequest) (*linkv1.ExplainResponse, error)
	// Redeem answers who joins by an invitation. Joining says whether some invitation is open; nobody is heard otherwise.
	Redeem  func(ctx context.Context, candidate pki.Peer, request *linkv1.RedeemRequest) (*linkv1.RedeemResponse, error)
	Joining func() error
	// Recover answers who has a token for the backup that is kept for another node.
	Recover func(ctx context.Context, candidate pki.Peer, secret []byte) (Recovery, error)
	// Meet judges the life of the other node that is there on a new connection; every life is taken when nil. Restores are this node's own.
	Meet func(ctx context.Context, m Meeting) error
	// Permitted is told what a consumer lets this node enrol, in place of what it said before; nil for nobody.
	Permitted func(p Permitted)
	// Twins is told of two nodes with one ID that take turns at a link, and where they were last; nil for nobody.
	Twins    func(link, address, other string)
	Restores []RestoreID
	// Succeed pins the root of a peer in place of the one that it succeeds, at all links with that peer, and returns when that is durable.
	Succeed func(ctx context.Context, who pki.Peer) error
	// Shelf keeps backups of providers, Backups has those of this node; nil for none.
	Shelf   Shelf
	Backups BackupSource
	// Wished is told when what Wishes answers has changed. It must not block.
	Wished func()
	// Changed is told when the state of a link changes.
	Changed func(link string, status Status)
}

// Hub runs the links of a node: it accepts, dials, and watches them.
type Hub struct {
	linkv1.UnimplementedLinkServiceServer
	linkv1.UnimplementedJoinServiceServer
	cfg   HubConfig
	made  time.Time
	speak uint32 // version of the protocol; lower in tests
	log   hclog.Logger
	inlet *inlet

	traffic traffic
	wishes  wishes
	meters  meters
	notes   pki.Notes
	server  *grpc.Server
	stirred chan struct{} // capacity 1: a link is to be looked at

	// reconciling lets one Reconcile run at a time: a mirror must not be in use by an old link and a new one.
	reconciling sync.Mutex

	// mu guards links and refusals.
	mu       sync.Mutex
	links    map[string]*running
	refusals map[string]pki.Refusal // of links that are not there any more
	ctx      context.Context        //nolint:containedctx // the links' own: it ends with Run, and Reconcile is called by others
}

type running struct {
	link   *link
	cancel context.CancelFunc
	done   chan struct{}
}

// Services are what is served over links, the whole of it.
var Services = []*grpc.ServiceDesc{&linkv1.LinkService_ServiceDesc, &linkv1.JoinService_ServiceDesc}

// NewHub makes a hub. Run must be called before links move.
func NewHub(cfg HubConfig) *Hub {
	if cfg.Beat == 0 {
		cfg.Beat = 2 * time.Second
	}
	if cfg.Dial == nil {
		cfg.Dial = DialEach(func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		})
	}
	if cfg.Reconnect == 0 {
		cfg.Reconnect = 10 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Frames == nil {
		cfg.Frames = doorstep.NewFrames()
	}
	if cfg.Lines == nil {
		cfg.Lines = plainLines{}
	}
	h := &Hub{
		cfg: cfg, speak: protocolVersion, made: time.Now(), log: cfg.Logger.Named("peering"), inlet: newInlet(), server: newServer(), stirred: make(chan struct{}, 1),
		links: make(map[string]*running), refusals: make(map[string]pki.Refusal),
	}
	for _, service := range Services {
		h.server.RegisterService(measured(*service), h)
	}
	return h
}

// now is for measuring how long something takes: it runs on evenly when the machine's clock is set.
func (h *Hub) now() model.Time { return model.TimeOf(h.made.Add(time.Since(h.made))) }

// clock is what the node's clock shows.
func (h *Hub) clock() model.Time { return model.TimeOf(h.cfg.Now()) }

func (h *Hub) changed(name string, status Status) {
	if h.cfg.Changed != nil {
		h.cfg.Changed(name, status)
	}
}

// Run serves listener, which may be nil, and keeps the links that Reconcile names, until ctx ends; then all connections are closed.
func (h *Hub) Run(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.mu.Lock()
	h.ctx = ctx
	for _, r := range h.links {
		h.start(r)
	}
	h.mu.Unlock()
	var work sync.WaitGroup
	work.Go(func() { _ = h.server.Serve(h.inlet) })
	work.Go(func() { h.watch(ctx) })
	if listener != nil {
		work.Go(func() { h.accept(ctx, listener) })
		context.AfterFunc(ctx, func() { _ = listener.Close() })
	}
	<-ctx.Done()
	h.Reconcile(nil)
	h.server.Stop()
	_ = h.inlet.Close()
	work.Wait()
	return nil
}

func (h *Hub) all() []*running {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*running, 0, len(h.links))
	for _, r := range h.links {
		list = append(list, r)
	}
	return list
}

// Reconcile makes the running links those that are wanted: it starts, stops and starts anew by difference. A link that is taken away tells its
// peer so.
func (h *Hub) Reconcile(wanted []LinkConfig) {
	h.reconciling.Lock()
	defer h.reconciling.Unlock()
	byName := make(map[string]LinkConfig, len(wanted))
	for _, cfg := range wanted {
		byName[cfg.Name] = cfg
	}
	var work sync.WaitGroup
	h.mu.Lock()
	for name, r := range h.links {
		cfg, keep := byName[name]
		if keep && cfg.sameLink(&r.link.cfg) {
			work.Go(func() { r.link.drop(&cfg) })
			continue
		}
		h.refusals[name] = pki.Revoked
		if keep {
			h.refusals[name] = pki.RefusedOtherwise // it comes back as it is agreed now
			if cfg.Refused {
				h.refusals[name] = cfg.Refusal
			}
		}
		delete(h.links, name)
		work.Go(r.stop)
	}
	h.mu.Unlock()
	work.Wait()
	h.cfg.Lines.Forget(func(link string) bool {
		return slices.ContainsFunc(wanted, func(c LinkConfig) bool { return c.Name == link })
	})
	h.mu.Lock()
	var kept []*running
	for name, cfg := range byName {
		if r := h.links[name]; r != nil {
			kept = append(kept, r)
			continue
		}
		r := &running{link: newLink(h, cfg)}
		h.links[name] = r
		if h.ctx != nil && h.ctx.Err() == nil {
			h.start(r)
		}
	}
	h.mu.Unlock()
	for _, r := range kept {
		cfg := byName[r.link.cfg.Name]
		r.link.carry(&cfg)
	}
}

func (h *Hub) start(r *running) {
	ctx, cancel := context.WithCancel(h.ctx)
	r.cancel, r.done = cancel, make(chan struct{})
	go func() {
		defer close(r.done)
		r.link.run(ctx)
	}()
}

func (r *running) stop() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	<-r.done
}

// reason is why a link of that name was ended.
func (h *Hub) reason(name string) *linkv1.Farewell {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return &linkv1.Farewell{Link: true, Error: proto.FromError(model.Errorf(model.KindUnavailable, "%s stops", h.cfg.Self.Name))}
	}
	return &linkv1.Farewell{Link: true, Error: proto.FromError(refuse(h.refusals[name])), Refusal: h.refusals[name].String()}
}

// Status is how a link is, and whether there is one of that name.
func (h *Hub) Status(name string) (Status, bool) {
	h.mu.Lock()
	r := h.links[name]
	h.mu.Unlock()
	if r == nil {
		return Status{}, false
	}
	return r.link.statusAsOf(h.now()), true
}

// Ask hands a request for what an export shows to the provider at the other end of a link, and returns when its fate is known.
func (h *Hub) Ask(ctx context.Context, name string, request *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
	h.mu.Lock()
	r := h.links[name]
	h.mu.Unlock()
	if r == nil {
		return nil, notSent{model.Errorf(model.KindUnavailable, "link %s does not run", name)}
	}
	return r.link.execute(ctx, request)
}

// AskWhy asks the provider at the other end of a link what it would decide.
func (h *Hub) AskWhy(ctx context.Context, name string, request *linkv1.ExplainRequest) (*linkv1.ExplainResponse, error) {
	h.mu.Lock()
	r := h.links[name]
	h.mu.Unlock()
	if r == nil {
		return nil, model.Errorf(model.KindNotFound, "there is no link called %s", name)
	}
	client, err := r.link.clientFor(request.GetExport())
	if err != nil {
		return nil, err
	}
	response, err := client.Explain(ctx, request)
	return response, proto.FromStatus(err)
}
