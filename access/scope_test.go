package access

import (
	"strings"
	"testing"

	"banyan/model"
)

// TestScopeOnlyNarrows: what is done by a token must be allowed by the user's rules and by the token's; the refusal names whose rule it was.
func TestScopeOnlyNarrows(t *testing.T) {
	parse := func(pattern string, right model.Right) Rule { return Rule{model.MustPattern(pattern), right} }
	policy, err := NewPolicy([]Rule{parse("/secret/**", model.RightNone), parse("/devices/**", model.RightConfigure), parse("/**", model.RightView)})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{Node: "berlin", People: map[string]*Policy{"alice": policy}})
	if err != nil {
		t.Fatal(err)
	}
	scope, err := NewScope("token backup", []Rule{parse("/devices/gate/**", model.RightNone), parse("/devices/**", model.RightOperate), parse("/**", model.RightAdminister)})
	if err != nil {
		t.Fatal(err)
	}
	nothing, err := NewScope("token nothing", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path    string
		scope   *Scope
		need    model.Right
		allowed bool
		visible bool
		says    string
	}{
		{"/devices/a", nil, model.RightConfigure, true, true, "rule 2: alice has configure"},
		{"/devices/a", scope, model.RightOperate, true, true, "rule 2 of token backup: alice has operate"},
		{"/devices/a", scope, model.RightConfigure, false, true, "rule 2 of token backup: alice has operate, configure is needed"},
		{"/devices/gate/x", scope, model.RightView, false, false, "rule 1 of token backup"},
		{"/sites/a", scope, model.RightView, true, true, "rule 3: alice has view"},
		{"/sites/a", scope, model.RightOperate, false, true, "rule 3: alice has view, operate is needed"},
		{"/secret/a", scope, model.RightView, false, false, "rule 1: alice has none"},
		{"/devices/a", nothing, model.RightView, false, false, "no rule of token nothing matches"},
	} {
		who := Principal{Chain: Chain{Person: Person{Name: "alice", Node: "berlin"}}, Scope: test.scope}
		decision := d.Decide(Question{Principal: who, Entity: Entity{Path: model.MustPath(test.path)}, Need: test.need})
		if decision.Allowed != test.allowed || decision.Visible != test.visible || !strings.Contains(decision.Explain(), test.says) {
			t.Errorf("%s, %s: %+v, %s", test.path, test.need, decision, decision.Explain())
		}
		if err := d.CanGrant(who, []Rule{parse(test.path, test.need)}); (err == nil) != test.allowed {
			t.Errorf("granting %s on %s: %v", test.need, test.path, err)
		}
		if below := d.MayMatchBelow(who, model.MustPath(test.path)); test.visible && !below || test.scope == nothing && below {
			t.Errorf("%s is descended to: %v", test.path, below)
		}
	}
}
