package proto

import (
	"strings"
	"testing"

	"banyan/model"
	"banyan/proto/linkv1"
	"banyan/proto/modelv1"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestEveryRepeatedFieldHasALimit reads the descriptors of all that a link carries: a field that can come several times and has no limit is a bomb.
func TestEveryRepeatedFieldHasALimit(t *testing.T) {
	named := map[string]bool{}
	for _, file := range []protoreflect.FileDescriptor{linkv1.File_banyan_link_v1_link_proto, modelv1.File_banyan_model_v1_model_proto} {
		messages := file.Messages()
		for i := range messages.Len() {
			fields := messages.Get(i).Fields()
			for j := range fields.Len() {
				field := fields.Get(j)
				if field.Index() >= mostFields {
					t.Errorf("%s is not counted: raise mostFields", field.FullName())
				}
				if !field.IsList() || field.IsPacked() {
					continue // what is packed takes no more in memory than its column's reader allows
				}
				name := strings.TrimPrefix(string(field.FullName()), "banyan.")
				if named[name] = true; mostOf[name] == 0 {
					t.Errorf("%s has no limit: give it one in mostOf", name)
				}
			}
		}
	}
	for name := range mostOf {
		if !named[name] {
			t.Errorf("%s has a limit and is no field", name)
		}
	}
}

// TestFieldsThatComeTwice: protobuf adds up what comes twice, so that each half of a bomb would be within its limits.
func TestFieldsThatComeTwice(t *testing.T) {
	delta := &linkv1.Delta{}
	for range 3000 {
		delta.Definitions = append(delta.Definitions, &linkv1.Definition{Path: "/sites/berlin/plc"})
	}
	one, _ := proto.Marshal(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Delta{Delta: delta}})
	if err := Unmarshal(one, &linkv1.ProviderFrame{}); err != nil {
		t.Errorf("3,000 definitions: %v", err)
	}
	if err := Unmarshal(append(one, one...), &linkv1.ProviderFrame{}); model.KindOf(err) != model.KindExhausted {
		t.Errorf("twice: %v", err)
	}
}

// TestTooManyOfAField tells by its name what there is too much of.
func TestTooManyOfAField(t *testing.T) {
	delta := &linkv1.Delta{}
	for range 5000 {
		delta.Definitions = append(delta.Definitions, &linkv1.Definition{Path: "/sites/berlin/plc"})
	}
	raw, _ := proto.Marshal(&linkv1.ProviderFrame{Body: &linkv1.ProviderFrame_Delta{Delta: delta}})
	if err := Unmarshal(raw, &linkv1.ProviderFrame{}); err == nil || err.Error() != "received a Delta with more than 4096 definitions" {
		t.Errorf("it says %v", err)
	}
}
