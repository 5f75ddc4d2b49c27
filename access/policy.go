package access

import (
	"slices"

	"banyan/fault"
	"banyan/model"
)

// Rule gives a right on what a pattern selects. A rule with RightNone takes it away from what later rules would give.
type Rule struct {
	Pattern model.Pattern `json:"pattern"`
	Right   model.Right   `json:"right"`
}

// Role is a named list of rules that several people have.
type Role struct {
	Name  string
	Rules []Rule
}

// MaxRules bounds the rules of one person, those of all roles included.
const MaxRules = 1024

// Policy is what one person may do: one ordered list of rules, the person's own first, then those of each role in the order in which the
// person has them. The first rule whose pattern selects the path decides, whatever stands below it; where none does, there is no
// right at all. Rules are numbered from 1 through the whole list.
type Policy struct {
	rules []policyRule // in the order in which they are tried
	roles []roleSpan
}

type policyRule struct {
	matcher
	right  model.Right
	number int
}

// roleSpan says up to which number the rules are those of a role; the person's own have an empty name.
type roleSpan struct {
	name string
	last int
}

// NewPolicy makes the list from a person's own rules and roles.
func NewPolicy(own []Rule, roles ...Role) (*Policy, error) {
	p := &Policy{}
	for _, role := range append([]Role{{Rules: own}}, roles...) {
		for _, rule := range role.Rules {
			if rule.Right > model.RightAdminister {
				return nil, model.Errorf(model.KindInvalid, "rule %d: %s is not a right", len(p.rules)+1, rule.Right)
			}
			p.rules = append(p.rules, policyRule{matcher: compile(rule.Pattern), right: rule.Right, number: len(p.rules) + 1})
		}
		p.roles = append(p.roles, roleSpan{role.Name, len(p.rules)})
	}
	if len(p.rules) > MaxRules {
		return nil, model.Errorf(model.KindInvalid, "a person has %d rules, those of roles included; at most %d are allowed", len(p.rules), MaxRules)
	}
	if fault.Planted(fault.RuleOrderReversed) {
		slices.Reverse(p.rules)
	}
	return p, nil
}

// Match is the right that the first matching rule gives, and that rule's number; RightNone and 0 where no rule matches.
func (p *Policy) Match(path model.Path) (right model.Right, rule int) {
	text := textOf(path)
	for i := range p.rules {
		if r := &p.rules[i]; r.matches(text) {
			return r.right, r.number
		}
	}
	return model.RightNone, 0
}

// Origin says where the rule of a number stands: in which role, with an empty name for the person's own rules, and as which rule there,
// counted from 1. It is 0 for a number that the policy does not have.
func (p *Policy) Origin(number int) (role string, rule int) {
	first := 0
	for _, span := range p.roles {
		if number > first && number <= span.last {
			return span.name, number - first
		}
		first = span.last
	}
	return "", 0
}

// MayMatchBelow reports whether the policy may give a right of need or more somewhere at or below path: where it is false, a walk need
// not descend.
func (p *Policy) MayMatchBelow(path model.Path, need model.Right) bool {
	return slices.ContainsFunc(p.rules, func(r policyRule) bool {
		return r.right >= need && r.pattern.MayMatchBelow(path)
	})
}

// least is a right that the policy certainly gives on every path that the pattern selects.
func (p *Policy) least(pattern model.Pattern) model.Right {
	least := model.RightAdminister
	for i := range p.rules {
		r := &p.rules[i]
		if !overlaps(r.pattern, pattern) {
			continue
		}
		least = min(least, r.right)
		if covers(r.pattern, pattern) {
			return least
		}
	}
	return model.RightNone
}
