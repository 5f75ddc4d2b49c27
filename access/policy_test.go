package access

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"banyan/model"
)

// rules reads "/a/** view, /b none".
func rules(t testing.TB, text string) []Rule {
	t.Helper()
	var list []Rule
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		pattern, rightText, _ := strings.Cut(item, " ")
		right, err := model.ParseRight(rightText)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, Rule{model.MustPattern(pattern), right})
	}
	return list
}

func policy(t testing.TB, own string, roles ...Role) *Policy {
	t.Helper()
	p, err := NewPolicy(rules(t, own), roles...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFirstMatchDecides(t *testing.T) {
	operators := Role{"operators", rules(t, "/sites/berlin/safe none, /sites/** operate")}
	viewers := Role{"viewers", rules(t, "/** view")}
	p := policy(t, "/sites/hamburg/** none, /sites/*/devices/** configure", operators, viewers)
	tests := []struct {
		path  string
		right model.Right
		rule  int
		role  string
		in    int
	}{
		{"/sites/hamburg/devices/x", model.RightNone, 1, "", 1}, // the exception stands before the general rule
		{"/sites/berlin/devices/x", model.RightConfigure, 2, "", 2},
		{"/sites/berlin/safe", model.RightNone, 3, "operators", 1},
		{"/sites/berlin/safe/below", model.RightOperate, 4, "operators", 2},
		{"/sites", model.RightOperate, 4, "operators", 2},
		{"/", model.RightView, 5, "viewers", 1},
	}
	for _, test := range tests {
		right, rule := p.Match(model.MustPath(test.path))
		if right != test.right || rule != test.rule {
			t.Errorf("%s: %s by rule %d, want %s by rule %d", test.path, right, rule, test.right, test.rule)
		}
		if role, in := p.Origin(rule); role != test.role || in != test.in {
			t.Errorf("rule %d is rule %d of %q, want %d of %q", rule, in, role, test.in, test.role)
		}
	}
	for _, number := range []int{-1, 0, 6} {
		if role, rule := p.Origin(number); role != "" || rule != 0 {
			t.Errorf("rule %d, which is not there, is rule %d of %q", number, rule, role)
		}
	}
}

func TestDefaultDeny(t *testing.T) {
	for _, p := range []*Policy{{}, policy(t, ""), policy(t, "/a view"), policy(t, "/a/* view", Role{Name: "empty"})} {
		if right, rule := p.Match(model.Root); right != model.RightNone || rule != 0 {
			t.Errorf("got %s by rule %d where no rule matches", right, rule)
		}
	}
}

// TestPolicyIsTheNaiveModel compares with the definition: go through the rules as written and take the first that matches.
func TestPolicyIsTheNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		own, first, second := genRules.Draw(t, "own"), genRules.Draw(t, "first"), genRules.Draw(t, "second")
		p, err := NewPolicy(own, Role{"first", first}, Role{"second", second})
		if err != nil {
			t.Fatal(err)
		}
		path := genPath.Draw(t, "path")
		wantRight, wantRule := model.RightNone, 0
		for i, r := range append(append(append([]Rule{}, own...), first...), second...) {
			if r.Pattern.Matches(path) {
				wantRight, wantRule = r.Right, i+1
				break
			}
		}
		if right, rule := p.Match(path); right != wantRight || rule != wantRule {
			t.Fatalf("%s: %s by rule %d, want %s by rule %d", path, right, rule, wantRight, wantRule)
		}
		if above := path.Parent(); wantRight >= model.RightView && !p.MayMatchBelow(above, model.RightView) {
			t.Fatalf("%s may be seen, but a walk would stop at %s", path, above)
		}
	})
}

func TestPolicyLimits(t *testing.T) {
	many := make([]Rule, MaxRules)
	if _, err := NewPolicy(many); err != nil {
		t.Error(err)
	}
	if _, err := NewPolicy(many, Role{"one more", many[:1]}); model.KindOf(err) != model.KindInvalid {
		t.Errorf("one rule too many: %v", err)
	}
	if _, err := NewPolicy([]Rule{{model.Everything, 5}}); model.KindOf(err) != model.KindInvalid {
		t.Errorf("a right that is none: %v", err)
	}
}

func BenchmarkMatch(b *testing.B) {
	path := model.MustPath("/sites/berlin/devices/plc-7/channel-3")
	for _, n := range []int{1, 20, 200} {
		text := strings.Repeat("/sites/*/alarms/** none, /sites/hamburg/** operate,", n/2) + "/** view"
		p := policy(b, text)
		b.Run(fmt.Sprintf("rules=%d", len(p.rules)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Match(path)
			}
		})
	}
}
