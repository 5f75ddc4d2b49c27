package hostile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/proto/linkv1"

	"google.golang.org/grpc"
)

// Provider is what a hostile provider answers. What is not said here it answers as an honest one would that has a small tree.
type Provider struct {
	linkv1.UnimplementedLinkServiceServer
	peer *Peer
	bomb *Bomb
}

// serve lets the victim call a provider over a connection that this one dials, until ctx ends or the victim closes it.
func (p *Peer) serve(ctx context.Context, bomb *Bomb, second bool) error {
	conn, err := p.heard(ctx, pki.ProtocolProvider)
	if err != nil {
		return err
	}
	in := newInlet(conn)
	if bomb.Second && !second { // the bulk connection, as soon as it is asked for
		done := make(chan struct{})
		defer func() { <-done }()
		asked, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			defer close(done)
			select {
			case <-p.wants:
				_ = p.serve(asked, bomb, true)
			case <-asked.Done():
			}
		}()
	}
	options := []grpc.ServerOption{grpc.ForceServerCodecV2(proto.Codec{}), grpc.MaxSendMsgSize(256 << 20), grpc.MaxRecvMsgSize(8 << 20)}
	server := grpc.NewServer(options...)
	linkv1.RegisterLinkServiceServer(server, &Provider{peer: p, bomb: bomb})
	defer server.Stop()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := server.Serve(in); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serving the victim: %w", err)
	}
	return nil
}

// Following is the victim's stream.
type Following struct {
	*Peer
	Hello  *linkv1.Hello
	stream linkv1.LinkService_FollowServer
	mu     sync.Mutex // guards sending
}

// Send says something.
func (f *Following) Send(frame *linkv1.ProviderFrame) error {
	f.note(frame)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stream.SendMsg(frame)
}

// Raw sends bytes that may be no frame.
func (f *Following) Raw(raw []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stream.SendMsg(&proto.RawFrame{Bytes: raw})
}

// Ended reports whether the victim has ended the stream.
func (f *Following) Ended() bool { return f.stream.Context().Err() != nil }

// echo reads what the victim says, and answers its heartbeats, so that the link counts as up.
func (f *Following) echo() {
	for {
		frame, err := f.stream.Recv()
		if err != nil {
			return
		}
		beat := frame.GetBeat()
		if beat.GetNumber() == 0 {
			continue
		}
		_ = f.Send(beatFrame(&linkv1.Beat{Echo: beat.GetNumber(), Clock: time.Now().UnixNano()}))
	}
}

// Follow throws the bomb, or an honest tree and nothing else.
func (v *Provider) Follow(stream linkv1.LinkService_FollowServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	f := &Following{Peer: v.peer, Hello: first.GetHello(), stream: stream}
	if !v.bomb.Rude {
		if err := f.Send(f.welcome()); err != nil {
			return err
		}
	}
	if !v.bomb.Deaf {
		go f.echo() // it ends with the stream
	}
	throw := v.bomb.follow
	if throw == nil {
		throw = honest
	}
	err = throw(f)
	tell(v.peer.thrown)
	if v.bomb.Second {
		tell(v.peer.wants)
	}
	if err != nil && !f.Ended() {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// Meet says which life this is.
func (v *Provider) Meet(_ context.Context, q *linkv1.MeetRequest) (*linkv1.MeetResponse, error) {
	response := &linkv1.MeetResponse{Version: 2, Chain: proto.FromChain(v.peer.chain())}
	if v.bomb.meet != nil && q.GetRefused() == nil {
		v.bomb.meet(response)
	}
	v.peer.note(response)
	return response, nil
}

// Inspect tells nothing.
func (v *Provider) Inspect(context.Context, *linkv1.InspectRequest) (*linkv1.InspectResponse, error) {
	response := &linkv1.InspectResponse{Version: 2, Name: v.peer.Name}
	if v.bomb.inspect != nil {
		v.bomb.inspect(response)
	}
	v.peer.note(response)
	return response, nil
}

// Execute does nothing.
func (v *Provider) Execute(_ context.Context, q *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
	return v.executed(q)
}

// Look knows nothing.
func (v *Provider) Look(_ context.Context, q *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
	return v.executed(q)
}

func (v *Provider) executed(q *linkv1.ExecuteRequest) (*linkv1.ExecuteResponse, error) {
	response := &linkv1.ExecuteResponse{Revision: proto.FromPosition(model.Position{Epoch: v.peer.epoch, Number: 9}), Via: []string{v.peer.Name}}
	if v.bomb.execute != nil {
		v.bomb.execute(q, response)
	}
	v.peer.note(response)
	return response, nil
}

// Explain allows everything.
func (v *Provider) Explain(context.Context, *linkv1.ExplainRequest) (*linkv1.ExplainResponse, error) {
	response := &linkv1.ExplainResponse{Hops: []*linkv1.ExplainedHop{{Node: v.peer.Name, Known: true, Allowed: true}}}
	if v.bomb.explain != nil {
		v.bomb.explain(response)
	}
	v.peer.note(response)
	return response, nil
}

// Bulk carries nothing.
func (v *Provider) Bulk(stream linkv1.LinkService_BulkServer) error {
	if v.bomb.bulk != nil {
		return v.bomb.bulk(v.peer, stream)
	}
	<-stream.Context().Done()
	return nil
}

// Keep offers nothing.
func (v *Provider) Keep(stream linkv1.LinkService_KeepServer) error {
	if v.bomb.keep == nil {
		<-stream.Context().Done()
		return nil
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	return v.bomb.keep(&Keeping{v.peer, stream})
}

// Keeping is a stream by which the victim takes backups.
type Keeping struct {
	*Peer
	stream linkv1.LinkService_KeepServer
}

// Send says something.
func (k *Keeping) Send(response *linkv1.KeepResponse) error {
	k.note(response)
	return k.stream.Send(response)
}

// Answer is the next thing that the victim says that is an answer.
func (k *Keeping) Answer() (*linkv1.KeepAnswer, error) {
	for {
		request, err := k.stream.Recv()
		if err != nil {
			return nil, err
		}
		if answer := request.GetAnswer(); answer != nil {
			return answer, nil
		}
	}
}

func (f *Following) welcome() *linkv1.ProviderFrame {
	id := f.ID()
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Welcome{Welcome: &linkv1.Welcome{
		Version: 2, Node: id[:], Name: f.Name, Epoch: proto.FromEpoch(f.epoch), View: 5, Chain: proto.FromChain(f.chain()), Resume: linkv1.Resume_RESUME_DELTA,
	}}}
}

// honest tells a small tree.
func honest(f *Following) error {
	d := f.delta("/a", "/b")
	return errors.Join(f.Send(schemaFrame(schema)), f.Send(deltaFrame(d)), f.Send(f.bind(d)), f.Send(beatFrame(&linkv1.Beat{Number: 1, Clock: time.Now().UnixNano(),
		Lanes: []*linkv1.Lane{{Kind: linkv1.LaneKind_LANE_KIND_CHANGES, Head: d.GetThrough(), Applied: d.GetThrough()}}})))
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// schema is of what a hostile provider tells.
var schema = func() *model.Schema {
	s, err := proto.NewSchema(model.Schema{
		Kind: "probe",
		Settings: []model.Setting{
			{Name: "interval", Type: model.TypeDuration, Default: model.Duration(time.Second), Right: model.RightConfigure},
			{Name: "note", Type: model.TypeString, Default: model.String(""), Right: model.RightConfigure},
			{Name: "list", Type: model.TypeTable, Right: model.RightConfigure}, {Name: "at", Type: model.TypeRef, Right: model.RightConfigure},
		},
		Variables: []model.Variable{{Name: "load", Type: model.TypeFloat64}, {Name: "text", Type: model.TypeString}, {Name: "rows", Type: model.TypeTable}},
		Functions: []model.Function{{Name: "poke", Right: model.RightOperate}},
	})
	if err != nil {
		panic(err)
	}
	return s
}()

func schemaFrame(s *model.Schema) *linkv1.ProviderFrame { return rawSchema(s.Hash[:], []byte(s.Raw)) }

func rawSchema(hash, body []byte) *linkv1.ProviderFrame {
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Schema{Schema: &linkv1.SchemaBody{Hash: hash, Body: body}}}
}

func deltaFrame(d *linkv1.Delta) *linkv1.ProviderFrame {
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Delta{Delta: d}}
}

func beatFrame(b *linkv1.Beat) *linkv1.ProviderFrame {
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Beat{Beat: b}}
}

// delta is an honest one of some contexts, for a bomb to spoil.
func (p *Peer) delta(paths ...string) *linkv1.Delta {
	id := p.ID()
	d := &linkv1.Delta{
		Origins: []*linkv1.Origin{{Node: id[:], Epoch: proto.FromEpoch(p.epoch)}}, Routes: []*linkv1.Route{{}}, Schemas: [][]byte{schema.Hash[:]},
	}
	for _, path := range paths {
		n := p.next()
		d.Definitions = append(d.Definitions, &linkv1.Definition{Number: n, Version: 1, Change: n, Defined: n, Path: path, Label: "a probe"})
		d.Through, d.Head = n, n
	}
	return d
}

// bind gives the contexts of a delta their handles, one after the other.
func (p *Peer) bind(d *linkv1.Delta) *linkv1.ProviderFrame {
	b := &linkv1.Bindings{Origins: d.GetOrigins()}
	last := uint64(0)
	for i, def := range d.GetDefinitions() {
		b.Origin = append(b.Origin, 0)
		b.NumberSteps = append(b.NumberSteps, int64(def.GetNumber()-last-1))
		b.Key, b.Defined = append(b.Key, uint32(1+i*len(schema.Variables))), append(b.Defined, def.GetDefined())
		last = def.GetNumber()
	}
	return &linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Bindings{Bindings: b}}
}
