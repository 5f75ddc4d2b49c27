package access

import (
	"testing"

	"pgregory.net/rapid"

	"banyan/model"
)

func TestCanGrant(t *testing.T) {
	d := berlin(t)
	tests := []struct {
		who   Principal
		rules string
		text  string // empty where it is allowed
	}{
		{here("root"), "/** administer", ""},
		{here("alice"), "/devices/** configure, /safe/** none", ""},
		{here("alice"), "/devices/** configure, /** view", "denied by berlin: rule 2 gives view on /**, where alice certainly has none only"},
		{here("guest"), "/devices/x operate", "denied by berlin: rule 1 gives operate on /devices/x, where guest certainly has view only"},
		{via(t, "south", "mallory@hq"), "/devices/** configure, /users/** administer, /** view", ""},
		{via(t, "south", "mallory@hq"), "/devices/** administer", "denied by berlin: rule 1 gives administer on /devices/**, where mallory@hq certainly has configure only"},
		{via(t, "south", "mallory@hq"), "/** operate", "denied by berlin: rule 1 gives operate on /**, where mallory@hq certainly has view only"},
		{via(t, "south", "mallory@hq"), "/*/south operate", "denied by berlin: rule 1 gives operate on /*/south, where mallory@hq certainly has view only"},
		{via(t, "south", "alice@hq"), "/devices/** configure", "denied by berlin: rule 1 gives configure on /devices/**, where alice@hq certainly has operate only"},
		{via(t, "south", "mallory@hq"), "/links/south operate", "denied by berlin: rule 1 gives operate on /links/south, where mallory@hq certainly has view only"},
		{via(t, "south", "mallory@hq"), "/system operate", "denied by berlin: rule 1 gives operate on /system, where mallory@hq certainly has view only"},
		{via(t, "south", "alice@hq"), "/users/* operate", "denied by berlin: rule 1 gives operate on /users/*, where alice@hq certainly has view only"},
		{via(t, "south", ""), "/devices/** operate", `denied by berlin: rule 1 gives operate on /devices/**, where nobody certainly has view only`},
		{via(t, "north", "mallory@hq"), "/devices/** view", "denied by berlin: rule 1 gives view on /devices/**, where mallory@hq certainly has none only"},
	}
	for _, test := range tests {
		got := ""
		if err := d.CanGrant(test.who, rules(t, test.rules)); err != nil {
			got = err.Error()
			if model.KindOf(err) != model.KindDenied {
				t.Errorf("%s: kind %s", test.rules, model.KindOf(err))
			}
		}
		if got != test.text {
			t.Errorf("%s:\n got %s\nwant %s", test.rules, got, test.text)
		}
	}
}

func TestCanGrantIsBounded(t *testing.T) {
	if err := berlin(t).CanGrant(here("root"), make([]Rule, MaxRules+1)); model.KindOf(err) != model.KindInvalid {
		t.Errorf("got %v", err)
	}
}

// TestNoRightsAboveOnesOwn: whoever is granted rules that CanGrant let through can nowhere do what the grantor could not.
func TestNoRightsAboveOnesOwn(t *testing.T) {
	granted, paths := 0, allPaths(3, "a", "ab", "b", "users", "links", "system")
	rapid.Check(t, func(t *rapid.T) {
		own, foreign, wanted := genRules.Draw(t, "own"), genRules.Draw(t, "foreign"), rapid.SliceOfN(genRule, 1, 3).Draw(t, "wanted")
		policies := make([]*Policy, 3)
		for i, list := range [][]Rule{own, foreign, wanted} {
			var err error
			if policies[i], err = NewPolicy(list); err != nil {
				t.Fatal(err)
			}
		}
		export := Export{Name: "e", Paths: rapid.SliceOfN(genPattern, 1, 3).Draw(t, "paths"), Secrets: true, People: true, Right: model.Right(rapid.IntRange(1, 4).Draw(t, "right"))}
		s, err := NewSelection(export, Areas{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := New(Config{
			Node: "berlin", People: map[string]*Policy{"own": policies[0], "new": policies[2]}, Foreign: map[Person]*Policy{{"eve", "hq"}: policies[1]},
			Grants: map[string]*Grant{"north": {Node: "north", Exports: []*Selection{s}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		who := here("own")
		if rapid.Bool().Draw(t, "over the link") {
			who = Principal{Link: "north", Chain: Chain{Person: Person{"eve", "hq"}, Hops: []Hop{{Node: "north"}}}}
		}
		if d.CanGrant(who, wanted) != nil {
			return
		}
		granted++
		for _, path := range paths {
			for need := model.RightView; need <= model.RightAdminister; need++ {
				q := Question{Principal: here("new"), Entity: Entity{Path: path}, Need: need}
				if !d.Decide(q).Allowed {
					continue
				}
				q.Principal = who
				if got := d.Decide(q); !got.Allowed {
					t.Fatalf("%s was given away at %s, but: %s", need, path, got.Explain())
				}
			}
		}
	})
	if granted == 0 {
		t.Error("nothing was ever granted: the test tried nothing")
	}
}
