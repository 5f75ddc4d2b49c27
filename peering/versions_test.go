package peering

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"banyan/follow"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"
	"banyan/tree"

	"google.golang.org/protobuf/encoding/protowire"
	pb "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The form of version 1 as it was released lies in testdata/version1: its descriptors, and a session as its program spoke it, with the trees that the
// consumer had. Neither is ever made anew.

// version1 finds the messages of version 1.
func version1(t *testing.T) *protoregistry.Files {
	t.Helper()
	raw, err := os.ReadFile("testdata/version1/link.binpb")
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := pb.Unmarshal(raw, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// unknownOf names a field that version 1 does not know in a frame, empty for none.
func unknownOf(t *testing.T, files *protoregistry.Files, message string, raw []byte) string {
	t.Helper()
	found, err := files.FindDescriptorByName(protoreflect.FullName("banyan.link.v1." + message))
	if err != nil {
		t.Fatal(err)
	}
	decoded := dynamicpb.NewMessage(found.(protoreflect.MessageDescriptor))
	if err := pb.Unmarshal(raw, decoded); err != nil {
		t.Fatal(err)
	}
	return unknownIn(decoded)
}

func unknownIn(m protoreflect.Message) (found string) {
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		number, _, _ := protowire.ConsumeTag(unknown)
		return fmt.Sprintf("%s, field %d", m.Descriptor().FullName(), number)
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range value.List().Len() {
				if found == "" {
					found = unknownIn(value.List().Get(i).Message())
				}
			}
		default:
			found = unknownIn(value.Message())
		}
		return found == ""
	})
	return found
}

// treeText is all that a tree says, as the recording has it.
func treeText(n *node) string {
	var lines strings.Builder
	n.tree.Walk(model.Root, nil, func(c *tree.Context) bool {
		fmt.Fprintf(&lines, "%s %q %s %s %v v%d", c.Path, c.Label, c.ID, c.Schema.Hash, c.Route.Names(), c.Version.Number)
		for i := range c.Settings {
			fmt.Fprintf(&lines, " %s", c.Settings[i].JSON())
		}
		for i := range c.Schema.Variables {
			r, _ := n.tree.Read(model.Address{Path: c.Path, Name: c.Schema.Variables[i].Name})
			fmt.Fprintf(&lines, " %s@%d/%d=%s", r.Sample.Value.JSON(), r.Sample.Source, r.Sample.Owner, r.Sample.Quality)
		}
		lines.WriteString("\n")
		return true
	})
	return lines.String()
}

// A provider of version 1 is followed as before: through a listing, live samples, staleness, a cut, and a restart after which all is compared.
func TestProviderOfVersion1(t *testing.T) {
	recorded, err := os.Open("testdata/version1/session.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = recorded.Close() }()
	files := version1(t)
	hq, berlin := newNode("hq"), newNode("berlin")
	m := mirrorOf(hq, berlin, "/sites/berlin")
	var c *Consumer
	trees := 0
	lines := bufio.NewScanner(recorded)
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		var now model.Time
		word, rest, _ := strings.Cut(lines.Text(), " ")
		text := ""
		if _, err := fmt.Sscan(rest, &now, &text); err != nil {
			text = rest
		}
		raw, _ := base64.StdEncoding.DecodeString(text)
		switch word {
		case "session":
			c = NewConsumer(m, "link", []byte("0123456789abcdef"), testBeat)
		case "provider":
			if err := c.ReceiveRaw(&proto.RawFrame{Bytes: raw}, now); err != nil {
				t.Fatalf("line %d: %v", number, err)
			}
		case "consumer":
			c.Tick(now)
			for frame, some := c.Next(); some; frame, some = c.Next() {
				sent, _ := pb.Marshal(frame)
				if unknown := unknownOf(t, files, "ConsumerFrame", sent); unknown != "" && frame.GetHello() == nil {
					t.Errorf("line %d: it is told %s", number, unknown)
				}
			}
		case "cut":
			c.Cut()
		case "tree":
			trees++
			if got := treeText(hq); got != string(raw) {
				t.Errorf("line %d: the tree is\n%s\nand should be\n%s", number, got, raw)
			}
		}
	}
	if lines.Err() != nil || trees < 5 {
		t.Fatal("the recording was not read", lines.Err())
	}
}

// A consumer of version 1 is told nothing that it does not know.
func TestConsumerOfVersion1(t *testing.T) {
	files := version1(t)
	hq, north, berlin := newNode("hq"), newNode("north"), newNode("berlin")
	berlin.put("/a")
	berlin.publish("/a", 1, "one", 5)
	below := mirrorOf(north, berlin, "/berlin")
	above := mirrorOf(hq, north, "/north")
	lower := join(t, below, berlin, 100*second)
	upper := &wire{t: t, now: 100 * second, consumer: NewConsumer(above, "link", []byte("0123456789abcdef"), testBeat), provider: newProvider(north), version1: files}
	t.Cleanup(upper.provider.Close)
	both := func() {
		lower.settle()
		upper.settle()
	}
	both()
	want(t, hq, "/north/berlin/a:load", "1 good")
	berlin.publish("/a", 2, "two", 6)
	berlin.put("/b")
	both()
	lower.consumer.Cut()
	both()
	upper.pass(testBeat)
	both()
	want(t, hq, "/north/berlin/a:load", "2 uncertain/stale")
	if upper.provider.version != 1 || upper.consumer.version != 1 {
		t.Errorf("they speak versions %d and %d", upper.provider.version, upper.consumer.version)
	}
	for _, frame := range []*linkv1.ProviderFrame{{Body: &linkv1.ProviderFrame_Freshness{Freshness: &linkv1.Freshness{}}}} {
		raw, _ := pb.Marshal(frame)
		if unknownOf(t, files, "ProviderFrame", raw) == "" {
			t.Error("what version 1 does not know is not found")
		}
	}
}

// laterSchema is a kind of a later version: a setting and a variable have a type that this one does not know, and there is a field that it does not know.
func laterSchema(t *testing.T) *model.Schema {
	t.Helper()
	wire := &modelv1.Schema{
		Kind:      "later",
		Settings:  []*modelv1.Setting{{Name: "area", Type: 10, Right: modelv1.Right_RIGHT_CONFIGURE}},
		Variables: []*modelv1.Variable{{Name: "where", Type: 10}, {Name: "load", Type: modelv1.Type_TYPE_FLOAT64}},
	}
	wire.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "unheard of"))
	raw, err := pb.Marshal(wire)
	if err != nil {
		t.Fatal(err)
	}
	s, err := proto.ToSchema(raw)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a later version tells goes through a node of this one as it came: types of values, fields of a context and of its kind. A tier that hides a
// part of a context does not pass on what it cannot read of it.
func TestLaterVersionGoesThrough(t *testing.T) {
	hq, north, berlin := newNode("hq"), newNode("north"), newNode("berlin")
	schema := laterSchema(t)
	where := model.Later(10, protowire.AppendString(protowire.AppendTag(nil, 10, protowire.BytesType), "52.5,13.4"))
	extra := string(protowire.AppendString(protowire.AppendTag(nil, 77, protowire.BytesType), "said later"))
	path := model.MustPath("/car")
	put := tree.Put{
		ID: model.ContextID{Node: berlin.hop.Node, Epoch: model.Epoch{Ordinal: 1}, Number: 1}, Path: path, Schema: schema, Settings: []model.Value{where},
		Version: model.Version{Epoch: berlin.epoch, Number: 1}, Extra: extra,
	}
	berlin.tree.Apply([]tree.Put{put}, nil)
	publish := func() {
		c, _ := berlin.tree.Lookup(path)
		var b tree.Batch
		b.Add(c.Slots.First, model.Sample{Value: where, Source: 5})
		b.Add(c.Slots.First+1, model.Sample{Value: model.Float64(1), Source: 5})
		berlin.tree.Publish(&b)
	}
	publish()
	lower, upper := join(t, mirrorOf(north, berlin, "/berlin"), berlin, 100*second), join(t, mirrorOf(hq, north, "/north"), north, 100*second)
	both := func() {
		lower.settle()
		upper.settle()
	}
	both()
	publish()
	both()
	at := model.MustPath("/north/berlin/car")
	check := func(what string) {
		t.Helper()
		c, there := hq.tree.Lookup(at)
		if !there || c.Schema.Raw != schema.Raw || !c.Setting(0).Equal(where) || c.Extra != extra {
			t.Errorf("%s: came as kind %s, setting %s, extra %q", what, c.Schema.Kind, c.Setting(0).JSON(), c.Extra)
		}
		if r, _ := hq.tree.Read(model.Address{Path: at, Name: "where"}); !r.Sample.Value.Equal(where) || r.Sample.Source != 5 {
			t.Errorf("%s: the sample is %s at %d", what, r.Sample.Value.JSON(), r.Sample.Source)
		}
	}
	check("at first")
	extra = strings.Replace(extra, "later", "newer", 1)
	put.Extra, put.Version.Number = extra, 2
	berlin.tree.Apply([]tree.Put{put}, nil)
	both()
	check("after a change")

	hidden := newNode("guest")
	north.view = follow.NewView(north.tree, model.Root, withoutLoad{})
	guest := join(t, mirrorOf(hidden, north, "/north"), north, 100*second)
	guest.settle()
	if c, there := hidden.tree.Lookup(at); !there || c.Extra != "" || len(c.Schema.Variables) != 1 {
		t.Errorf("a tier that hides a part passes on %q of %d variables", c.Extra, len(c.Schema.Variables))
	}
}

// withoutLoad hides one variable.
type withoutLoad struct{ everything }

func (withoutLoad) Key() string { return "without load" }
func (withoutLoad) Schema(s *model.Schema) (*model.Schema, error) {
	return proto.DeriveSchema(s, func(_ model.EntrySort, entry string) bool { return entry != "load" })
}
