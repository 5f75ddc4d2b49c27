package hostile

import (
	"iter"
	"maps"

	"banyan/proto/linkv1"
	"banyan/proto/modelv1"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Said is which types of messages were sent, and which fields of their oneofs, like "Value" and "ProviderFrame.delta".
type Said map[string]bool

func (s Said) all() iter.Seq[string] { return maps.Keys(s) }

// note adds a message and all that it is made of. Of a repeated field the first ones count.
func (s Said) note(m protoreflect.Message) {
	name := string(m.Descriptor().Name())
	s[name] = true
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.ContainingOneof() != nil && !field.ContainingOneof().IsSynthetic() {
			s[name+"."+string(field.Name())] = true
		}
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range min(value.List().Len(), 8) {
				s.note(value.List().Get(i).Message())
			}
		default:
			s.note(value.Message())
		}
		return true
	})
}

func (p *Peer) note(m interface{ ProtoReflect() protoreflect.Message }) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said.note(m.ProtoReflect())
}

// Wanted are all types of messages that a node takes from its neighbours, and the fields of their oneofs, by the descriptors of the protocol: a bomb is
// asked for each.
func Wanted() []string {
	want := Said{}
	want.tree((*modelv1.Schema)(nil).ProtoReflect().Descriptor()) // it is carried as its bytes
	services := linkv1.File_banyan_link_v1_link_proto.Services()
	for i := range services.Len() {
		methods := services.Get(i).Methods()
		for j := range methods.Len() {
			want.tree(methods.Get(j).Input())
			want.tree(methods.Get(j).Output())
		}
	}
	var list []string
	for name := range want {
		list = append(list, name)
	}
	return list
}

func (s Said) tree(d protoreflect.MessageDescriptor) {
	name := string(d.Name())
	if s[name] {
		return
	}
	s[name] = true
	fields := d.Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.ContainingOneof() != nil && !field.ContainingOneof().IsSynthetic() {
			s[name+"."+string(field.Name())] = true
		}
		if field.Message() != nil {
			s.tree(field.Message())
		}
	}
}
