package devices

import (
	"context"
	"sync"
	"sync/atomic"

	"banyan/model"
)

// Update is one reading of one variable of one context.
type Update struct {
	Variable int // index in the schema
	Value    model.Value
	Quality  model.Quality
	Source   model.Time // when it was read
}

// Publisher takes what a device reads for one context. Its methods may be called from several goroutines; what one goroutine
// publishes keeps its order. Nothing is looked up by name or path on the way. Publishing does not fail: what belongs to a
// context that is gone, or comes from a call that was left behind, is dropped.
type Publisher interface {
	// Publish takes one batch. The slice is the caller's again afterwards.
	Publish(batch []Update)

	// PublishScalars is the fast way for many good readings of one instant: bits[i] is the value (model.Value.Bits) of variable
	// first+i, and all those variables are of scalar types. The slice is the caller's again afterwards.
	PublishScalars(first int, source model.Time, bits []uint64)

	// Child is the publisher of a context below this one, which is made if it is not there. It is for things that are found
	// rather than configured: a disk, an interface. A child that is there already, from a former life of the device too, keeps its
	// identity and gets the label and schema that are passed. The segment comes from a Namer, the label is the thing's true name.
	// The schema is not changed any more; the same pointer is passed for all children of one kind, which makes
	// it cheap. An error means that the node allows no such context.
	Child(segment, label string, schema *model.Schema) (Publisher, error)

	// Keep removes the children whose segment is not named, with everything below them.
	Keep(segments []string)
}

// Sink is a device's context as the manager sees it.
type Sink interface {
	Publisher

	// Schema is the completed schema that the context has now; nil where there is no such context.
	Schema() *model.Schema

	// Rebind gives the context another completed schema, of the same kind and with the same settings. Where it has that one already nothing
	// is done. Last values stay for the variables that both have by name and type. An error of kind invalid means
	// that there can be no context with this schema, another one that it could not be kept just now.
	Rebind(ctx context.Context, schema *model.Schema) error

	// Fail marks every variable of the context and of all its children with a quality that is not good, since a time. Values
	// and source times stay and can be read; publishing a variable ends the mark for that one. To mark what is marked in
	// the same way already changes nothing and is told to nobody.
	Fail(quality model.Quality, since model.Time)
}

// valve stands before the publishers of one call, so that a call that was left behind cannot publish any more.
type valve struct {
	mu   sync.RWMutex // held for reading while something is published
	shut bool

	watched atomic.Bool // first is to be called, by the next that is published
	first   func()
}

func (v *valve) set(shut bool) {
	v.mu.Lock()
	v.shut = shut
	v.mu.Unlock()
}

// pass runs publish unless the valve is shut.
func (v *valve) pass(publish func()) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if !v.shut {
		publish()
		if v.watched.Load() && v.watched.CompareAndSwap(true, false) {
			v.first()
		}
	}
}

// gate is a publisher behind a valve.
type gate struct {
	valve *valve
	to    Publisher
}

var _ Publisher = (*gate)(nil)

func (g *gate) Publish(batch []Update) { g.valve.pass(func() { g.to.Publish(batch) }) }

func (g *gate) PublishScalars(first int, source model.Time, bits []uint64) {
	g.valve.pass(func() { g.to.PublishScalars(first, source, bits) })
}

func (g *gate) Keep(segments []string) { g.valve.pass(func() { g.to.Keep(segments) }) }

func (g *gate) Child(segment, label string, schema *model.Schema) (Publisher, error) {
	g.valve.mu.RLock()
	defer g.valve.mu.RUnlock()
	if g.valve.shut {
		return nil, model.Errorf(model.KindCanceled, "the call that asked for the child %s is over", segment)
	}
	to, err := g.to.Child(segment, label, schema)
	if err != nil {
		return nil, err
	}
	return &gate{valve: g.valve, to: to}, nil
}
