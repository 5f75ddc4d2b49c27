package peering

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/tree"
)

// reach says where a text can be reached from a value: in strings and bytes, through whatever points to them, also where a slice was cut short.
type reach struct {
	needle string
	seen   map[reached]bool
	found  []string
}

type reached struct {
	at  unsafe.Pointer
	typ reflect.Type
}

func reaches(needle string, roots map[string]any) []string {
	r := &reach{needle: needle, seen: make(map[reached]bool)}
	for name, root := range roots {
		r.walk(name, reflect.ValueOf(root))
	}
	return r.found
}

func (r *reach) note(where, text string) {
	if at := strings.Index(text, r.needle); at >= 0 && len(r.found) < 20 {
		r.found = append(r.found, fmt.Sprintf("%s: %.40q", where, text[at:]))
	}
}

func (r *reach) walk(where string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		r.note(where, v.String())
	case reflect.Pointer:
		if !v.IsNil() && r.fresh(v.UnsafePointer(), v.Type()) {
			r.walk(where, v.Elem())
		}
	case reflect.Interface:
		if !v.IsNil() {
			r.walk(where+"."+v.Elem().Type().String(), v.Elem())
		}
	case reflect.Struct:
		if strings.HasPrefix(v.Type().String(), "atomic.Pointer[") {
			to := v.Type().Field(0).Type.Elem()
			if p := v.FieldByName("v").UnsafePointer(); p != nil && r.fresh(p, to) {
				r.walk(where, reflect.NewAt(to.Elem(), p).Elem())
			}
			return
		}
		for i := range v.NumField() {
			r.walk(where+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Slice:
		if v.IsNil() || !r.fresh(v.UnsafePointer(), v.Type()) {
			return
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			r.note(where, string(unsafe.Slice((*byte)(v.UnsafePointer()), v.Cap())))
			return
		}
		if flat(v.Type().Elem()) {
			return
		}
		whole := reflect.NewAt(reflect.ArrayOf(v.Cap(), v.Type().Elem()), v.UnsafePointer()).Elem()
		for i := range whole.Len() {
			r.walk(where+"[]", whole.Index(i))
		}
	case reflect.Array:
		if !flat(v.Type().Elem()) {
			for i := range v.Len() {
				r.walk(where+"[]", v.Index(i))
			}
		}
	case reflect.Map:
		for each := v.MapRange(); each.Next(); {
			r.walk(where+"{key}", each.Key())
			r.walk(where+"{}", each.Value())
		}
	}
}

func (r *reach) fresh(at unsafe.Pointer, typ reflect.Type) bool {
	key := reached{at, typ}
	known := r.seen[key]
	r.seen[key] = true
	return !known
}

// flat reports whether nothing can be reached through a type.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16,
		reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64, reflect.Uintptr:
		return true
	}
	return false
}

// withoutCanaries is an export that leaves out what has canary in its path or its name.
type withoutCanaries struct{}

func (withoutCanaries) Key() string { return "without canaries" }
func (withoutCanaries) Selects(path model.Path, kind string) bool {
	return !strings.Contains(path.String()+kind, "canary")
}

func (withoutCanaries) Schema(full *model.Schema) (*model.Schema, error) {
	return proto.DeriveSchema(full, func(_ model.EntrySort, entry string) bool { return !strings.Contains(entry, "canary") })
}

// kindWith is a schema of a kind with a setting, and variables of a text and of a table.
func kindWith(t *testing.T, kind, name string) *model.Schema {
	t.Helper()
	s, err := proto.NewSchema(model.Schema{
		Kind: kind, Description: "a " + kind,
		Settings:  []model.Setting{{Name: "note", Type: model.TypeString, Right: model.RightConfigure}, {Name: name + "_note", Type: model.TypeString, Right: model.RightConfigure}},
		Variables: []model.Variable{{Name: "load", Type: model.TypeFloat64}, {Name: name + "_text", Type: model.TypeString}, {Name: name + "_table", Type: model.TypeTable}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill puts a context with values in all that it has.
func (n *node) fill(path, label, tale string, schema *model.Schema, route ...tree.Hop) {
	n.next++
	id := model.ContextID{Node: n.hop.Node, Epoch: model.Epoch{Ordinal: 1}, Number: n.next}
	n.tree.Apply([]tree.Put{{
		ID: id, Path: model.MustPath(path), Label: label, Schema: schema, Settings: []model.Value{model.String("plain"), model.String(tale + "-setting")},
		Version: model.Version{Epoch: n.epoch, Number: n.next}, Route: route,
	}}, nil)
	c, _ := n.tree.Lookup(model.MustPath(path))
	table := &model.Table{Columns: []model.Column{{Name: tale + "_column", Type: model.TypeString}}, Rows: [][]model.Value{{model.String(tale + "-cell")}}}
	var b tree.Batch
	b.Add(c.Slots.First, model.Sample{Value: model.Float64(1), Source: 5})
	b.Add(c.Slots.First+1, model.Sample{Value: model.String(tale + "-value"), Source: 5})
	b.Add(c.Slots.First+2, model.Sample{Value: model.TableValue(table), Source: 5})
	n.tree.Publish(&b)
}

// TestWithdrawnIsOutOfReach: after an export was narrowed nothing of what it hides now can be reached in the memory of the tiers above: whole contexts
// with path, label, kind, route and values, and single entries of others; neither while they are linked nor where they were cut meanwhile.
func TestWithdrawnIsOutOfReach(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut=%v", cut), func(t *testing.T) {
			hq, north, berlin := newNode("hq"), newNode("north"), newNode("berlin")
			plain, hidden := kindWith(t, "plain", "canary"), kindWith(t, "canary-kind", "plain")
			berlin.fill("/shown", "Shown", "canary", plain)
			berlin.fill("/canary-path/deep", "canary-label", "canary", hidden)
			berlin.fill("/canary-mount", "canary-label", "canary", hidden, tree.Hop{Node: model.NodeID{9}, Name: "canary-hop"})
			berlin.tree.SetOverlay(tree.Overlay{Path: model.MustPath("/canary-mount"), Since: 7, Hop: "berlin > canary-hop"})
			lower, upper := mirrorOf(north, berlin, "/b"), mirrorOf(hq, north, "/n")
			below := join(t, lower, berlin, 100*second)
			above := join(t, upper, north, 100*second)
			above.pass(testBeat)
			roots := func() map[string]any {
				return map[string]any{
					"north.tree": north.tree, "north.mirror": lower, "north.consumer": below.consumer, "north.view": north.view, "north.provider": above.provider,
					"hq.tree": hq.tree, "hq.mirror": upper, "hq.consumer": above.consumer,
				}
			}
			for _, name := range []string{"path", "label", "setting", "value", "cell", "kind", "hop", "_column", "_text", "-hop"} {
				if len(reaches("canary"+name, roots()))+len(reaches("canary-"+name, roots())) == 0 {
					t.Fatalf("canary-%s is nowhere: the test cannot find anything", name)
				}
			}

			berlin.view = follow.NewView(berlin.tree, model.Root, withoutCanaries{})
			below = join(t, lower, berlin, 200*second)
			if cut { // hq is away until north has forgotten, and compares
				north.tree.ForgetWithdrawn(1 << 62)
				above = join(t, upper, north, 210*second)
			}
			above.pass(testBeat)
			berlin.publish("/shown", 2, "", 9)
			below.settle()
			above.settle()
			north.tree.ForgetWithdrawn(1 << 62)
			hq.tree.ForgetWithdrawn(1 << 62)
			above.pass(testBeat)
			if found := reaches("canary", roots()); len(found) > 0 {
				t.Errorf("still there:\n%s", strings.Join(found, "\n"))
			}
			want(t, hq, "/n/b/shown:load", "2 good")
			want(t, hq, "/n/b/shown:note", "plain good")
			want(t, hq, "/n/b/shown:canary_text", "absent")
		})
	}
}

// What was told last is withdrawn, and nothing comes any more: the buffers in which it came keep nothing of it.
func TestLastBatchIsOutOfReach(t *testing.T) {
	north, berlin := newNode("north"), newNode("berlin")
	lower := mirrorOf(north, berlin, "/b")
	below := join(t, lower, berlin, 100*second)
	berlin.fill("/canary-path", "canary-label", "canary", kindWith(t, "canary-kind", "plain"))
	below.pass(testBeat)
	roots := map[string]any{"tree": north.tree, "mirror": lower}
	if len(reaches("canary-value", roots)) == 0 {
		t.Fatal("it is nowhere: the test cannot find anything")
	}
	below.provider.Close()
	lower.Purge()
	north.tree.ForgetWithdrawn(1 << 62)
	if found := reaches("canary", roots); len(found) > 0 {
		t.Errorf("still there:\n%s", strings.Join(found, "\n"))
	}
}
