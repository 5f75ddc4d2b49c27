package access

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"banyan/model"
)

var northID, southID = model.NodeID{1}, model.NodeID{2}

func selection(t testing.TB, e Export) *Selection {
	t.Helper()
	s, err := NewSelection(e, Areas{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// berlin is a node with a local administrator, two links and rules for three foreign names.
func berlin(t testing.TB) *Decider {
	t.Helper()
	people := Export{Name: "everything", Paths: []model.Pattern{model.Everything}, Secrets: true, People: true, Right: model.RightAdminister}
	d, err := New(Config{
		Node: "berlin",
		People: map[string]*Policy{
			"root":  policy(t, "/** administer"),
			"alice": policy(t, "/safe/** none, /** configure"),
			"guest": policy(t, "/devices/** view"),
		},
		Foreign: map[Person]*Policy{
			{"alice", "hq"}:   policy(t, "/safe none, /links none, /** operate"),
			{"mallory", "hq"}: policy(t, "/** administer"),
			{"bob", "hq"}:     policy(t, "/devices/sim operate"),
		},
		Grants: map[string]*Grant{
			"north": {Node: "north", ID: northID, Exports: []*Selection{
				selection(t, WholeTree("tree", model.RightConfigure)), selection(t, AlertsOnly("alerts", model.RightView))}},
			"south": {Node: "south", ID: southID, Exports: []*Selection{selection(t, people)}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func here(name string) Principal { return Principal{Chain: Chain{Person: Person{Name: name}}} }

// via is a person of another node over a link: "alice@hq" or "" for nobody.
func via(t testing.TB, link, person string) Principal {
	t.Helper()
	p := Principal{Link: link, Chain: Chain{Hops: []Hop{{Node: "hq"}, {Node: link, ID: map[string]model.NodeID{"north": northID, "south": southID}[link]}}}}
	if person != "" {
		var err error
		if p.Chain.Person, err = ParsePerson(person); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func at(path, kind, name string) Entity {
	return Entity{Path: model.MustPath(path), Kind: kind, Name: name}
}

func TestDecisionsExplainThemselves(t *testing.T) {
	d := berlin(t)
	device := at("/devices/local", "host", "poll_interval")
	local := device
	local.Local = true
	secret := device
	secret.Secret = true
	tests := []struct {
		name string
		q    Question
		text string
		seen bool
	}{
		{"the text of the design", Question{Principal: via(t, "north", "alice@hq"), Entity: device, Need: model.RightConfigure},
			"denied by berlin, rule 3: alice@hq has operate, configure is needed", true},
		{"within the foreign rules", Question{Principal: via(t, "north", "alice@hq"), Entity: device, Need: model.RightOperate},
			"allowed by berlin, rule 3: alice@hq has operate", true},
		{"a foreign rule takes no view", Question{Principal: via(t, "north", "alice@hq"), Entity: at("/safe", "folder", ""), Need: model.RightView},
			"allowed by berlin, export tree: north has configure", true},
		{"a foreign rule takes acting", Question{Principal: via(t, "north", "alice@hq"), Entity: at("/safe", "folder", ""), Need: model.RightOperate},
			"denied by berlin, rule 1: alice@hq has view, operate is needed", true},
		{"no foreign rule matches", Question{Principal: via(t, "north", "bob@hq"), Entity: device, Need: model.RightOperate},
			"denied by berlin, no rule matches: bob@hq has view, operate is needed", true},
		{"a foreign rule never widens", Question{Principal: via(t, "north", "mallory@hq"), Entity: device, Need: model.RightAdminister},
			"denied by berlin, export tree: north has configure, administer is needed", true},
		{"no rules for the name", Question{Principal: via(t, "north", "carol@hq"), Entity: device, Need: model.RightConfigure},
			"allowed by berlin, export tree: north has configure", true},
		{"the local administrator's name gives nothing", Question{Principal: via(t, "north", "root@berlin"), Entity: device, Need: model.RightAdminister},
			"denied by berlin, export tree: north has configure, administer is needed", true},
		{"nodes may see", Question{Principal: via(t, "north", ""), Entity: device, Need: model.RightView},
			"allowed by berlin, export tree: north has configure", true},
		{"nodes may not act", Question{Principal: via(t, "north", ""), Entity: device, Need: model.RightOperate},
			"denied by berlin: north names no person, and acting is granted to people", true},
		{"what runs programs", Question{Principal: via(t, "south", "mallory@hq"), Entity: local, Need: model.RightOperate},
			"denied by berlin: this can be done at berlin itself only, not over a link", true},
		{"what runs programs, declared with view", Question{Principal: via(t, "south", "mallory@hq"), Entity: local, Need: model.RightView, Acting: true},
			"denied by berlin: this can be done at berlin itself only, not over a link", true},
		{"what runs programs, at home", Question{Principal: here("alice"), Entity: local, Need: model.RightConfigure},
			"allowed by berlin, rule 2: alice has configure", true},
		{"an export without secrets", Question{Principal: via(t, "north", "carol@hq"), Entity: secret, Need: model.RightConfigure},
			"denied by berlin, no export selects it: north has none, configure is needed", false},
		{"people are not exported", Question{Principal: via(t, "north", "carol@hq"), Entity: at("/users/root", "user", ""), Need: model.RightView},
			"denied by berlin, no export selects it: north has none, view is needed", false},
		{"the own link", Question{Principal: via(t, "south", "mallory@hq"), Entity: at("/links/south", "link", "enabled"), Need: model.RightConfigure},
			"denied by berlin: links, exports, mounts and the node itself are changed at berlin only, not over a link", true},
		{"the node itself", Question{Principal: via(t, "south", "mallory@hq"), Entity: at("/system", "node", "stop"), Need: model.RightOperate},
			"denied by berlin: links, exports, mounts and the node itself are changed at berlin only, not over a link", true},
		{"people where granted", Question{Principal: via(t, "south", "mallory@hq"), Entity: at("/users/eve", "user", ""), Need: model.RightConfigure},
			"allowed by berlin, rule 1: mallory@hq has administer", true},
		{"people where the name has too little", Question{Principal: via(t, "south", "alice@hq"), Entity: at("/users/eve", "user", ""), Need: model.RightConfigure},
			"denied by berlin, rule 3: alice@hq has operate, administer is needed", true},
		{"administer elsewhere", Question{Principal: via(t, "south", "mallory@hq"), Entity: device, Need: model.RightAdminister},
			"denied by berlin, export everything: south has configure, administer is needed", true},
		{"users take administer at home", Question{Principal: here("alice"), Entity: at("/users/eve", "user", ""), Need: model.RightConfigure},
			"denied by berlin, rule 2: alice has configure, administer is needed", true},
		{"mounted users too", Question{Principal: here("alice"), Entity: at("/sites/x/users/eve", "user", ""), Need: model.RightConfigure},
			"denied by berlin, rule 2: alice has configure, administer is needed", true},
		{"no rule matches", Question{Principal: here("guest"), Entity: at("/system", "node", ""), Need: model.RightView},
			"denied by berlin, no rule matches: guest has none, view is needed", false},
		{"the view was taken", Question{Principal: here("alice"), Entity: at("/safe/x", "folder", ""), Need: model.RightConfigure},
			"denied by berlin, rule 1: alice has none, configure is needed", false},
		{"no right declared", Question{Principal: here("root"), Entity: device, Acting: true},
			"denied by berlin: no right is declared for this, so nobody has it", true},
		{"no right that exists", Question{Principal: here("root"), Entity: device, Need: 9},
			"denied by berlin: no right is declared for this, so nobody has it", true},
		{"a stranger", Question{Principal: here("nobody"), Entity: device, Need: model.RightView},
			"denied by berlin: who asks is not known here", false},
	}
	for _, test := range tests {
		got := d.Decide(test.q)
		if got.Explain() != test.text {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got.Explain(), test.text)
		}
		if got.Visible != test.seen || got.Allowed != strings.HasPrefix(test.text, "allowed") {
			t.Errorf("%s: visible %v, allowed %v", test.name, got.Visible, got.Allowed)
		}
	}
}

// TestWhoIsNotWhoTheySay: every way in which a chain does not fit the connection is a stranger's.
func TestWhoIsNotWhoTheySay(t *testing.T) {
	d := berlin(t)
	alter := func(p Principal, change func(*Principal)) Principal { change(&p); return p }
	north := via(t, "north", "alice@hq")
	for name, who := range map[string]Principal{
		"local with hops":          alter(north, func(p *Principal) { p.Link = "" }),
		"at home with hops":        {Chain: Chain{Person: Person{Name: "root"}, Hops: north.Chain.Hops}},
		"local with foreign node":  {Chain: Chain{Person: Person{"root", "hq"}}},
		"a link without hops":      alter(north, func(p *Principal) { p.Chain.Hops = nil }),
		"a link that is not there": alter(north, func(p *Principal) { p.Link = "west" }),
		"the other link's node":    alter(north, func(p *Principal) { p.Link = "south" }),
		"too many hops":            alter(north, func(p *Principal) { p.Chain.Hops = append(make([]Hop, MaxHops), p.Chain.Hops...) }),
		"nobody":                   {},
	} {
		got := d.Decide(Question{Principal: who, Entity: at("/devices", "folder", ""), Need: model.RightView})
		if got.Allowed || got.Visible || got.Cause != CauseUnknown {
			t.Errorf("%s: %+v", name, got)
		}
		if d.MayMatchBelow(who, model.Root) || d.Predicate(who, Columns{"path", "kind"}).SQL != "0" || d.CanGrant(who, rules(t, "/a view")) == nil {
			t.Errorf("%s: may walk, search or grant", name)
		}
	}
	if got := d.Decide(Question{Principal: Principal{Chain: Chain{Person: Person{"root", "berlin"}}}, Need: model.RightAdminister}); !got.Allowed {
		t.Errorf("a person with their own node's name: %s", got.Explain())
	}
}

// TestHiddenIsAbsent: the error for what is hidden, whatever hides it, has the same bytes as the one for what is not there.
func TestHiddenIsAbsent(t *testing.T) {
	d := berlin(t)
	secret := at("/devices/local", "host", "password")
	secret.Secret = true
	for name, q := range map[string]Question{
		"by a rule":         {Principal: here("alice"), Entity: at("/safe/x", "folder", "")},
		"by no rule":        {Principal: here("guest"), Entity: at("/system", "node", "name")},
		"by an export":      {Principal: via(t, "north", "alice@hq"), Entity: at("/users/root", "user", "")},
		"a secret":          {Principal: via(t, "north", "alice@hq"), Entity: secret},
		"from a stranger":   {Principal: here("nobody"), Entity: at("/devices", "folder", "")},
		"from a wrong link": {Principal: Principal{Link: "west"}, Entity: at("/devices", "folder", "")},
	} {
		for need := model.RightNone; need <= model.RightAdminister; need++ {
			for _, op := range []string{"get", "set", "call", "list", "watch"} {
				address := model.Address{Path: q.Entity.Path, Name: q.Entity.Name}
				q.Need, q.Acting = need, op == "set"
				want := model.Error{Kind: model.KindNotFound, Op: op, Path: address.Path, Name: address.Name, Detail: "nothing is there that you may see"}
				hidden, absent := d.Decide(q).Err(op, address), NotFound(op, address)
				if !reflect.DeepEqual(*absent, want) {
					t.Fatalf("the error tells more than what was asked: %+v", absent)
				}
				if model.KindOf(hidden) != model.KindNotFound {
					t.Fatalf("%s, %s: %v", name, need, hidden)
				}
				a, _ := json.Marshal(hidden)
				b, _ := json.Marshal(absent)
				if string(a) != string(b) || hidden.Error() != absent.Error() {
					t.Errorf("%s, %s %s:\nhidden %s %v\nabsent %s %v", name, op, need, a, hidden, b, absent)
				}
			}
		}
	}
}

func TestErr(t *testing.T) {
	d := berlin(t)
	q := Question{Principal: via(t, "north", "alice@hq"), Entity: at("/devices/local", "host", "poll_interval"), Need: model.RightConfigure}
	asked := model.Address{Path: model.MustPath("/regions/north/sites/berlin/devices/local"), Name: "poll_interval"}
	err := d.Decide(q).Err("set", asked)
	want := "set /regions/north/sites/berlin/devices/local:poll_interval: denied by berlin, rule 3: alice@hq has operate, configure is needed"
	if model.KindOf(err) != model.KindDenied || err.Error() != want {
		t.Errorf("got %s: %v", model.KindOf(err), err)
	}
	q.Need = model.RightOperate
	if err := d.Decide(q).Err("call", asked); err != nil {
		t.Error(err)
	}
}

// TestOverALinkNothingIsWidened draws everything at random and holds the promises of a link against the answer.
func TestOverALinkNothingIsWidened(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		foreign, err := NewPolicy(genRules.Draw(t, "foreign"))
		if err != nil {
			t.Fatal(err)
		}
		export := genExport.Draw(t, "export")
		s, err := NewSelection(export, Areas{})
		if err != nil {
			t.Fatal(err)
		}
		eve := Person{"eve", "hq"}
		config := Config{Node: "berlin", Grants: map[string]*Grant{"north": {Node: "north", Exports: []*Selection{s}}}}
		plain, _ := New(config)
		config.Foreign = map[Person]*Policy{eve: foreign}
		ruled, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		q := Question{
			Principal: Principal{Link: "north", Chain: Chain{Person: eve, Hops: []Hop{{Node: "north"}}}},
			Entity: Entity{Path: genPath.Draw(t, "path"), Kind: genKind.Draw(t, "kind"), Name: rapid.SampledFrom([]string{"", "x"}).Draw(t, "name"),
				Secret: rapid.Bool().Draw(t, "secret"), Local: rapid.Bool().Draw(t, "local")},
			Need: model.Right(rapid.IntRange(0, 5).Draw(t, "need")), Acting: rapid.Bool().Draw(t, "acting"),
		}
		without, with := plain.Decide(q), ruled.Decide(q)
		if with.Visible != without.Visible || with.Allowed && !without.Allowed {
			t.Fatalf("foreign rules changed more than acting: %s / %s", without.Explain(), with.Explain())
		}
		if whole := (Entity{Path: q.Entity.Path, Kind: q.Entity.Kind}); export.selects(whole) {
			for need := model.RightOperate; need <= model.RightAdminister; need++ {
				asked := Question{Principal: q.Principal, Entity: whole, Need: need}
				if most := plain.MostOver(export.Right, whole.Path, whole.Kind); plain.Decide(asked).Allowed != (most >= need) {
					t.Fatalf("%s is said to be left on %s %s: %s", most, whole.Path, whole.Kind, plain.Decide(asked).Explain())
				}
			}
		}
		if !with.Allowed {
			return
		}
		acting := q.Acting || q.Need > model.RightView
		path := q.Entity.Path.String() + "/"
		switch {
		case !export.selects(q.Entity), q.Need > export.Right, q.Need == model.RightNone:
			t.Fatalf("allowed beyond the export: %s", with.Explain())
		case acting && (q.Entity.Local || strings.HasPrefix(path, "/links/") || q.Entity.Kind == "link"):
			t.Fatalf("changed over a link: %s", with.Explain())
		case acting && (strings.HasPrefix(path, "/users/") || q.Entity.Kind == "user") && export.Right < model.RightAdminister:
			t.Fatalf("people without administer: %s", with.Explain())
		case q.Need > model.RightView:
			if right, _ := foreign.Match(q.Entity.Path); right < q.Need {
				t.Fatalf("allowed beyond the foreign rules: %s", with.Explain())
			}
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	p := policy(t, "")
	for name, cfg := range map[string]Config{
		"no node":          {},
		"no policy":        {Node: "berlin", People: map[string]*Policy{"alice": nil}},
		"foreign at home":  {Node: "berlin", Foreign: map[Person]*Policy{{Name: "alice"}: p}},
		"odd foreign name": {Node: "berlin", Foreign: map[Person]*Policy{{"alice@hq", "north"}: p}},
		"no grant":         {Node: "berlin", Grants: map[string]*Grant{"north": nil}},
		"no link":          {Node: "berlin", Grants: map[string]*Grant{"": {Node: "north"}}},
		"many exports":     {Node: "berlin", Grants: map[string]*Grant{"north": {Node: "north", Exports: slices.Repeat([]*Selection{{}}, MaxExports+1)}}},
		"nil export":       {Node: "berlin", Grants: map[string]*Grant{"north": {Node: "north", Exports: []*Selection{nil}}}},
	} {
		if _, err := New(cfg); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPersonsAndChains(t *testing.T) {
	for _, text := range []string{"", "alice", "@hq", "alice@", "alice@hq@north", "al ice@hq", "alice@h\nq"} {
		if p, err := ParsePerson(text); model.KindOf(err) != model.KindInvalid {
			t.Errorf("%q was read as %v", text, p)
		}
	}
	hops := []Hop{{Node: "hq"}, {Node: "north"}}
	for _, test := range []struct {
		chain Chain
		text  string
	}{
		{Chain{Person: Person{"alice", "hq"}}, "alice"},
		{Chain{Person: Person{"alice", "hq"}, Hops: hops}, "alice@hq, as told by north"},
		{Chain{Hops: hops}, "nobody, as told by north"},
		{Chain{Person: Person{"a\x1b[2J\n", "hq"}, Hops: hops}, `"a\x1b[2J\n"@hq, as told by north`},
	} {
		if got := test.chain.String(); got != test.text {
			t.Errorf("got %s, want %s", got, test.text)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	d := berlin(b)
	entity := at("/devices/local/channel-3", "host", "poll_interval")
	for name, q := range map[string]Question{
		"local": {Principal: here("alice"), Entity: entity, Need: model.RightConfigure},
		"see":   {Principal: via(b, "north", "alice@hq"), Entity: entity, Need: model.RightView},
		"act":   {Principal: via(b, "north", "alice@hq"), Entity: entity, Need: model.RightOperate},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.Decide(q)
			}
		})
	}
}
