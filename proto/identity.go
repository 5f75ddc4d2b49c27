package proto

import (
	"banyan/model"
	"banyan/proto/modelv1"
)

// FromEpoch is the wire form of an epoch, nil for none.
func FromEpoch(e model.Epoch) *modelv1.Epoch {
	if e.IsZero() {
		return nil
	}
	return &modelv1.Epoch{Ordinal: e.Ordinal, Random: e.Random}
}

// ToEpoch reads an epoch.
func ToEpoch(e *modelv1.Epoch) model.Epoch {
	return model.Epoch{Ordinal: e.GetOrdinal(), Random: e.GetRandom()}
}

// FromPosition is the wire form of a position, nil for none.
func FromPosition(p model.Position) *modelv1.Position {
	if p.IsZero() {
		return nil
	}
	return &modelv1.Position{Epoch: FromEpoch(p.Epoch), Number: p.Number}
}

// ToPosition reads a position.
func ToPosition(p *modelv1.Position) model.Position {
	return model.Position{Epoch: ToEpoch(p.GetEpoch()), Number: p.GetNumber()}
}

// FromChain is the wire form of a chain.
func FromChain(c model.Chain) *modelv1.Chain {
	wire := &modelv1.Chain{}
	for _, b := range c {
		wire.Begins = append(wire.Begins, &modelv1.Begin{Epoch: FromEpoch(b.Epoch), First: b.First})
	}
	return wire
}

// maxEpochs is the most epochs in a chain that is received: a node restarted every minute for two months.
const maxEpochs = 100_000

// ToChain reads a chain and checks it.
func ToChain(wire *modelv1.Chain) (model.Chain, error) {
	if n := len(wire.GetBegins()); n > maxEpochs {
		return nil, model.Errorf(model.KindExhausted, "received a chain of %d epochs, at most %d are allowed", n, maxEpochs)
	}
	var chain model.Chain
	for _, b := range wire.GetBegins() {
		chain = append(chain, model.Begin{Epoch: ToEpoch(b.GetEpoch()), First: b.GetFirst()})
	}
	return chain, chain.Validate()
}

// ToNodeID reads the 32 bytes of a node's ID.
func ToNodeID(b []byte) (model.NodeID, error) {
	var id model.NodeID
	if len(b) != len(id) {
		return id, model.Errorf(model.KindInvalid, "a node ID has %d bytes, received %d", len(id), len(b))
	}
	copy(id[:], b)
	return id, nil
}

// FromContextID is the wire form of a context's ID.
func FromContextID(id model.ContextID) *modelv1.ContextId {
	return &modelv1.ContextId{Node: id.Node[:], Epoch: FromEpoch(id.Epoch), Number: id.Number}
}

// ToContextID reads a context's ID.
func ToContextID(wire *modelv1.ContextId) (model.ContextID, error) {
	node, err := ToNodeID(wire.GetNode())
	return model.ContextID{Node: node, Epoch: ToEpoch(wire.GetEpoch()), Number: wire.GetNumber()}, err
}
