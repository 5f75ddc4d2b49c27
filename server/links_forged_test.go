package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// forgery is a principal that a neighbour tells and that is not what it says.
type forgery struct {
	name string
	said *linkv1.Principal
}

var forgeries = []forgery{
	{"nobody", nil},
	{"the owner's own administrator", &linkv1.Principal{Person: AdminName, Node: "berlin"}},
	{"an administrator of nowhere", &linkv1.Principal{Person: AdminName}},
	{"somebody who is narrowed, in capitals", &linkv1.Principal{Person: "Alice", Node: "hq"}},
	{"a name that runs on", &linkv1.Principal{Person: "alice@berlin", Node: "hq"}},
	{"a name that writes to a terminal", &linkv1.Principal{Person: "x\x1b[2J", Node: "hq"}},
	{"a long name", &linkv1.Principal{Person: strings.Repeat("x", 1<<16), Node: "hq"}},
	{"the owner as a relay", &linkv1.Principal{Person: "bob", Node: "hq", Relays: []string{"berlin", "north"}}},
	{"a relay that is a path", &linkv1.Principal{Person: "bob", Node: "hq", Relays: []string{"../../users"}}},
	{"too many relays", &linkv1.Principal{Person: "bob", Node: "hq", Relays: make([]string, access.MaxHops)}},
	{"a node that is a path", &linkv1.Principal{Person: "bob", Node: "/system"}},
}

// forgedRequests is each operation that a link carries, on what this neighbour was not granted to do: beyond its right, on people, on links and what
// they grant, on the node itself, outside its paths.
func forgedRequests() map[string]*linkv1.ExecuteRequest {
	id := 0
	ask := func(path string) *linkv1.ExecuteRequest {
		id++
		request := &linkv1.ExecuteRequest{Path: path, Id: make([]byte, 16)}
		copy(request.Id, fmt.Sprint("forged ", id))
		return request
	}
	set := func(path, name string, v model.Value) *linkv1.ExecuteRequest {
		q := ask(path)
		q.Operation = &linkv1.ExecuteRequest_Set{Set: &linkv1.SetOperation{Name: name, Value: proto.FromValue(v)}}
		return q
	}
	call := func(path, function string) *linkv1.ExecuteRequest {
		q := ask(path)
		q.Operation = &linkv1.ExecuteRequest_Call{Call: &linkv1.CallOperation{Function: function, Arguments: proto.FromArguments([]model.Argument{
			textArgument("name", "evil"), textArgument("role", "provider"), textArgument("right", "administer"),
		})}}
		return q
	}
	create := func(path, kind string, settings ...model.Argument) *linkv1.ExecuteRequest {
		q := ask(path)
		q.Operation = &linkv1.ExecuteRequest_Create{Create: &linkv1.CreateOperation{Kind: kind, Settings: proto.FromArguments(settings)}}
		return q
	}
	remove := func(path string) *linkv1.ExecuteRequest {
		q := ask(path)
		q.Operation = &linkv1.ExecuteRequest_Remove{Remove: &linkv1.RemoveOperation{Below: true}}
		return q
	}
	batch := ask("/")
	batch.Operation = &linkv1.ExecuteRequest_Apply{Apply: &linkv1.ApplyOperation{Edits: []*linkv1.Edit{
		{Path: "/devices/sim", Operation: &linkv1.Edit_Change{Change: &linkv1.ChangeOperation{Settings: proto.FromArguments([]model.Argument{{Name: "step", Value: model.Float64(9)}})}}},
		{Path: "/exports/north", Operation: &linkv1.Edit_Change{Change: &linkv1.ChangeOperation{Settings: proto.FromArguments([]model.Argument{textArgument(settingRight, "administer")})}}},
	}}}
	return map[string]*linkv1.ExecuteRequest{
		"beyond the right":            set("/devices/sim", "step", model.Float64(9)),
		"its own export":              set("/exports/north", settingRight, model.String("administer")),
		"its own link":                set("/links/north", settingPeerName, model.String("hq")),
		"its own link's end":          call("/links/north", functionRevoke),
		"an invitation":               call("/links", functionInvite),
		"another export":              create("/exports/more", KindExport, textArgument("link", "north"), textArgument("links", "north")),
		"a mount":                     create("/mounts/more", KindMount, textArgument(settingLink, "north"), textArgument(settingPath, "/evil")),
		"a user":                      create("/users/evil", KindUser),
		"a role":                      create("/roles/evil", KindRole),
		"a user's password":           call("/users/"+AdminName, "set_password"),
		"a user's token":              create("/users/"+AdminName+"/tokens/evil", KindToken),
		"the end of a user":           remove("/users/" + AdminName),
		"the node":                    call("/system", functionExplainRight),
		"a device":                    create("/devices/evil", "simulator"),
		"a device that runs programs": create("/devices/evil", "exec", textArgument("command", "/bin/true")),
		"the end of everything":       remove("/devices"),
		"a batch":                     batch,
		"a path that climbs":          set("/devices/../users/admin", "enabled", model.Bool(false)),
		"no operation":                ask("/devices/sim"),
	}
}

// ownState is every context that a node has with its settings, but for what it notes on its links by itself.
func ownState(n *linkedNode) string {
	var all strings.Builder
	n.Tree().Walk(model.Root, nil, func(c *tree.Context) bool {
		fmt.Fprintf(&all, "%s %s", c.Path, c.Schema.Kind)
		for i := range c.Schema.Settings {
			if s := &c.Schema.Settings[i]; !strings.HasPrefix(s.Name, "peer_") || s.Name == settingPeerName {
				fmt.Fprintf(&all, " %s=%s", s.Name, c.Setting(i).JSON())
			}
		}
		all.WriteByte('\n')
		return true
	})
	return all.String()
}

// Whatever a neighbour says of who asks, it does not get beyond what it was granted itself, and nothing changes.
func TestForgedOrigins(t *testing.T) {
	north, berlin := makeNode(t, "north"), makeNode(t, "berlin")
	linkUp(berlin, north, "berlin", "/sites/berlin", "operate")
	for path, kind := range map[string]string{"/devices/sim": "simulator"} {
		if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath(path), Kind: kind, Arguments: []model.Argument{{Name: "poll_interval", Value: model.Duration(time.Hour)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/users/alice-at-hq"), Kind: KindForeign, Arguments: []model.Argument{
		{Name: settingPerson, Value: model.String("alice@hq")}, {Name: settingRules, Value: RulesValue([]access.Rule{rule("/**", model.RightView)})},
	}}); err != nil {
		t.Fatal(err)
	}
	links := berlin.peers.(*links)
	before := ownState(berlin)
	tried := 0
	for _, f := range forgeries {
		for what, request := range forgedRequests() {
			request.Principal = f.said
			if _, err := links.serve(t.Context(), "north", request); err == nil {
				t.Errorf("%s, by %s: done", what, f.name)
			} else if model.KindOf(err) == model.KindInternal {
				t.Errorf("%s, by %s: %v", what, f.name, err)
			}
			tried++
		}
	}
	for _, f := range forgeries { // an operation within the right, for those who are no person at all
		_, err := links.serve(t.Context(), "north", &linkv1.ExecuteRequest{
			Id: []byte(fmt.Sprintf("%-16.16s", f.name)), Path: "/devices/sim", Principal: f.said,
			Operation: &linkv1.ExecuteRequest_Set{Set: &linkv1.SetOperation{Name: "setpoint", Value: proto.FromValue(model.Float64(1))}},
		})
		said := f.said
		person := access.Person{Name: said.GetPerson(), Node: said.GetNode()}
		named := model.CheckName(person.Name) == nil && model.CheckName(person.Node) == nil && len(said.GetRelays()) < access.MaxHops && !strings.Contains(strings.Join(said.GetRelays(), ""), "/")
		if (err == nil) != named {
			t.Errorf("an operation within the right, by %s: %v", f.name, err)
		}
	}
	if _, err := links.serve(t.Context(), "hq", forgedRequests()["beyond the right"]); err == nil {
		t.Error("a link that there is not was served")
	}
	if now := ownState(berlin); now != before {
		t.Errorf("something changed: it is\n%s\nand was\n%s", now, before)
	}
	t.Logf("tried %d times", tried)
}
