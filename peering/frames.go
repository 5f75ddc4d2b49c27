package peering

import (
	"strings"
	"unicode"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"

	pb "google.golang.org/protobuf/proto"
)

// maxChunkBytes is about how large a delta may grow before the next one begins, so that other frames pass between.
const maxChunkBytes = 64 << 10

// deltaBuilder makes deltas from what a follower is to be told. Each delta carries its own tables, so that it can take either connection.
type deltaBuilder struct {
	delta   *linkv1.Delta
	origins map[originKey]uint32
	routes  map[string]uint32
	schemas map[model.SchemaHash]uint32
	bytes   int
}

type originKey struct {
	node  model.NodeID
	epoch model.Epoch
}

func newDeltaBuilder() *deltaBuilder {
	return &deltaBuilder{
		delta: &linkv1.Delta{}, origins: make(map[originKey]uint32), routes: make(map[string]uint32), schemas: make(map[model.SchemaHash]uint32),
	}
}

func (b *deltaBuilder) origin(node model.NodeID, epoch model.Epoch) uint32 {
	key := originKey{node, epoch}
	i, known := b.origins[key]
	if !known {
		i = uint32(len(b.delta.Origins))
		b.origins[key] = i
		b.delta.Origins = append(b.delta.Origins, &linkv1.Origin{Node: node[:], Epoch: proto.FromEpoch(epoch)})
		b.bytes += 56
	}
	return i
}

func (b *deltaBuilder) route(r tree.Route) uint32 {
	wire := &linkv1.Route{}
	key := ""
	for _, hop := range r {
		wire.Hops = append(wire.Hops, &linkv1.Hop{Node: hop.Node[:], Name: hop.Name})
		key += string(hop.Node[:]) + hop.Name + "\x00"
	}
	i, known := b.routes[key]
	if !known {
		i = uint32(len(b.delta.Routes))
		b.routes[key] = i
		b.delta.Routes = append(b.delta.Routes, wire)
		b.bytes += len(key)
	}
	return i
}

func (b *deltaBuilder) schema(s *model.Schema) uint32 {
	i, known := b.schemas[s.Hash]
	if !known {
		i = uint32(len(b.delta.Schemas))
		b.schemas[s.Hash] = i
		b.delta.Schemas = append(b.delta.Schemas, s.Hash[:])
		b.bytes += len(s.Hash)
	}
	return i
}

func (b *deltaBuilder) define(e *follow.Entry) {
	c := &e.Context
	d := &linkv1.Definition{
		Origin: b.origin(c.ID.Node, c.ID.Epoch), Number: c.ID.Number,
		VersionEpoch: b.origin(c.ID.Node, c.Version.Epoch), Version: c.Version.Number, Change: c.Change,
		Path: e.Path.String(), Label: c.Label, Schema: b.schema(e.Schema), Route: b.route(c.Route), Defined: e.Defined,
	}
	for _, s := range e.Setting {
		d.Settings = append(d.Settings, &linkv1.SettingValue{Index: uint32(s.Index), Value: proto.FromValue(s.Value)})
	}
	d.ProtoReflect().SetUnknown([]byte(e.Extra))
	b.bytes += pb.Size(d) + 4
	b.delta.Definitions = append(b.delta.Definitions, d)
}

func (b *deltaBuilder) remove(g *follow.Gone) {
	b.bytes += 24 + len(g.Path.String())
	b.delta.Removals = append(b.delta.Removals, &linkv1.Removal{
		Origin: b.origin(g.ID.Node, g.ID.Epoch), Number: g.ID.Number, Change: g.Change, Path: g.Path.String(), Withdrawn: g.Withdrawn,
	})
}

// bindingsFrame tells bindings; first is how many were told before.
// chunkBindings bounds how many bindings are looked at for one frame.
const chunkBindings = 8192

// bindingsFrame tells the first ones of a list, as many as fit into a frame, and says how many these are. A listing whose samples come all at once needs
// more than one frame can hold.
func bindingsFrame(first int, list []follow.Binding) (b *linkv1.Bindings, told int) {
	b = &linkv1.Bindings{First: uint32(first)}
	origins := make(map[originKey]uint32)
	last, size := uint64(0), 0
	for at, binding := range list {
		if size >= maxChunkBytes {
			break
		}
		told, size = told+1, size+bindingBytes
		key := originKey{binding.ID.Node, binding.ID.Epoch}
		i, known := origins[key]
		if !known {
			i = uint32(len(b.Origins))
			origins[key] = i
			b.Origins = append(b.Origins, &linkv1.Origin{Node: key.node[:], Epoch: proto.FromEpoch(key.epoch)})
		}
		b.Origin = append(b.Origin, i)
		b.NumberSteps = append(b.NumberSteps, int64(binding.ID.Number-last-1))
		last = binding.ID.Number
		b.Key = append(b.Key, binding.Key)
		b.Defined = append(b.Defined, binding.Defined)
		if binding.Several {
			b.Paths = append(b.Paths, &linkv1.BindingPath{Index: uint32(at), Path: binding.Path.String()})
			size += len(binding.Path.String())
		}
	}
	return b, told
}

// bindingBytes is about how much a binding takes in a frame, without a path.
const bindingBytes = 32

// originTable is the receiver's form of a frame's origins.
type originTable []originKey

func readOrigins(wire []*linkv1.Origin) (originTable, error) {
	table := make(originTable, len(wire))
	for i, o := range wire {
		node, err := proto.ToNodeID(o.GetNode())
		if err != nil {
			return nil, err
		}
		table[i] = originKey{node, proto.ToEpoch(o.GetEpoch())}
	}
	return table, nil
}

func (t originTable) id(origin uint32, number uint64) (model.ContextID, error) {
	if int(origin) >= len(t) {
		return model.ContextID{}, model.Errorf(model.KindCorrupt, "received the index of an origin that was not told")
	}
	return model.ContextID{Node: t[origin].node, Epoch: t[origin].epoch, Number: number}, nil
}

func (t originTable) version(epoch uint32, number uint64) (model.Version, error) {
	if int(epoch) >= len(t) {
		return model.Version{}, model.Errorf(model.KindCorrupt, "received the index of an epoch that was not told")
	}
	return model.Version{Epoch: t[epoch].epoch, Number: number}, nil
}

func readRoute(wire *linkv1.Route) (tree.Route, error) {
	if len(wire.GetHops()) > MaxHops {
		return nil, model.Errorf(model.KindExhausted, "received a route of %d nodes, at most %d are allowed", len(wire.GetHops()), MaxHops)
	}
	var route tree.Route
	for _, hop := range wire.GetHops() {
		node, err := proto.ToNodeID(hop.GetNode())
		if err != nil {
			return nil, err
		}
		if err := model.CheckSegment(hop.GetName()); err != nil {
			return nil, err
		}
		route = append(route, tree.Hop{Node: node, Name: hop.GetName()})
	}
	return route, nil
}

// MaxHops is how many nodes may lie between a context's owner and whoever mounts it.
const MaxHops = 16

// maxText bounds labels and other words that a peer tells and people read.
const maxText = 1024

// writeEnds are the nodes of a hop as they are told, those of which there is something.
func writeEnds(ends tree.Ends) (nodes [][]byte) {
	for i := range ends {
		if ends[i] != (model.NodeID{}) {
			nodes = append(nodes, ends[i][:])
		}
	}
	return nodes
}

// readEnds is the counterpart of writeEnds.
func readEnds(nodes [][]byte) (ends tree.Ends, err error) {
	if len(nodes) > len(ends) {
		return ends, model.Errorf(model.KindCorrupt, "received a hop of more than two nodes")
	}
	for i, raw := range nodes {
		if ends[i+len(ends)-len(nodes)], err = proto.ToNodeID(raw); err != nil {
			return ends, err
		}
	}
	return ends, nil
}

// cleanText is text that does nothing to a terminal and is not very long.
func cleanText(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
