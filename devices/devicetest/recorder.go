package devicetest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"banyan/devices"
	"banyan/model"
)

// Recorder is a devices.Sink that keeps what is published to it, for tests. The zero Recorder has no schema and checks nothing;
// one from NewRecorder notes everything that breaks the contract of a Publisher. It is safe for use from several goroutines.
type Recorder struct {
	schema *model.Schema
	label  string
	labels []string  // former ones
	root   *Recorder // keeps mu and complaints; nil at the root itself

	mu         sync.Mutex // guards all fields below, here and in all children
	complaints []string

	last     map[int]devices.Update
	batches  int // times that something was published
	updates  int64
	failed   model.Quality
	since    model.Time
	children map[string]*Recorder
}

var _ devices.Sink = (*Recorder)(nil)

// NewRecorder records for a context of this schema.
func NewRecorder(schema *model.Schema) *Recorder { return &Recorder{schema: schema} }

func (r *Recorder) top() *Recorder {
	if r.root != nil {
		return r.root
	}
	return r
}

func (r *Recorder) lock() func() {
	mu := &r.top().mu
	mu.Lock()
	return mu.Unlock
}

func (r *Recorder) complain(format string, args ...any) {
	top := r.top()
	if len(top.complaints) < 20 {
		top.complaints = append(top.complaints, fmt.Sprintf(format, args...))
	}
}

// Publish records a batch.
func (r *Recorder) Publish(batch []devices.Update) {
	defer r.lock()()
	r.batches++
	for _, u := range batch {
		r.take(u)
	}
}

// PublishScalars records a batch of scalars.
func (r *Recorder) PublishScalars(first int, source model.Time, bits []uint64) {
	defer r.lock()()
	r.batches++
	for i, b := range bits {
		t := model.TypeFloat64
		if r.schema != nil {
			if first < 0 || first+i >= len(r.schema.Variables) {
				r.complain("%s: variable %d is published and not declared", r.schema.Kind, first+i)
				return
			}
			if t = r.schema.Variables[first+i].Type; !t.IsScalar() {
				r.complain("%s: %s is published as a scalar and is a %s", r.schema.Kind, r.schema.Variables[first+i].Name, t)
				return
			}
		}
		r.take(devices.Update{Variable: first + i, Value: model.Scalar(t, b), Source: source})
	}
}

func (r *Recorder) take(u devices.Update) {
	r.updates++
	if r.last == nil {
		r.last = map[int]devices.Update{}
	}
	r.last[u.Variable] = u
	if r.schema == nil {
		return
	}
	if u.Variable < 0 || u.Variable >= len(r.schema.Variables) {
		r.complain("%s: variable %d is published and not declared", r.schema.Kind, u.Variable)
		return
	}
	declared := r.schema.Variables[u.Variable]
	switch {
	case u.Value.IsNone() && u.Quality.Level == model.Good:
		r.complain("%s: %s is published without a value, as good", r.schema.Kind, declared.Name)
	case !u.Value.IsNone() && u.Value.Type() != declared.Type:
		r.complain("%s: %s is published as %s and declared as %s", r.schema.Kind, declared.Name, u.Value.Type(), declared.Type)
	case u.Value.Size() > model.MaxValueBytes:
		r.complain("%s: the value of %s has %d bytes", r.schema.Kind, declared.Name, u.Value.Size())
	case u.Source == 0:
		r.complain("%s: %s is published without a source time", r.schema.Kind, declared.Name)
	}
}

// Schema is what the recorder records for.
func (r *Recorder) Schema() *model.Schema {
	defer r.lock()()
	return r.schema
}

// Rebind records for another schema from now on.
func (r *Recorder) Rebind(_ context.Context, schema *model.Schema) error {
	defer r.lock()()
	if err := schema.Validate(); err != nil {
		r.complain("%v", err)
		return err
	}
	if r.schema != nil && schema != r.schema {
		last := map[int]devices.Update{}
		for i, u := range r.last {
			if to := schema.VariableIndex(r.schema.Variables[i].Name); to >= 0 && schema.Variables[to].Type == r.schema.Variables[i].Type {
				u.Variable = to
				last[to] = u
			}
		}
		r.last = last
	}
	r.schema = schema
	return nil
}

// Child records below this context.
func (r *Recorder) Child(segment, label string, schema *model.Schema) (devices.Publisher, error) {
	defer r.lock()()
	if err := model.CheckSegment(segment); err != nil {
		r.complain("child: %v", err)
		return nil, err
	}
	if label == "" {
		r.complain("child %s has no label", segment)
	}
	if err := schema.Validate(); err != nil {
		r.complain("child %s: %v", segment, err)
		return nil, err
	}
	child := r.children[segment]
	if child == nil {
		child = &Recorder{schema: schema, label: label, root: r.top()}
		if r.children == nil {
			r.children = map[string]*Recorder{}
		}
		r.children[segment] = child
	}
	child.rename(r, segment, label)
	child.rebind(r, segment, schema)
	return child, nil
}

// rename takes another label. A thing may learn its name late, or get a new one; two things that share a segment take turns.
func (r *Recorder) rename(above *Recorder, segment, label string) {
	if r.label == label {
		return
	}
	if slices.Contains(r.labels, label) {
		above.complain("child %s is %q and %q by turns: one segment, two things", segment, r.label, label)
	}
	r.labels, r.label = append(r.labels, r.label), label
}

// rebind takes another schema, which must say something else: one that says the same would be encoded again at every poll.
func (r *Recorder) rebind(above *Recorder, segment string, schema *model.Schema) {
	if r.schema == schema {
		return
	}
	if reflect.DeepEqual(r.schema, schema) {
		above.complain("child %s: its schema is another pointer than before, and says the same", segment)
	}
	r.schema, r.last = schema, nil
}

// Keep removes children.
func (r *Recorder) Keep(segments []string) {
	defer r.lock()()
	maps.DeleteFunc(r.children, func(segment string, _ *Recorder) bool { return !slices.Contains(segments, segment) })
}

// Fail records the quality, here and below.
func (r *Recorder) Fail(quality model.Quality, since model.Time) {
	defer r.lock()()
	r.fail(quality, since)
}

func (r *Recorder) fail(quality model.Quality, since model.Time) {
	r.failed, r.since = quality, since
	for i, u := range r.last {
		u.Quality = quality
		r.last[i] = u
	}
	for _, c := range r.children {
		c.fail(quality, since)
	}
}

// Failed is what Fail was told last.
func (r *Recorder) Failed() (model.Quality, model.Time) {
	defer r.lock()()
	return r.failed, r.since
}

// Last is the last update of the variable with this index, and whether there is one.
func (r *Recorder) Last(variable int) (devices.Update, bool) {
	defer r.lock()()
	u, ok := r.last[variable]
	return u, ok
}

// Named is the last update of the variable called name; its value is none where there is none.
func (r *Recorder) Named(name string) devices.Update {
	u, _ := r.Last(r.Schema().VariableIndex(name))
	return u
}

// At is the recorder of a child, of a child's child for more segments; nil where there is none.
func (r *Recorder) At(segments ...string) *Recorder {
	defer r.lock()()
	at := r
	for _, s := range segments {
		if at = at.children[s]; at == nil {
			return nil
		}
	}
	return at
}

// Label is the label of a child.
func (r *Recorder) Label() string { return r.label }

// Children are the segments of the children in order.
func (r *Recorder) Children() []string {
	defer r.lock()()
	return slices.Sorted(maps.Keys(r.children))
}

// Counts are how many batches and how many updates were published, children not counted.
func (r *Recorder) Counts() (batches int, updates int64) {
	defer r.lock()()
	return r.batches, r.updates
}

// Complaints say how the contract was broken, here or in a child.
func (r *Recorder) Complaints() []string {
	defer r.lock()()
	return slices.Clone(r.top().complaints)
}

// All is everything that was published last, by "name" or "segment/segment:name".
func (r *Recorder) All() map[string]devices.Update {
	defer r.lock()()
	all := map[string]devices.Update{}
	r.collect("", all)
	return all
}

func (r *Recorder) collect(prefix string, all map[string]devices.Update) {
	for i, u := range r.last {
		name := fmt.Sprint(i)
		if r.schema != nil && i >= 0 && i < len(r.schema.Variables) {
			name = r.schema.Variables[i].Name
		}
		if prefix != "" {
			name = prefix + ":" + name
		}
		all[name] = u
	}
	for segment, c := range r.children {
		below := segment
		if prefix != "" {
			below = prefix + "/" + segment
		}
		c.collect(below, all)
	}
}
